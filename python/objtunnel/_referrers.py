"""Who refers to an object: names in frames and modules, containers, closures, constants in code.

What Python can see: the collector knows containers, frames know their variables. A reference that a C extension or a
container without a collector's header holds is not found; its number is known all the same.
"""

import ast
import functools
import gc
import linecache
import os
import sys
import types

from objtunnel import _core

_MOST = 5  # referrers that are named, for each object
_HERE = os.path.dirname(os.path.abspath(__file__))
_CONSTANTS = (str, bytes, int, float, complex, tuple, frozenset)
_UNSEEN = "a reference that Python cannot see: of a C function, an extension, or a tuple or dict without containers"


def find(root, objects, own=()):
    """{id(o): [text, ...]} for each of the objects.

    root: of the tree; its own references are left out. own: objects of the caller's that refer to some of them.
    """
    if not objects:
        return {}
    wanted = {id(o) for o in objects}
    ignored = {id(o) for o in own} | {id(objects), id(wanted)}
    holders = [h for h in gc.get_referrers(*objects) if id(h) not in ignored and type(h) is not types.FrameType]
    ignored.add(id(holders))
    outer = _outer(holders, ignored)
    names = _names(wanted | {id(h) for h in holders} | {id(o) for o in outer})
    places = dict(zip(map(id, holders), _core._paths(root, tuple(holders), -1)))
    found = {key: list(names.get(key, ())) for key in wanted}
    inside = {key: [] for key in wanted}
    namespaces = _namespaces()
    for holder in holders:
        if id(holder) in namespaces:
            continue
        for o in _referents(holder, wanted):
            place = places[id(holder)]
            if place is not None:
                inside[id(o)].append(f"{place} refers to it, and is copied or held")
            else:
                found[id(o)].append(_describe(holder, o, names, outer))
    for o in objects:
        if isinstance(o, _CONSTANTS):
            found[id(o)] += _constants(o)
    return {key: (_shorten(texts) or inside[key][:1] or [_UNSEEN]) for key, texts in found.items()}


def _shorten(texts):
    texts = list(dict.fromkeys(texts))
    return texts if len(texts) <= _MOST else [*texts[:_MOST], f"and {len(texts) - _MOST:,} more"]


def _referents(holder, wanted):
    return list({id(o): o for o in gc.get_referents(holder) if id(o) in wanted}.values())


def _outer(holders, ignored):
    """What refers to cells, tuples and dicts: functions, objects, classes."""
    inner = [h for h in holders if type(h) in (types.CellType, tuple, dict)]
    if not inner:
        return []
    found = [o for o in gc.get_referrers(*inner)
             if id(o) not in ignored and o is not inner and type(o) is not types.FrameType]
    closures = [o for o in found if type(o) is tuple]
    if closures:
        found += [o for o in gc.get_referrers(*closures) if type(o) is types.FunctionType]
    return found


# ---- names --------------------------------------------------------------------------------------

def _namespaces():
    modules = {id(vars(m)) for m in list(sys.modules.values()) if isinstance(m, types.ModuleType)}
    return modules | {id(frame.f_globals) for frame in _frames()}


def _names(wanted):
    """{id: [text, ...]} of variables in all threads' frames and in modules."""
    names = {}
    seen = set()
    for frame in _frames():
        code, scope = frame.f_code, frame.f_locals
        if scope is frame.f_globals:
            seen.add(id(scope))
            _look(scope, wanted, names, code.co_filename, frame.f_lineno)
        else:
            _look(scope, wanted, names, code.co_filename, frame.f_lineno, code)
    for module in list(sys.modules.values()):
        if isinstance(module, types.ModuleType) and id(vars(module)) not in seen and not _is_ours(module):
            _look(vars(module), wanted, names, getattr(module, "__file__", None) or f"module {module.__name__}")
    return names


def _look(scope, wanted, names, path, line=None, code=None):
    """Adds the variables of a scope that refer to what is wanted. line: the one that runs now."""
    for name, value in list(scope.items()):
        if id(value) in wanted and not name.startswith("_objtunnel_"):
            number = _bound_at(path, name, line, code and code.co_firstlineno) or line
            function = f", in {code.co_qualname}()" if code else ""
            names.setdefault(id(value), []).append(f"`{name}` in {_line(path, number)}{function}")


def _frames():
    for frame in sys._current_frames().values():
        while frame is not None:
            if not frame.f_code.co_filename.startswith(_HERE):
                yield frame
            frame = frame.f_back


