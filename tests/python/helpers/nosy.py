"""Objects whose pickling, unpickling and text look at every list and tuple that the collector knows."""

import gc
import threading


def look_everywhere():
    """Reads each item. An empty place in one of them ends the process."""
    for o in gc.get_objects():
        if type(o) in (list, tuple) and len(o) < 100:
            for item in o:
                type(item)


def take_away_from(marker):
    """Empties each list that has the marker in it and is not the caller's."""
    for o in gc.get_objects():
        if type(o) is list and any(item is marker for item in o) and "mine" not in o:
            o.clear()


class Nosy:
    """Looks where it is made anew, and where its text is asked for."""

    def __init__(self, number):
        self.number = number

    def __reduce__(self):
        return _arrive, (self.number,)

    def __str__(self):
        look_everywhere()
        return f"nosy {self.number}"

    def __eq__(self, other):
        look_everywhere()
        return self.number == other.number

    def __lt__(self, other):
        look_everywhere()
        return self.number < other.number

    __hash__ = None


def _arrive(number):
    look_everywhere()
    return Nosy(number)


class Reducing:
    """Its text empties the lists that hold what was said before."""

    def __init__(self, said):
        self.said = said

    def __str__(self):
        take_away_from(self.said)
        return "!"


class Watcher(threading.Thread):
    """Looks all the time."""

    def __init__(self):
        super().__init__(daemon=True)
        self._enough = False

    def run(self):
        while not self._enough:
            look_everywhere()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exc):
        self._enough = True
        self.join()
