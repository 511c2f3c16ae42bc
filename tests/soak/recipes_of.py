"""Random recipes of trees for the soak: as drawn by the tests' Hypothesis strategies.

    python recipes_of.py SEED COUNT        # a pickle of {"trees": [...], "instances": [...]} to stdout

A process of its own, because Hypothesis keeps what it has drawn. The same seed gives the same recipes.
"""

import pickle
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "python" / "helpers"))

from hypothesis import HealthCheck, Phase, given, seed, settings  # noqa: E402

from instance_recipes import instance_recipes  # noqa: E402
from recipes import recipes  # noqa: E402

QUIET = settings(database=None, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))


def draw(strategy, number, count):
    drawn = []

    @seed(number)
    @settings(QUIET, max_examples=count)
    @given(strategy)
    def collect(recipe):
        drawn.append(recipe)

    collect()
    return drawn


def main():
    number, count = map(int, sys.argv[1:])
    found = {"trees": draw(recipes(), number, count), "instances": draw(instance_recipes(), number, count)}
    sys.stdout.buffer.write(pickle.dumps(found))


if __name__ == "__main__":
    main()
