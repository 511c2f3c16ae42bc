"""What objtunnel does not offer on free-threaded builds of CPython: each name is there, and using it says why not.

docs/free-threading.md has the table. Invariant: nothing here imports the rest of the package.
"""

_INTERPRETERS = ("a container must not move between interpreters on these builds; threads run in parallel here: use "
                 "objtunnel.ThreadPoolExecutor or threading.Thread, and a Tunnel between them")
_NOT_YET = "not done yet for these builds"
_HEAP = "objtunnel has no heap of its own on these builds"
_THREADS = "the threads of one interpreter have each object in common"

REASONS = {
    "Box": f"{_THREADS}: use a Lock beside the tree",
    "BrokenInterpreterPool": _INTERPRETERS,
    "Gil": "there is no GIL",
    "HeapInfo": _HEAP,
    "Interpreter": _INTERPRETERS,
    "InterpreterPoolExecutor": _INTERPRETERS,
    "current_gil": "there is no GIL",
    "dump": f"{_NOT_YET}; faulthandler.dump_traceback() shows the stacks of all threads",
    "heap_info": _HEAP,
    "module_namespace": f"{_THREADS}, modules too",
    "register_dump": f"{_NOT_YET}; faulthandler.register() shows the stacks of all threads",
    "register_movable": "instances of classes move between threads whatever they say about pickling",
    "shared_module": f"{_THREADS}, modules too",
}


# What else is there of the names that the package imports when they are wanted.
_OFFERED = {"Owner", "ThreadPoolExecutor", "owner", "process_global", "rebias"}

_classes = {}


def of(name):
    """The class that stands for a name: each use of it raises NotImplementedError. _core's __getattr__."""
    if name[:1] == "_":
        raise AttributeError(f"module 'objtunnel._core' has no attribute {name!r}")
    if name not in _classes:
        message = f"objtunnel.{name} is not there on a free-threaded build of CPython: {REASONS.get(name, _NOT_YET)}"

        def __new__(cls, *args, **kwargs):
            raise NotImplementedError(message)

        _classes[name] = type(name, (), {"__module__": "objtunnel", "__slots__": (), "__new__": __new__,
                                         "__doc__": message})
    return _classes[name]


def classes(lazy):
    """{name: class} of what the package would have in Python: all of `lazy` but for what is offered, and REASONS."""
    return {name: of(name) for name in {*REASONS, *lazy} - _OFFERED}
