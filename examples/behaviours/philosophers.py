"""A hundred philosophers at a table with a hundred forks: each needs the two beside the plate.

    python philosophers.py [ROUNDS]

A meal is a behaviour on two forks. It begins when both are free; nobody holds one and waits for the other.
"""

import sys

import objtunnel
from objtunnel import Box

N = 100


def dine(forks, seat, meals):
    """Eats, and schedules the next meal from within this one."""
    if meals == 0:
        return

    @objtunnel.when(forks[seat], forks[(seat + 1) % N])
    def _(left, right):
        left.value["uses"] += 1
        right.value["uses"] += 1
        dine(forks, seat, meals - 1)


def main(rounds):
    forks = [Box({"uses": 0}) for _ in range(N)]
    for seat in range(N):
        dine(forks, seat, rounds)
    objtunnel.wait()
    uses = []
    for fork in forks:
        with fork as tree:
            uses.append(tree["uses"])
    print(f"{sum(uses) // 2} meals; each fork was used {min(uses)} to {max(uses)} times")
    assert uses == [2 * rounds] * N


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
