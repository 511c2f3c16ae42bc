"""What a machine is made of, as far as it says so: for the results file, and to choose CPUs.

From /sys and /proc; what cannot be found out is None. A virtual machine may say what its owner likes.
"""

import os
from pathlib import Path

SYS = Path("/sys/devices/system")
KINDS = ("sibling", "same socket", "other socket")  # of a pair of CPUs


def _read(path):
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None


def _number(path):
    text = _read(path)
    return int(text) if text is not None and text.lstrip("-").isdigit() else None


def cpu_list(text):
    """[0, 1, 4] of "0-1,4"."""
    found = []
    for part in (text or "").split(","):
        first, _, last = part.partition("-")
        if first.strip().isdigit():
            found += range(int(first), int(last or first) + 1)
    return found


def describe(cpus, root=SYS):
    """{"sockets", "cores", "numa_nodes", "smt", "governors", "caches", "cpus": [{"cpu", "socket", "core", "numa",
    "siblings"}]} of these CPUs."""
    nodes = {cpu: int(node.name[4:]) for node in sorted((root / "node").glob("node[0-9]*"))
             for cpu in cpu_list(_read(node / "cpulist"))}
    rows = []
    for cpu in sorted(cpus):
        folder = root / "cpu" / f"cpu{cpu}"
        rows.append({"cpu": cpu, "socket": _number(folder / "topology/physical_package_id"),
                     "core": _number(folder / "topology/core_id"), "numa": nodes.get(cpu),
                     "siblings": cpu_list(_read(folder / "topology/thread_siblings_list")) or [cpu]})
    governors = {_read(root / "cpu" / f"cpu{cpu}" / "cpufreq/scaling_governor") for cpu in cpus}
    return {"sockets": _count(row["socket"] for row in rows),
            "cores": _count((row["socket"], row["core"]) for row in rows),
            "numa_nodes": _count(row["numa"] for row in rows),
            "smt": any(len(row["siblings"]) > 1 for row in rows),
            "governors": sorted(governors - {None}) or None, "caches": _caches(min(cpus), root), "cpus": rows}


def _caches(cpu, root):
    """{"L1d": KiB, ...} that this CPU has or shares: they tell apart processors of one name. None if not said."""
    found = {}
    for folder in sorted((root / "cpu" / f"cpu{cpu}" / "cache").glob("index[0-9]*")):
        level, kind, size = (_read(folder / name) for name in ("level", "type", "size"))
        if level and size and size.endswith("K"):
            found[f"L{level}" + {"Data": "d", "Instruction": "i"}.get(kind, "")] = int(size[:-1])
    return found or None


def _count(values):
    known = [value for value in values if value is not None and value != (None, None)]
    return len(set(known)) or None


def in_order(topology):
    """The CPUs, one of each core first: hyperthreads meet only when there are more threads than cores."""
    first, again, seen = [], [], set()
    for row in topology["cpus"]:
        core = (row["socket"], row["core"]) if row["core"] is not None else ("cpu", row["cpu"])
        (again if core in seen else first).append(row["cpu"])
        seen.add(core)
    return first + again


def kind_of(topology, a, b):
    """"sibling", "same socket" or "other socket"."""
    one, other = (next(row for row in topology["cpus"] if row["cpu"] == cpu) for cpu in (a, b))
    if b in one["siblings"]:
        return KINDS[0]
    return KINDS[1] if one["socket"] == other["socket"] else KINDS[2]


def pairs(topology):
    """{kind: the first pair of CPUs of that kind}, of the kinds that there are."""
    found = {}
    cpus = [row["cpu"] for row in topology["cpus"]]
    for i, a in enumerate(cpus):
        for b in cpus[i + 1:]:
            found.setdefault(kind_of(topology, a, b), (a, b))
    return {kind: found[kind] for kind in KINDS if kind in found}


def stolen(stat=Path("/proc/stat")):
    """Ticks that the hypervisor gave to others, of all CPUs since boot; None if not said."""
    for line in (_read(stat) or "").splitlines():
        fields = line.split()
        if fields[0] == "cpu" and len(fields) > 8:
            return int(fields[8])
    return None


def load():
    return list(os.getloadavg())
