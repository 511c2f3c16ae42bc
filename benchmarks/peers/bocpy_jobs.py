"""What the workers of bocpy do, for libraries.py: its workers load this module, so it makes functions only."""

from bocpy import Cown, send, when


def schedule(function, item, index):
    """function(item) in a worker, which answers by a message: a result's cown could be read by a behaviour only."""
    @when(Cown(item))
    def run(held, function=function, index=index):
        send("done", (index, function(held.value)))


def schedule_with_config(config, function, start, index):
    @when(config)
    def run(held, function=function, start=start, index=index):
        send("done", (index, function(held.value, start)))


def schedule_increment(counter):
    @when(counter)
    def increment(held):
        held.value += 1


def schedule_use(cache, total, function, k):
    @when(cache, total)
    def use(known, sum_so_far, function=function, k=k):
        if k not in known.value:
            known.value[k] = function(k)
        sum_so_far.value += known.value[k]


def schedule_answer(held):
    @when(held)
    def answer(last):
        send("done", (0, last.value))
