"""benchmarks/stream: all of it small, and the tables."""

import json

import pytest
from bench_programs import BENCHMARKS, run_benchmark, skip_without_page_libraries


def is_there(name):
    try:
        __import__(name)
    except ImportError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.noasan
def test_all_of_it_small(tmp_path):
    done = run_benchmark("stream/bench_stream.py", "--smoke", "--json", tmp_path / "stream-out-cp313.json")
    assert done.returncode == 0, done.stderr
    cases = json.loads((tmp_path / "stream-out-cp313.json").read_text())["cases"]
    assert list(cases) == ["round_trip", "pipeline", "frames"]
    assert all(seconds > 0 for case in cases.values() for times in case["times"].values() for seconds in times)
    assert len(cases["round_trip"]["times"]) == 6 + is_there("uvloop") and len(cases["pipeline"]["times"]) == 3
    assert len(cases["frames"]["times"]) == 4 * is_there("numpy")
    for name, case in cases.items():
        assert len(case["times"]) + len(case["left_out"]) == {"round_trip": 7, "pipeline": 3, "frames": 4}[name]
        for reason in case["left_out"].values():
            assert reason in done.stdout
    skip_without_page_libraries()
    page = run_benchmark("stream/stream_page.py", tmp_path / "stream-out-cp313.json", "-o", tmp_path)
    assert page.returncode == 0, page.stderr
    assert "| recv_async, loops on both sides |" in (tmp_path / "stream-out.md").read_text()


def test_the_tables(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS / "stream")
    import stream_page
    case = {"items": 10, "control": [1.6, 2.0], "left_out": {},
            "times": {"one after the other": [0.002, 0.004], "pipeline, two stages": [0.001, 0.002]}}
    header, serial, stages = stream_page.pipeline(case)
    assert len(header) == len(serial) == len(stages) == 5
    assert stages[2:] == ["750 (500 to 1,000)", "2.00 (2.00 to 2.00)", "1.12 (1.00 to 1.25)"]
    case["times"] = {"tunnel": [0.001], "made only": [0.0005]}
    assert [row[-1] for row in stream_page.frames(case)] == ["the tunnel's times as fast", "-", "0.50 (0.50 to 0.50)"]
