"""Which object of a message's pickle cannot be rebuilt. The C side asks when a pickle of several has failed."""

import io
import pickle
import pickletools
from bisect import bisect_right

LONGEST = 4 << 20  # bytes; a longer pickle takes too long to look into, for an error's text


def failed_item(data, find_class):
    """The index of the first object that cannot be rebuilt, of the list that data is the pickle of; None if there is no saying.

    All up to that object is rebuilt once more, by pickle's Python code, which tells how far it came."""
    if len(data) > LONGEST:
        return None
    starts, unframed = _starts(data)
    file = io.BytesIO(unframed)
    unpickler = pickle._Unpickler(file)
    unpickler.find_class = find_class(unpickler.find_class)
    try:
        unpickler.load()
    except Exception:
        return bisect_right(starts, file.tell() - 1) - 1 if starts else None
    return None  # it can be, this time


def _starts(data):
    """(where the pickles of the items begin, the pickle they mean: without its frames, which would be read ahead)."""
    parts, starts = [], []
    stack = []  # for each object: where its pickle begins, and whether it is a mark
    size, previous = 0, None
    for op, _, position in pickletools.genops(data):
        if previous is not None:
            parts.append(data[previous:position])
            size += position - previous
        previous = None if op.name == "FRAME" else position
        if previous is None:
            continue
        before = op.stack_before
        if pickletools.markobject in before:
            mark = max(i for i, (_, is_mark) in enumerate(stack) if is_mark)
            taken = stack[mark - before.index(pickletools.markobject):]
        else:
            taken = stack[len(stack) - len(before):]
        del stack[len(stack) - len(taken):]
        if not stack and op.name in ("APPEND", "APPENDS"):
            starts += [start for start, is_mark in taken[1:] if not is_mark]
        begin = taken[0][0] if taken else size
        stack += [(begin, op.name == "MARK")] * len(op.stack_after)
    parts.append(data[previous:])
    return starts, b"".join(parts)
