"""Threads of the operating system, also where gevent has patched threading."""

import sys
import threading


def start_thread(target, name):
    """A thread of the operating system that runs target(); returns what waits for its end.

    gevent's monkey patches make threading.Thread start greenlets. One that waits in a tunnel
    would block all others."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is not None and monkey.is_module_patched("threading"):
        start = monkey.get_original("_thread", "start_joinable_thread")
        return start(target, daemon=False).join
    thread = threading.Thread(target=target, name=name)
    thread.start()
    return thread.join
