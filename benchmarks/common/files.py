"""Results files, which are JSON with a schema or without, and pages of which a part is made from them."""

import json
import os
from pathlib import Path


class BadResults(Exception):
    """The file is not a results file that this page understands."""


def try_to_write(path):
    """OSError if no file can be written there. A file that is not there yet is not made: it would be a change of the tree,
    which the record names."""
    new = not os.path.exists(path)
    open(path, "a").close()
    if new:
        os.remove(path)


def so_far(path):
    """The record that the results file has already; {} where it has none or is not there, or without a path."""
    text = Path(path).read_text(encoding="utf-8") if path is not None and os.path.exists(path) else ""
    return json.loads(text) if text.strip() else {}


def write_json(path, record):
    """A results file."""
    with open(path, "w", encoding="utf-8") as file:
        json.dump(record, file, indent=1)
        file.write("\n")


def reader(results, schema, since):
    """A function path -> results.load(path), for a subclass of FromFile. It raises BadResults if the file is not as `schema`,
    a file, says. Those whose record has a "schema" older than `since` are read without it."""
    import fastjsonschema  # needs a library that only pages need
    check = fastjsonschema.compile(json.loads(schema.read_text(encoding="utf-8")))

    def load(path):
        loaded = results.load(path)
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["schema"] >= since:
            try:
                check(record)
            except fastjsonschema.JsonSchemaValueException as error:
                raise BadResults(f"not as {schema.name} says: {error.message}") from error
        return loaded
    return load


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
