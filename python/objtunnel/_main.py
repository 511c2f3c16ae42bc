"""The caller's __main__, as far as a worker interpreter needs it.

Classes of __main__ cannot travel by value. If the caller runs a script (or python -m), the worker
runs the same file once, under the name __mp_main__ as multiprocessing does, and takes missing
names from there; hence the `if __name__ == "__main__":` around what must not run twice. In the
REPL there is no file, and the error says so.
"""

import sys

RUN_NAME = "__mp_main__"


def describe():
    """What a worker needs to find the caller's __main__ again: (kind, name) or None."""
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    if spec is not None and spec.name not in (None, "__main__"):
        return ("module", spec.name)
    path = getattr(main, "__file__", None)
    return ("path", path) if path and not path.startswith("<") else None


class Main:
    """In a worker: fills its __main__ with the names of the caller's, on demand."""

    def __init__(self, source):
        self._source = source
        self._loaded = False
        self.problem = None  # what was looked for in vain last; pickle hides the exception
        sys.modules["__main__"].__class__ = _main_type(self)

    def provide(self, name):
        """Have __main__.name; raise AttributeError if the caller's has none that can be had."""
        namespace = sys.modules["__main__"].__dict__
        top = name.split(".")[0]
        if top not in namespace and self._source is not None and not self._loaded:
            self._loaded = True
            for key, value in self._run().items():
                if not (key.startswith("__") and key.endswith("__")):
                    namespace.setdefault(key, value)
                    _claim(value)
        if top not in namespace:
            raise AttributeError(self._explain(top))
        return namespace[top]

    def _explain(self, name):
        if self._source is not None:
            self.problem = (f"__main__ ({self._source[1]}) defines no {name!r} when it runs as "
                            f"{RUN_NAME}")
        else:
            self.problem = (
                f"{name!r} is defined in the __main__ of a session without a file (REPL, -c, "
                f"stdin): classes and other objects of such a __main__ cannot be found in another "
                f"interpreter; define them in a module")
        return self.problem

    def _run(self):
        import runpy  # seldom needed, slow to import

        kind, name = self._source
        if kind == "module":
            return runpy.run_module(name, run_name=RUN_NAME, alter_sys=True)
        return runpy.run_path(name, run_name=RUN_NAME)


def _claim(value):
    """Results of these types are to be found by the caller under its own __main__."""
    if isinstance(value, type) and value.__module__ == RUN_NAME:
        value.__module__ = "__main__"


def _main_type(main):
    """A module type whose missing attributes come from the caller's __main__."""

    class MainModule(type(sys)):
        def __getattr__(self, name):
            if name.startswith("__"):
                raise AttributeError(f"module '__main__' has no attribute {name!r}")
            return main.provide(name)

    return MainModule


def is_running():
    """Whether this interpreter is just running the caller's file for its names."""
    frame = sys._getframe()
    while frame is not None:
        if frame.f_globals.get("__name__") == RUN_NAME:
            return True
        frame = frame.f_back
    return False
