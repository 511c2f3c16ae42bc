"""How an exception travels from the interpreter that raised it to the one that waits for it.

pack() describes an exception in ints, strings and bytes, which a tunnel always takes; unpack()
rebuilds it. An exception goes with its causes, its contexts and whatever other exceptions it holds,
each as a record of a list, so that cycles and sharing are kept. A record has the exception's pickle if
that gives an equal exception back, and else its class, arguments and attributes one by one; a
part that cannot be pickled is replaced by its text.

Main invariant: pack() returns, whatever the code of the exception's class raises. If the job is interrupted
meanwhile, pack() runs no more of that code.
"""

from objtunnel import _pickling
from objtunnel._errors import RemoteError, RemoteTraceback

_LIMIT = 1000  # exceptions in one description; a longer chain is cut there


# ---- packing ------------------------------------------------------------------------------------

def pack(error, is_own_frame):
    """[records, text]: the exception's description, and its traceback as it would be printed.

    is_own_frame(code): whether the traceback's outermost frames with this code are to be left out."""
    _attempt(_add_hint, error)
    try:
        text = _quietly(_format, error, is_own_frame)
        records = _quietly(_Packer().pack, error)
        if records is None:  # no memory, say
            records = [_bare_record(error)]
        return [records, text if type(text) is str else _name_of(type(error))]
    except _Interrupted:
        return pack_bare(error)


def count_interrupts():
    """How often this worker's job was interrupted; _worker.py puts the real one in its place."""
    return 0


def pack_bare(error):
    """As pack(), but runs no code of the exception's class. An interrupt that comes meanwhile is raised as
    the KeyboardInterrupt that it is: whoever called describes that instead."""
    return [[_bare_record(error)], _name_of(type(error))]


class _Interrupted(KeyboardInterrupt):
    """The job was interrupted in code that _quietly called, whatever that code made of it."""


def _quietly(fn, *args):
    before = count_interrupts()
    try:
        result = fn(*args)
    except BaseException:  # SystemExit and KeyboardInterrupt of users' code, too
        result = None
    if count_interrupts() != before:
        raise _Interrupted
    return result


def _attempt(fn, *args):
    """The result, or None if fn raises. Only for functions that run no code of users."""
    try:
        return fn(*args)
    except Exception:
        return None


def _format(error, is_own_frame):
    import traceback  # slow to import, and most jobs succeed

    tb = error.__traceback__
    while tb is not None and tb.tb_next is not None and is_own_frame(tb.tb_frame.f_code):
        tb = tb.tb_next
    lines = _quietly(traceback.format_exception, type(error), error, tb)
    if lines is None:  # its notes or its __str__ are to blame
        lines = ["Traceback (most recent call last):\n", *traceback.format_tb(tb),
                 f"{_name_of(type(error))}: {_text_of(error)}\n"]
    return "".join(lines)


_ONLY_IN_MAIN = "does not support loading in subinterpreters"
_HINT = ("objtunnel: this extension module can be imported in the main interpreter only; `python -m objtunnel check PACKAGE` tells "
         "which can be used in a job. NumPy's arrays reach a job as memoryviews (docs/kinds.md).")


def _add_hint(error):
    """Most who see CPython's words for it, or NumPy's screenful, import NumPy in a job for the first time."""
    cause = error
    for _ in range(10):
        if type(cause) is not ImportError:
            return
        text = ImportError.msg.__get__(cause)
        if type(text) is str and _ONLY_IN_MAIN in text:
            if not getattr(error, "__notes__", None):
                error.add_note(_HINT)
            return
        cause = BaseException.__cause__.__get__(cause)


def _name_of(cls):
    """The class's name in full. The type's own descriptors are asked: a metaclass may say anything."""
    name = _attempt(type.__dict__["__qualname__"].__get__, cls)
    module = _attempt(type.__dict__["__module__"].__get__, cls)
    name = name if type(name) is str else "exception"
    return name if type(module) is not str or module == "builtins" else f"{module}.{name}"


def _text_of(error):
    text = _quietly(str, error)
    return str.__str__(text) if isinstance(text, str) else "<its __str__ failed>"


def _bare_record(error):
    cls = type(error)
    record = {"name": _name_of(cls), "text": ""}
    if not cls.__flags__ & _HEAPTYPE:  # goes by name, and runs no code of anybody's
        data = _attempt(_pickling.dumps, cls)
        if data is not None:
            record["class"], record["fields"] = data, []
    return record


