"""Threads that hand their results and errors over without touching them."""

import threading


class Task(threading.Thread):
    """Runs function(*args); done() waits for it, returns what it returned and raises what it raised."""

    def __init__(self, function, *args):
        super().__init__(daemon=True)
        self.function, self.args = function, args
        self.result = self.error = None
        self.start()

    def run(self):
        try:
            self.result = self.function(*self.args)
        except BaseException as error:
            self.error = error
        finally:
            self.function = self.args = None

    def done(self, timeout=120):
        self.join(timeout)
        if self.is_alive():
            raise TimeoutError("the thread has not ended")
        if self.error is not None:
            raise self.error
        result, self.result = self.result, None
        return result


def elsewhere(function, *args):
    """The result of function(*args) in another thread, which has ended."""
    return Task(function, *args).done()


def nodes(root):
    """All objects of a tree of built-in containers, each once."""
    seen, todo = {}, [root]
    while todo:
        o = todo.pop()
        if id(o) not in seen:
            seen[id(o)] = o
            if type(o) in (list, tuple, set, frozenset):
                todo += o
            elif type(o) is dict:
                todo += o.keys()
                todo += o.values()
    return list(seen.values())
