"""Results files, which are JSON, and pages of which a part is made from them."""

import json


class BadResults(Exception):
    """The file is not a results file that this page understands."""


def insert(text, name, begin, end, new):
    """The text of the page `name` with `new`, and nothing else, between the two marks. SystemExit if they are not there."""
    before, _, rest = text.partition(begin)
    _, mark, after = rest.partition(end)
    if not mark:
        raise SystemExit(f"report: {name} lacks the lines\n{begin.strip()}\n{end.strip()}")
    return before + begin + new + end + after


class FromFile:
    """Base of a class whose __init__ takes the record of a results file, or raises BadResults."""

    @classmethod
    def load(cls, path):
        try:
            with open(path, encoding="utf-8") as file:
                return cls(json.load(file))
        except json.JSONDecodeError as error:
            raise BadResults(f"not JSON: {error}") from error
