"""Whether the hash of an object stays the same when the object moves to another interpreter.

A moved key becomes an instance of another class, and its hash may depend on that:
hash((type(self), self.x)). The receiver then builds anew what is looked up by such keys. It need not
do so where the hash is C code that we know, or Python code that is recognised: such as asks for the
object's attributes and for nothing else. The attributes' own classes are asked for themselves, since
their objects are in the tree, too.
"""

import builtins

from objtunnel import _standard

_Function = type(lambda: None)
_SlotWrapper = type(object.__hash__)
_SlotMember = type(type("", (), {"__slots__": ("x",)}).x)

# Classes of the standard library whose __hash__ asks for values only.
_STANDARD = {
    ("fractions", "Fraction"), ("uuid", "UUID"), ("pathlib", "PurePath"),
    ("pathlib._local", "PurePath"), ("ipaddress", "_BaseAddress"), ("ipaddress", "_BaseNetwork"),
    ("ipaddress", "IPv4Interface"), ("ipaddress", "IPv6Interface"), ("ipaddress", "IPv6Address"),
}

# What a class may say anew without a change to what its base's __hash__ comes to.
_HARMLESS = frozenset(dir(type("", (), {"__slots__": ()}))) | {
    "__dict__", "__weakref__", "__slots__", "__annotations__", "__annotate_func__",
    "__annotations_cache__", "__static_attributes__", "__firstlineno__", "__parameters__",
    "__orig_bases__", "__copy__", "__deepcopy__", "__match_args__", "__setstate__", "__getnewargs__",
    "__abstractmethods__", "_abc_impl",
}
_HARMLESS -= {"__hash__", "__str__", "__repr__", "__getattribute__", "__eq__", "__format__"}

_PLAIN = (type(None), bool, int, float, complex, str, bytes)


def hash_stays(cls):
    """Whether a moved instance of cls hashes as an equal one that the receiver makes. False where
    that cannot be told."""
    found = _lookup(cls, "__hash__")
    if found is None:
        return True  # not hashable
    if type(found) is _SlotWrapper:
        return found.__objclass__ in cls.__mro__  # C code: tunnel/class.c knows which
    return type(found) is _Function and (_hashes_fields(cls, found) or _is_standard(cls, found))


def _lookup(cls, name):
    """What the class or a base has under the name, found without running a metaclass's code."""
    for c in cls.__mro__:
        if name in c.__dict__:
            return c.__dict__[name]
    return None


# ---- hash((self.a, self.b)) ----------------------------------------------------------------------

def _hashes_fields(cls, function):
    """Whether the __hash__ is hash((self.a, self.b)), as @dataclass makes it and as people write it."""
    code = function.__code__
    if code.co_names[:1] != ("hash",) or code.co_argcount != 1 or code.co_nlocals != 1:
        return False
    if "hash" in function.__globals__ or function.__builtins__.get("hash") is not builtins.hash:
        return False
    if _lookup(cls, "__getattribute__") is not object.__getattribute__ or _lookup(cls, "__getattr__"):
        return False
    fields = code.co_names[1:]
    if not all(_is_field(cls, name) for name in fields):
        return False
    values = [f"self.{name}" for name in fields]
    return _is_compiled_from(code, f"hash(({''.join(value + ',' for value in values)}))") or (
        len(values) == 1 and _is_compiled_from(code, f"hash({values[0]})"))


def _is_field(cls, name):
    """Whether instances have the attribute themselves; or what stands for it in the class is plain."""
    if name.startswith("__"):
        return False
    found = _lookup(cls, name)
    if type(found) in _PLAIN or type(found) is _SlotMember:
        return True
    field = cls.__dict__.get("__dataclass_fields__", {}).get(name)
    return field is not None and field.init and cls.__dataclass_params__.init and \
        not hasattr(type(found), "__get__")


def _is_compiled_from(code, expression):
    source = compile(f"def __hash__(self):\n    return {expression}", "", "exec").co_consts
    wanted = next(c for c in source if isinstance(c, type(code)))
    return (code.co_code, code.co_consts, code.co_names, code.co_freevars, code.co_cellvars) == (
        wanted.co_code, wanted.co_consts, wanted.co_names, (), ())


# ---- the standard library's ----------------------------------------------------------------------

def _is_standard(cls, function):
    for at, c in enumerate(cls.__mro__):
        if c.__dict__.get("__hash__") is function:
            return _standard.is_class(c, _STANDARD) and function.__module__ == c.__module__ and \
                function.__qualname__ == f"{c.__qualname__}.__hash__" and \
                all(_leaves_alone(sub, c) for sub in cls.__mro__[:at])
    return False


def _leaves_alone(sub, base):
    """Whether a subclass says nothing anew of what the base's code may ask for."""
    if sub.__module__.partition(".")[0] == base.__module__.partition(".")[0] and \
            _standard.is_class(sub, {(sub.__module__, sub.__qualname__)}):
        return True  # of the same module or package
    return all(name in _HARMLESS or not hasattr(base, name) for name in sub.__dict__)
