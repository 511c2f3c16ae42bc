"""JSON texts through two stages: parsed, and written in another form. By pipeline(), and one after the other without it.

Each way: run(n) does n texts and returns the seconds; close().
"""

import json
import time

from objtunnel import pipeline

import json_trees

ITEMS, SMALL = 1000, 4
SOURCE = json_trees.SOURCE
TEXT = json_trees.text_of_about(100_000)


def parse(text):
    return json.loads(text)


def write(tree):
    """Takes about as long as parsing."""
    return len(json.dumps(tree))


def parse_and_write(text):
    return write(parse(text))


class _Way:
    def run(self, n):
        begin = time.perf_counter()
        lengths = list(self._results([TEXT] * n))
        seconds = time.perf_counter() - begin
        if lengths != [parse_and_write(TEXT)] * n:
            raise AssertionError("other results have come")
        return seconds

    def close(self):
        pass


class Serial(_Way):
    def _results(self, texts):
        return map(parse_and_write, texts)


class TwoStages(_Way):
    """Parsed trees move from one interpreter to the other. Includes starting and ending both."""

    def _results(self, texts):
        return pipeline(texts, parse, write)


class OneStage(_Way):
    """Two interpreters do both steps, each for half of the texts."""

    def _results(self, texts):
        return pipeline(texts, parse_and_write, workers=2)


WAYS = {"one after the other": Serial, "pipeline, two stages": TwoStages, "pipeline, one stage, two workers": OneStage}
