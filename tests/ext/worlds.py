"""Interpreters with their own GIL, made and ended in any thread; for scripts of these tests.

_interpreters is the module below concurrent.interpreters; it is there from 3.13 on.
"""

import sys
import textwrap
import threading

import _interpreters


class World:
    """An interpreter."""

    def __init__(self):
        self.id = _interpreters.create("isolated")
        self.run("import sys; sys.path[:] = " + repr(sys.path))

    def run(self, source):
        """Execute source; what it raised as text, or None."""
        error = _interpreters.exec(self.id, textwrap.dedent(source))
        return None if error is None else error.formatted

    def must(self, source):
        error = self.run(source)
        assert error is None, error

    def end(self):
        _interpreters.destroy(self.id)


def threads(*functions):
    """Run functions in a thread each, to their ends; the first exception is raised here."""
    errors = []

    def run(function):
        try:
            function()
        except BaseException as error:
            errors.append(error)

    all_of_them = [threading.Thread(target=run, args=[f]) for f in functions]
    for t in all_of_them:
        t.start()
    for t in all_of_them:
        t.join()
    if errors:
        raise errors[0]
