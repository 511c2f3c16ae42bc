"""n-body of the Computer Language Benchmarks Game: the Sun and the giant planets, dt = 0.01.

Unlike the benchmark it keeps what it computes: a trajectory (nested lists) and the energies (an
array) every few steps, so that there is a result worth handing over.
"""

from array import array
from math import pi, sqrt

SOLAR_MASS = 4 * pi * pi
DAYS_PER_YEAR = 365.24

# Position (astronomical units), velocity (per day), mass (of the Sun).
PLANETS = (
    ("jupiter", (4.84143144246472090e+00, -1.16032004402742839e+00, -1.03622044471123109e-01),
     (1.66007664274403694e-03, 7.69901118419740425e-03, -6.90460016972063023e-05),
     9.54791938424326609e-04),
    ("saturn", (8.34336671824457987e+00, 4.12479856412430479e+00, -4.03523417114321381e-01),
     (-2.76742510726411048e-03, 4.99852801234917238e-03, 2.30417297573763929e-05),
     2.85885980666130812e-04),
    ("uranus", (1.28943695621391310e+01, -1.51111514016986312e+01, -2.23307578892655734e-01),
     (2.96460137564761618e-03, 2.37847173959480950e-03, -2.96589568540237556e-05),
     4.36624404335156298e-05),
    ("neptune", (1.53796971148509165e+01, -2.59193146099879641e+01, 1.79258772950371181e-01),
     (2.68067772490389322e-03, 1.62824170038242295e-03, -9.51592254519715870e-05),
     5.15138902046611451e-05),
)

# What the benchmark prints for N = 1000: the energy before and after, to nine decimals.
PUBLISHED_STEP = 1000
PUBLISHED = ("-0.169075164", "-0.169087605")


def run(steps, every):
    """Simulate so many steps; a snapshot at the start and after each `every` steps.

    Returns {"every": int, "positions": [[[x, y, z] of each body] of each snapshot],
    "energies": array('d')}.
    """
    bodies = _make_bodies()
    pairs = [(a, b) for i, a in enumerate(bodies) for b in bodies[i + 1:]]
    positions, energies = [], array("d")
    for step in range(0, steps + 1, every):
        positions.append([body[0][:] for body in bodies])
        energies.append(_energy(bodies, pairs))
        if step < steps:
            _advance(bodies, pairs, 0.01, min(every, steps - step))
    return {"every": every, "positions": positions, "energies": energies}


def printed(result):
    """What the benchmark's program would have printed for N = PUBLISHED_STEP."""
    energies = result["energies"]
    return (f"{energies[0]:.9f}", f"{energies[PUBLISHED_STEP // result['every']]:.9f}")


def _make_bodies():
    """[[position], [velocity], mass] of each, with the total momentum taken out of the Sun's."""
    bodies = [[list(position), [v * DAYS_PER_YEAR for v in velocity], mass * SOLAR_MASS]
              for _, position, velocity, mass in PLANETS]
    momentum = [sum(velocity[axis] * mass for _, velocity, mass in bodies) for axis in range(3)]
    return [[[0.0, 0.0, 0.0], [-p / SOLAR_MASS for p in momentum], SOLAR_MASS], *bodies]


def _advance(bodies, pairs, dt, steps):
    for _ in range(steps):
        for (r1, v1, m1), (r2, v2, m2) in pairs:
            dx, dy, dz = r1[0] - r2[0], r1[1] - r2[1], r1[2] - r2[2]
            mag = dt * (dx * dx + dy * dy + dz * dz) ** -1.5
            b1, b2 = m1 * mag, m2 * mag
            v1[0] -= dx * b2
            v1[1] -= dy * b2
            v1[2] -= dz * b2
            v2[0] += dx * b1
            v2[1] += dy * b1
            v2[2] += dz * b1
        for r, (vx, vy, vz), _ in bodies:
            r[0] += dt * vx
            r[1] += dt * vy
            r[2] += dt * vz


def _energy(bodies, pairs):
    energy = sum(0.5 * m * (vx * vx + vy * vy + vz * vz) for _, (vx, vy, vz), m in bodies)
    for (r1, _, m1), (r2, _, m2) in pairs:
        dx, dy, dz = r1[0] - r2[0], r1[1] - r2[1], r1[2] - r2[2]
        energy -= m1 * m2 / sqrt(dx * dx + dy * dy + dz * dz)
    return energy
