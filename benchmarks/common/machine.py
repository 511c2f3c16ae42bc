"""On what the figures were taken."""

import os
import platform
import re
import subprocess
import sys
import sysconfig

import objtunnel


def describe():
    """A dictionary of what may change the figures; goes to stderr and into the JSON."""
    try:
        heap = objtunnel.heap_info()
        allocator = " ".join(filter(None, [heap.allocator, heap.version]))
    except NotImplementedError:  # a free-threaded build
        allocator = "CPython's mimalloc"
    return {
        "cpu": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_free_gb": round(free_memory() / 1e9, 1),
        "load": os.getloadavg(),
        "system": platform.platform(),
        "python": sys.version,
        "python_flags": sysconfig.get_config_var("CFLAGS"),
        "objtunnel": objtunnel.__version__,
        "objtunnel_flags": _own_flags(),
        "commit": _commit(),
        "allocator": allocator,
        "PYTHONMALLOC": os.environ.get("PYTHONMALLOC"),
    }


def processor():
    """Its name, and by what its vendor tells it from others of that name: "AMD EPYC" is more than one."""
    name, family, model = (_read_field("/proc/cpuinfo", field) for field in ("model name", "cpu family", "model"))
    return (name or platform.machine()) + (f", family {family}, model {model}" if family and model else "")


def warnings(description):
    """Reasons not to quote the figures."""
    found = []
    if hasattr(sys, "gettotalrefcount"):
        found.append("this Python is a debug build")
    flags = description["objtunnel_flags"] or ""
    if "-DNDEBUG" not in flags and flags:
        found.append("objtunnel was built with its assertions on")
    if "-fsanitize" in flags:
        found.append("objtunnel was built with a sanitizer")
    if description["load"][0] > 0.5:
        found.append(f"the machine is busy: load {description['load'][0]:.1f}")
    if description["commit"] is not None and description["commit"].endswith("+"):
        found.append("the working tree differs from the commit")
    return found


def announce(description):
    """Print the machine, and the warnings."""
    for key, value in description.items():
        print(f"{key:16} {value}", file=sys.stderr)
    for warning in warnings(description):
        print(f"WARNING: {warning}", file=sys.stderr)


def free_memory():
    """Bytes that can be had: what is available, or less where a control group says so."""
    free = int(_read_field("/proc/meminfo", "MemAvailable").split()[0]) * 1024
    limit, used = (_read("/sys/fs/cgroup/memory." + name) for name in ("max", "current"))
    if limit is not None and used is not None and limit.strip() != "max":
        free = min(free, int(limit) - int(used))
    return free


def _own_flags():
    """What `make` compiled with, without the tests' defines (they name this checkout's folder); None for a package
    installed otherwise."""
    package = os.path.dirname(objtunnel.__file__)
    flags = _read(os.path.join(package, "../../obj/flags")) or ""
    return re.sub(r" -DOT_TEST_\w+='[^']*'", "", flags).strip() or None


def _commit():
    """The commit, with a + if the tree differs from it; None without one."""
    here = os.path.dirname(os.path.abspath(__file__))
    commit = _git(here, "rev-parse", "--short=12", "HEAD")
    return commit and commit + ("+" if _git(here, "status", "--porcelain") else "")


def _git(folder, *command):
    try:
        done = subprocess.run(["git", "-C", folder, *command], capture_output=True, text=True)
    except FileNotFoundError:  # no git here
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _read(path):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return None


def _read_field(path, name):
    for line in (_read(path) or "").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return None
