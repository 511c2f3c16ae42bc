"""Results files, which are JSON."""

import json


class BadResults(Exception):
    """The file is not a results file that this page understands."""


class FromFile:
    """Base of a class whose __init__ takes the record of a results file, or raises BadResults."""

    @classmethod
    def load(cls, path):
        try:
            with open(path, encoding="utf-8") as file:
                return cls(json.load(file))
        except json.JSONDecodeError as error:
            raise BadResults(f"not JSON: {error}") from error
