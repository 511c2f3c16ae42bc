"""What two workers do together: hand something to and fro, or want the same at once."""

from crew import Crew
from loops import choose_rounds


class Pair:
    """Two workers; each keeps prepare(its number, *args) and does step(that, rounds). measure() is
    seconds for once: a round counts `parts`."""

    def __init__(self, in_threads, options, parts, prepare, step, *args):
        self._rounds, self._parts, self._step = 1, parts, step
        self._crew = Crew(in_threads, options.pair, options.cpus)
        self._crew.prepare(prepare, *args)

    def calibrate(self, seconds):
        self._rounds = choose_rounds(self._run, seconds)

    def measure(self):
        return self._run(self._rounds) / (self._parts * self._rounds)

    def close(self):
        self._crew.close()

    def _run(self, rounds):
        return self._crew.run(2, self._step, rounds)[0]


def hand_off(make_lock, in_threads, options):
    """A worker releases one lock and acquires the other, which its peer releases: nobody ever finds
    a lock free, so each acquire waits. Seconds for one hand-off."""
    there, back = make_lock(), make_lock()
    there.acquire()
    back.acquire()
    return Pair(in_threads, options, 2, _keep_both, _hand_over, there, back)


def contended(make_lock, in_threads, options):
    """Both take one lock and let go of it, over and over. Seconds for once of either."""
    return Pair(in_threads, options, 2, _keep_one, _take, make_lock())


def _keep_both(who, there, back):
    return who, there, back


def _hand_over(kept, rounds):
    who, there, back = kept
    if who == 0:
        for _ in range(rounds):
            there.release()
            back.acquire()
    else:
        for _ in range(rounds):
            there.acquire()
            back.release()


def _keep_one(_who, lock):
    return lock


def _take(lock, rounds):
    for _ in range(rounds):
        with lock:
            pass
