"""Payloads without structure: a list of floats, and buffers of so many bytes."""

from array import array


def make_floats(n):
    return [i / 7 for i in range(n)]


def make_array(n):
    return array("d", [0.5]) * max(1, n // 8)


def make_bytes(n):
    """In a list: the frame that calls send() refers to what it sends, and bytes cannot be emptied
    as an array can, so they would be copied."""
    return [bytes([7]) * n]


def make_bytearray(n):
    return bytearray(b"7") * n
