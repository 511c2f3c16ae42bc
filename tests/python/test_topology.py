"""benchmarks/common/topology.py on folders as the kernel has them, of machines that are not here."""

import sys
from pathlib import Path

import pytest

FOLDER = str(Path(__file__).resolve().parents[2] / "benchmarks" / "common")
sys.path.insert(0, FOLDER)
import topology  # noqa: E402

sys.path.remove(FOLDER)


@pytest.fixture
def machine(tmp_path):
    """Two sockets of two cores of two hyperthreads: CPU 0 and 4 are one core, 0 to 1 and 4 to 5 one socket."""
    for cpu in range(8):
        folder = tmp_path / "cpu" / f"cpu{cpu}"
        (folder / "topology").mkdir(parents=True)
        (folder / "cpufreq").mkdir()
        for name, value in (("physical_package_id", cpu % 4 // 2), ("core_id", cpu % 2),
                            ("thread_siblings_list", f"{cpu % 4},{cpu % 4 + 4}")):
            (folder / "topology" / name).write_text(f"{value}\n")
        (folder / "cpufreq" / "scaling_governor").write_text("performance\n")
        for index, row in enumerate((("1", "Data", "48K"), ("1", "Instruction", "32K"), ("2", "Unified", "2048K"))):
            (folder / "cache" / f"index{index}").mkdir(parents=True)
            for name, value in zip(("level", "type", "size"), row):
                (folder / "cache" / f"index{index}" / name).write_text(f"{value}\n")
    for node in (0, 1):
        (tmp_path / "node" / f"node{node}").mkdir(parents=True)
        (tmp_path / "node" / f"node{node}" / "cpulist").write_text(f"{2 * node}-{2 * node + 1},{2 * node + 4}-{2 * node + 5}\n")
    return tmp_path


def test_sockets_cores_siblings_and_nodes(machine):
    found = topology.describe(range(8), machine)
    assert (found["sockets"], found["cores"], found["numa_nodes"], found["smt"]) == (2, 4, 2, True)
    assert found["governors"] == ["performance"] and found["caches"] == {"L1d": 48, "L1i": 32, "L2": 2048}
    assert found["cpus"][6] == {"cpu": 6, "socket": 1, "core": 0, "numa": 1, "siblings": [2, 6]}


def test_one_cpu_of_each_core_comes_first(machine):
    found = topology.describe(range(8), machine)
    assert topology.in_order(found) == list(range(8))
    assert topology.in_order(topology.describe([0, 4, 1], machine)) == [0, 1, 4]


def test_pairs_of_each_kind(machine):
    found = topology.describe(range(8), machine)
    assert topology.pairs(found) == {"sibling": (0, 4), "same socket": (0, 1), "other socket": (0, 2)}
    assert topology.pairs(topology.describe([0, 1], machine)) == {"same socket": (0, 1)}


def test_a_machine_that_says_nothing(tmp_path):
    found = topology.describe([0, 1], tmp_path)
    assert (found["sockets"], found["cores"], found["smt"], found["governors"]) == (None, None, False, None)
    assert found["caches"] is None
    assert topology.in_order(found) == [0, 1] and topology.pairs(found) == {"same socket": (0, 1)}
    assert topology.stolen(tmp_path / "stat") is None


def test_stolen_ticks(tmp_path):
    (tmp_path / "stat").write_text("cpu  10 0 5 100 0 0 0 42 0 0\ncpu0 1 0 0 0 0 0 0 1 0 0\n")
    assert topology.stolen(tmp_path / "stat") == 42


@pytest.mark.parametrize("text, cpus", [("0-2,5", [0, 1, 2, 5]), ("3", [3]), ("", []), (None, [])])
def test_lists_of_cpus(text, cpus):
    assert topology.cpu_list(text) == cpus