class _Packer:
    """The records of one exception and of all that it leads to, while they are made."""

    def __init__(self):
        self._records = []
        self._errors = []  # the exceptions that the records are of; keeps their ids theirs
        self._places = {}  # id(exception) -> place in both

    def pack(self, error):
        self._place_of(error)
        for error in self._errors:  # which grows meanwhile
            self._records.append(self._record(error))
        return self._records

    def _place_of(self, error):
        place = self._places.get(id(error))
        if place is None and len(self._errors) < _LIMIT:
            place = self._places[id(error)] = len(self._errors)
            self._errors.append(error)
        return place

    def _record(self, error):
        cls = type(error)
        record = {"name": _name_of(cls), "text": _text_of(error)}
        record["args"] = [self._part(o) for o in _args_of(error)]
        data = _quietly(self._whole, error)
        if data is not None:
            record["whole"] = data
        else:
            record["class"] = _quietly(_pickling.dumps, cls)
            record["fields"] = [[name, self._part(o)] for name, o in _fields_of(error)]
        for key, getter in (("cause", BaseException.__cause__), ("context", BaseException.__context__)):
            other = getter.__get__(error)
            if other is not None:
                record[key] = self._place_of(other)
        record["suppress"] = BaseException.__suppress_context__.__get__(error)
        return record

    def _whole(self, error):
        """Its pickle, if that holds no other exception and gives an equal one back."""
        data = _pickling.dumps(error)
        again = _pickling.loads(data)
        if type(again) is not type(error) or issubclass(type(error), BaseExceptionGroup):
            return None
        same = (_args_of(again) == _args_of(error) and again.__dict__.keys() == error.__dict__.keys()
                and not any(map(_is_error, _parts_of(error))))
        return data if same is True else None

    def _part(self, o):
        """Something that an exception holds: [kind, plain object]."""
        if _is_error(o):
            place = self._place_of(o)
            return ["error", place] if place is not None else ["text", _name_of(type(o))]
        if type(o) in (list, tuple) and any(map(_is_error, o)):
            return [type(o).__name__, [self._part(item) for item in o]]
        data = _quietly(_checked_dumps, o)
        if data is not None:
            return ["pickle", data]
        text = _quietly(repr, o)
        return ["text", str.__str__(text) if isinstance(text, str) else f"<{_name_of(type(o))}>"]


def _is_error(o):
    """isinstance would ask o for its __class__, which may raise."""
    return issubclass(type(o), BaseException)


def _checked_dumps(o):
    data = _pickling.dumps(o)
    _pickling.loads(data)
    return data


def _args_of(error):
    args = BaseException.args.__get__(error)
    return args if type(args) is tuple else ()


def _parts_of(error):
    return [*_args_of(error), *error.__dict__.values()]


def _fields_of(error):
    """(name, value) of what a subclass keeps beside args: slots (C's and Python's), __dict__."""
    fields = {}
    for cls in type(error).__mro__:
        if cls is BaseException:
            break
        for name, member in cls.__dict__.items():
            if type(member) is _Member:
                try:
                    fields.setdefault(name, member.__get__(error))
                except AttributeError:
                    pass  # an empty slot
    own = BaseException.__dict__["__dict__"].__get__(error)
    return [(name, o) for name, o in (fields | own).items() if type(name) is str]


class _Slotted:
    __slots__ = ("slot",)


_Member = type(_Slotted.slot)


# ---- unpacking -----------------------------------------------------------------------------------

def unpack(description):
    """The exception. Its last cause is a RemoteTraceback with the traceback's text.

    If the job that calls it is interrupted meanwhile it raises KeyboardInterrupt."""
    try:
        return _unpack(*description)
    except _Interrupted:
        raise KeyboardInterrupt from None


def _unpack(records, text):
    errors = [None] * len(records)
    for place in range(len(records)):
        _rebuild(records, errors, place)
    for record, error in zip(records, errors):
        _link(record, error, errors)
    _last_shown(errors[0]).__cause__ = RemoteTraceback(text)
    return errors[0]


def _rebuild(records, errors, place):
    """errors[place], made if it is not there yet. What it cannot be made of stands for it as text."""
    if errors[place] is None:
        record = records[place]
        errors[place] = _stand_in(record, ())  # who refers to it meanwhile is part of it
        error = _quietly(_pickling.loads, record["whole"]) if "whole" in record else \
            _quietly(_from_parts, records, errors, record)
        errors[place] = error if _is_error(error) else \
            _stand_in(record, _quietly(_args, records, errors, record) or ())
    return errors[place]


def _stand_in(record, args):
    name, text = record["name"], record["text"]
    error = RemoteError(f"{name}: {text}" if text else name)
    error.type_name, error.remote_args = name, tuple(args)
    return error


def _args(records, errors, record):
    return [_open_part(records, errors, part) for part in record.get("args", ())]


def _open_part(records, errors, part):
    kind, value = part
    if kind == "error":
        return _rebuild(records, errors, value)
    if kind == "pickle":
        return _pickling.loads(value)
    if kind == "text":
        return value
    items = [_open_part(records, errors, item) for item in value]
    return tuple(items) if kind == "tuple" else items


def _from_parts(records, errors, record):
    """As pickle would, but without __init__: its arguments need not be `args`."""
    cls = _pickling.loads(record["class"])
    args = tuple(_args(records, errors, record))
    base = next(c for c in cls.__mro__ if not c.__flags__ & _HEAPTYPE)
    error = base.__new__(cls, *args)
    if not issubclass(cls, BaseExceptionGroup):
        BaseException.args.__set__(error, args)
    for name, part in record["fields"]:
        value = _open_part(records, errors, part)
        try:
            object.__setattr__(error, name, value)
        except (AttributeError, TypeError):
            if not any(type(c.__dict__.get(name)) is _Member for c in cls.__mro__):  # else __new__ has set it
                error.__dict__.setdefault(name, value)
    return error


_HEAPTYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: made by a class statement


def _link(record, error, errors):
    for key in ("cause", "context"):
        place = record.get(key)
        if place is not None:
            _BASE[f"__{key}__"].__set__(error, errors[place])
    _BASE["__suppress_context__"].__set__(error, record.get("suppress", False))


_BASE = BaseException.__dict__  # a class may have names of its own for these


def _last_shown(error):
    """The exception that a printed traceback of `error` would begin with."""
    seen = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        last, error = error, error.__cause__
        if error is None and not last.__suppress_context__:
            error = last.__context__
    return last
