"""What memory send() takes on top of the tree, at most and while the message is under way.

Two ways, in a tunnel within one interpreter, so that nothing else goes on. Exactly: all that is
asked for of CPython's allocators while send() runs (allocations.c). And as the machine sees it:
how far resident memory rises during send(); that depends on what was free before, so free memory
is given back first, and it counts whole pages. Both include the few hundred bytes of any call.
"""

import gc

from objtunnel import Tunnel

from measure import build

try:
    import allocations  # allocations.c, which `make bench-tunnel` builds
except ImportError:
    allocations = None


def measure(payload, size):
    """{"asked": bytes at most, "kept": bytes while under way, "blocks", "resident": bytes or None}
    of one send() each."""
    asked, kept, blocks = _count(payload, size)
    return {"asked": asked, "kept": kept, "blocks": blocks, "resident": _watch(payload, size)}


def _count(payload, size):
    tunnel = Tunnel()
    _warm_up(tunnel, payload)
    tree, _ = build(payload, size)
    allocations.start()
    try:
        tunnel.send(tree)
    finally:
        counts = allocations.stop()
    tunnel.discard()
    return counts


def _watch(payload, size):
    """None where the kernel does not say."""
    tunnel = Tunnel()
    _warm_up(tunnel, payload)
    tree, _ = build(payload, size)
    allocations.trim()
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")  # forget the highest resident memory so far
    except OSError:
        return None
    before = _resident("VmHWM")
    tunnel.send(tree)
    after = _resident("VmHWM")
    tunnel.discard()
    return None if before is None or after is None else after - before


def _warm_up(tunnel, payload):
    """Classes are learnt, keys interned, lists of the interpreter filled."""
    tunnel.send(payload.make(payload.warm_size))
    tunnel.discard()
    gc.collect()


def _resident(field):
    with open("/proc/self/status", encoding="utf-8") as file:
        for line in file:
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
    return None
