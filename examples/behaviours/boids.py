"""Boids: a flock flies over a torus that is cut into cells, a Box each.

    python boids.py [STEPS]

In each step a behaviour for each cell reads the cell and its neighbours, beside others that read them, and writes the next
step's birds of that cell into another box. Two generations of boxes take turns. The order of behaviours is all that keeps the steps apart: nobody waits between
them.
"""

import math
import random
import sys

import objtunnel
from objtunnel import Box

SIDE, BIRDS, NEAR, SPEED = 4, 160, 0.08, 0.004


def make_cells():
    rng = random.Random(1)
    cells = [[] for _ in range(SIDE * SIDE)]
    for _ in range(BIRDS):
        x, y, angle = rng.random(), rng.random(), rng.random() * 2 * math.pi
        cells[cell_of(x, y)].append([x, y, angle])
    return cells


def cell_of(x, y):
    return int(y * SIDE) % SIDE * SIDE + int(x * SIDE) % SIDE


def around(index):
    """The cell itself first, then its neighbours."""
    row, column = divmod(index, SIDE)
    places = [(row + i) % SIDE * SIDE + (column + j) % SIDE for i in (0, 1, -1) for j in (0, 1, -1)]
    return list(dict.fromkeys(places))


def fly(bird, others):
    """The bird turns towards the mean direction of those near it, and flies on."""
    x, y, angle = bird
    near = [o for o in others if math.hypot(o[0] - x, o[1] - y) < NEAR]
    angle = math.atan2(sum(math.sin(o[2]) for o in near), sum(math.cos(o[2]) for o in near))
    return [(x + SPEED * math.cos(angle)) % 1, (y + SPEED * math.sin(angle)) % 1, angle]


def step(old, new):
    """Each cell of `new` gets the birds that fly into it."""
    for index in range(SIDE * SIDE):
        places = around(index)

        @objtunnel.when(new[index], read=[[old[i] for i in places]])
        def _(cell, seen):
            birds = [tuple(bird) for held in seen for bird in held.value]  # looked at often: objects of our own
            moved = [fly(bird, birds) for bird in birds]
            cell.value = [bird for bird in moved if cell_of(bird[0], bird[1]) == index]


def order(cells):
    """1: all fly in one direction."""
    birds = []
    for cell in cells:
        with cell as tree:
            birds += [list(bird) for bird in tree]
    x, y = (sum(f(bird[2]) for bird in birds) / len(birds) for f in (math.cos, math.sin))
    return len(birds), math.hypot(x, y)


def main(steps):
    old, new = ([Box(cell) for cell in make_cells()], [Box([]) for _ in range(SIDE * SIDE)])
    for i in range(steps):
        step(old, new)
        old, new = new, old
    n, aligned = order(old)
    print(f"{n} birds after {steps} steps, aligned {aligned:.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 40)