def _bound_at(path, name, line, function_line):
    """The line where a scope of that file has given the name its value, the last one up to `line`; None if unknown."""
    tree = _parse(path)
    scope = tree if tree is None or function_line is None else next(
        (node for node in ast.walk(tree) if isinstance(node, _FUNCTIONS) and _first_line(node) == function_line), None)
    lines = [] if scope is None else [at for at in _bindings(scope, name) if line is None or at <= line]
    return max(lines, default=None)


_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


@functools.lru_cache(maxsize=64)
def _parse(path):
    try:
        return ast.parse("".join(linecache.getlines(path)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # no source, or none of this Python's
        return None


def _first_line(function):
    decorators = getattr(function, "decorator_list", ())
    return decorators[0].lineno if decorators else function.lineno


def _bindings(scope, name):
    """Lines where the scope itself, not one within it, binds the name."""
    waiting = [scope]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Store):
            yield node.lineno
        elif isinstance(node, ast.arg) and node.arg == name:
            yield node.lineno
        elif isinstance(node, (*_FUNCTIONS[:2], ast.ClassDef)) and node.name == name and node is not scope:
            yield node.lineno
        if node is scope or not isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
            waiting += ast.iter_child_nodes(node)


def _is_ours(module):
    return (getattr(module, "__file__", None) or "").startswith(_HERE)


def _line(path, number=None):
    short = path
    if os.path.isabs(path):
        try:
            short = os.path.relpath(path)
        except OSError:  # the working directory is gone
            pass
        short = path if short.startswith("..") else short
    return short if number is None else f"{short}:{number}"


# ---- containers ---------------------------------------------------------------------------------

def _describe(holder, o, names, outer):
    if type(holder) is types.CellType:
        return _closure(holder, outer)
    if type(holder) is types.FunctionType:
        return f"a default of {_function(holder)}"
    if isinstance(holder, (types.GeneratorType, types.CoroutineType, types.AsyncGeneratorType)):
        return _suspended(holder, o)
    if type(holder) is tuple and (owner := next((f for f in outer if getattr(f, "__defaults__", None) is holder), None)):
        return f"a default of {_function(owner)}"
    step = _core._paths(holder, (o,), 1)[0]
    step = None if step in (None, "$...") else step[1:]
    named = names.get(id(holder))
    if named and step:
        name, _, where = named[0].partition("` in ")
        return f"{name}{step}` in {where}"
    for owner in outer if type(holder) is dict else ():
        if not isinstance(owner, (dict, list, tuple, set)) and any(r is holder for r in gc.get_referents(owner)):
            return f"attribute {step or ''} of {_object(owner)}"
    return f"{step or 'something'} of {_object(holder)}"


def _object(o):
    if isinstance(o, type):
        return f"class {o.__qualname__}"
    if isinstance(o, (list, tuple, dict, set, frozenset)):
        return f"a {type(o).__name__} of {len(o):,}"
    return f"a {type(o).__qualname__} object"


def _function(function):
    code = function.__code__
    return f"{code.co_qualname}(), {_line(code.co_filename, code.co_firstlineno)}"


def _closure(cell, outer):
    for function in outer:
        if type(function) is types.FunctionType:
            for name, own in zip(function.__code__.co_freevars, function.__closure__ or ()):
                if own is cell:
                    return f"`{name}`, which {_function(function)} has in its closure"
    return "a variable of a closure"


def _suspended(generator, o):
    for prefix in ("gi", "cr", "ag"):
        frame = getattr(generator, f"{prefix}_frame", None)
        if frame is not None:
            name = next((name for name, value in frame.f_locals.items() if value is o), "a value")
            return f"`{name}` of {frame.f_code.co_qualname}(), suspended at {_line(frame.f_code.co_filename, frame.f_lineno)}"
    return f"a {type(generator).__name__}"


# ---- constants ----------------------------------------------------------------------------------

def _constants(o):
    """The code objects of functions and frames that have o as a constant."""
    codes = {id(f.f_code): f.f_code for f in _frames()}
    codes |= {id(f.__code__): f.__code__ for f in gc.get_objects() if type(f) is types.FunctionType}
    found = []
    waiting = list(codes.values())
    while waiting:
        code = waiting.pop()
        for constant in code.co_consts:
            if constant is o and code.co_filename.endswith("<expression>"):
                found.append("a constant in the expression")  # of python -m objtunnel explain
            elif constant is o:
                found.append(f"a constant in the code of {code.co_qualname}, "
                             f"{_line(code.co_filename, code.co_firstlineno)}")
            elif isinstance(constant, types.CodeType) and id(constant) not in codes:
                codes[id(constant)] = constant
                waiting.append(constant)
    return found
