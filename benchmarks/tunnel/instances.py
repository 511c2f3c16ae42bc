"""Instances of user classes."""

from dataclasses import dataclass


class Matrix:
    """The workload of PEP 795's benchmark, as issue 4 gives it: 4 x 4 floats."""

    def __init__(self, rows):
        self.rows = rows

    def __eq__(self, other):
        return self.rows == other.rows


def make_matrices(n):
    return [Matrix([[i / 3 + k, i / 5 + k, i / 7 + k, i / 11 + k] for k in range(4)])
            for i in range(n)]


def touch_matrices(matrices):
    return sum(m.rows[0][0] + m.rows[1][1] + m.rows[2][2] + m.rows[3][3] for m in matrices)


@dataclass(slots=True)
class Sample:
    number: int
    name: str
    x: float
    y: float
    tag: bytes
    valid: bool


def make_samples(n):
    return [Sample(i + 5000, f"sample {i}", i / 3, i / 7, b"tag %d" % i, i % 2 == 0)
            for i in range(n)]


def touch_samples(samples):
    return sum(s.number + s.x + s.y + len(s.name) for s in samples if s.valid)


class ByType:
    """A key that every receiver hashes anew: its class is another one there."""

    def __init__(self, number):
        self.number = number

    def __eq__(self, other):
        return type(self) is type(other) and self.number == other.number

    def __hash__(self):
        return hash((type(self), self.number))


@dataclass(frozen=True)
class ByFields:
    """A key whose __hash__ asks for its fields only, so tables of them stay as they are."""

    number: int


def make_table_by_type(n):
    return {ByType(i + 5000): None for i in range(n)}


def make_table_by_fields(n):
    return {ByFields(i + 5000): None for i in range(n)}
