"""Which globals a code object uses, found in its instructions and in those of the code inside of it."""

import dis
import opcode
import types

_LOADS = frozenset(opcode.opmap[name] for name in
                   ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"))
_STORES = frozenset(opcode.opmap[name] for name in ("STORE_GLOBAL", "DELETE_GLOBAL"))


def loaded(code):
    """The names that are loaded as globals, or built-ins."""
    return frozenset(_walk(code, _LOADS))


def stored(code):
    """The names that are assigned or deleted as globals."""
    return frozenset(_walk(code, _STORES))


def _walk(code, opcodes):
    for instruction in dis.get_instructions(code):
        if instruction.opcode in opcodes:
            yield instruction.argval
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            yield from _walk(const, opcodes)
