"""Part 1: n-body and spectral-norm, in one interpreter and in one per core."""

from objtunnel.demo import nbody, spectral
from objtunnel.demo.compare import Comparison
from objtunnel.demo.errors import WrongResult

# All jobs together cost about the same on any number of cores.
_STEPS, _QUICK_STEPS = 160_000, 12_000
_SPECTRAL_JOBS, _QUICK_SPECTRAL_JOBS = 10, 2
_SPECTRAL_SIZE = 100
_SNAPSHOT_EVERY = 4


def compute(program, size):
    """One job, wherever it runs."""
    if program == "n-body":
        return nbody.run(size, _SNAPSHOT_EVERY)
    return spectral.run(size)


def make_jobs(cores, quick):
    """One n-body per core, and a multiple of the cores of spectral-norms."""
    steps = max(nbody.PUBLISHED_STEP, (_QUICK_STEPS if quick else _STEPS) // cores)
    spectral_jobs = _QUICK_SPECTRAL_JOBS if quick else _SPECTRAL_JOBS
    spectral_jobs = -(-spectral_jobs // cores) * cores
    return [("n-body", steps)] * cores + [("spectral-norm", _SPECTRAL_SIZE)] * spectral_jobs


class Check:
    """The published values, and that every run yields what the first one did."""

    def __init__(self, jobs):
        self._jobs = jobs
        self._first = None

    def __call__(self, results):
        for (program, size), result in zip(self._jobs, results, strict=True):
            self._check_published(program, size, result)
        if self._first is None:
            self._first = results
        elif results != self._first:
            raise WrongResult("n-body and spectral-norm: two runs yielded different numbers")

    @staticmethod
    def _check_published(program, size, result):
        if program == "n-body":
            expected, got = nbody.PUBLISHED, nbody.printed(result)
            size = nbody.PUBLISHED_STEP
        else:
            expected, got = spectral.PUBLISHED[size], spectral.printed(result)
        if got != expected:
            raise WrongResult(f"{program}, n = {size}: computed {got}, published {expected}")


def run(pool, cores, repeat, quick):
    """Print the table of part 1; raise WrongResult."""
    jobs = make_jobs(cores, quick)
    steps = jobs[0][1]
    print(f"1. Dual-core numbers: {cores} x n-body ({steps:,} steps, a snapshot of all positions "
          f"every {_SNAPSHOT_EVERY})\n   and {len(jobs) - cores} x spectral-norm (n = "
          f"{_SPECTRAL_SIZE}); results are nested lists and array.array; runs: {repeat}\n")
    comparison = Comparison(pool, cores, compute, jobs, Check(jobs),
                            control_seconds=0.01 if quick else 0.1)
    comparison.run(repeat, warm_up=[("n-body", 1000), ("spectral-norm", 30)])
    print(comparison.format())
    print(f"  Checked: n-body {' '.join(nbody.PUBLISHED)} (n = {nbody.PUBLISHED_STEP}), "
          f"spectral-norm {spectral.PUBLISHED[_SPECTRAL_SIZE]} (n = {_SPECTRAL_SIZE}),\n"
          f"  as published; all results equal in all runs.\n")
    return comparison
