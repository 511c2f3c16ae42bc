"""The control: what can this machine do in parallel right now?

Machines are shared, and two threads sometimes get the time of one. So beside each parallel figure
stands how much faster than one C thread N independent ones were, which share no memory and no
Python, in the same minute.
"""

from objtunnel._core import spin_control

_TRIAL_ROUNDS = 2_000_000


class Control:
    """Samples of threads * time(1 thread) / time(threads threads); `threads` is the ideal."""

    def __init__(self, threads, seconds=0.1):
        """threads: how many to compare with one; seconds: about how long each of them spins."""
        self.threads = threads
        self.samples = []
        trial = min(spin_control(1, _TRIAL_ROUNDS) for _ in range(3))
        self._rounds = int(_TRIAL_ROUNDS * seconds / trial)

    def sample(self):
        """Take one sample; return it."""
        one = spin_control(1, self._rounds)
        many = spin_control(self.threads, self._rounds)
        self.samples.append(self.threads * one / many)
        return self.samples[-1]
