"""What a protocol of ours is for the explorer: its threads, its memory orders, and the lines of the source that have them.

`ORDERS` of a protocol names each order that it has. An order is *needed* if weakening it alone lets the explorer find a
fault; test_protocols.py tries each, so no test here can pass whatever happens. One that is not needed says why it is
there: the source may be stronger than the protocol asks for.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from explorer import explore

ROOT = Path(__file__).parents[2]


class Order(NamedTuple):
    name: str
    order: str
    weaker: str | None  # None: left out, of those that are needed; of the others there is nothing weaker
    needed: bool
    file: str
    function: str  # in which ...
    text: str  # ... this stands
    why: str = ""  # it is there although it is not needed


class Protocol(NamedTuple):
    """threads(o): the thread functions, where o["name"] is an order or its weaker one."""
    name: str  # the comment in the source says "litmus NAME"
    orders: tuple  # of its memory orders, barriers and locks
    threads: Callable
    initial: dict = {}
    final: Callable | None = None
    reaches: tuple = ()  # each a test of what the threads returned: some execution passes it

    def explore(self, weakened=None):
        orders = {o.name: o.weaker if o.name == weakened else o.order for o in self.orders}
        return explore(*self.threads(orders), initial=self.initial, final=self.final)


def source_of(file):
    return (ROOT / file).read_text(encoding="utf-8")


def body_of(file, function):
    """The definition of a function whose name begins a line, as everywhere here; its blanks as one."""
    found = re.findall(rf"^{re.escape(function)}\([^;]*?^}}", source_of(file), re.MULTILINE | re.DOTALL)
    found = found or re.findall(rf"^{re.escape(function)}\(.*?^}}", source_of(file), re.MULTILINE | re.DOTALL)
    return " ".join(found[0].split()) if found else ""
