"""benchmarks/peers: every way gives the serial answer, and the tables show losses as losses."""

import itertools
import json
import subprocess
import sys

import pytest
from bench_programs import BENCHMARKS, PATHS, run_benchmark, skip_without_page_libraries


@pytest.fixture(scope="module", autouse=True)
def modules():
    """The benchmark's modules, found as it finds them."""
    paths = [str(BENCHMARKS / "peers"), *PATHS]
    sys.path[:0] = paths
    yield
    for path in paths:
        sys.path.remove(path)


@pytest.mark.slow
@pytest.mark.noasan
def test_all_of_it_small(tmp_path):
    done = run_benchmark("peers/bench_peers.py", "--smoke", "--json", tmp_path / "out.json")
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "out.json").read_text())
    import peer_workloads
    assert set(record["workloads"]) == set(peer_workloads.WORKLOADS) and len(peer_workloads.WORKLOADS) == 10
    for name, case in record["workloads"].items():
        assert {"serial", "objtunnel", "processes", "threads"} <= set(case["times"]), (name, case["left_out"])
        assert all(seconds > 0 for times in case["times"].values() for seconds in times)
        assert case["memory"]["processes"][0] > case["memory"]["serial"][0] > 10e6
        shares = name in ("config", "counter", "cache")
        assert ("tunnels" in case["times"]) == (not shares), case["left_out"]
        assert ("queues" in case["times"]) == (sys.version_info >= (3, 14) and not shares), case["left_out"]
        assert ("interpreters" in case["left_out"]) == (sys.version_info < (3, 14) or name in ("counter", "cache"))
    skip_without_page_libraries()
    page = run_benchmark("peers/peer_tables.py", tmp_path / "out.json", "-o", tmp_path)
    assert page.returncode == 0, page.stderr
    assert "| json |" in (tmp_path / "out.md").read_text()


@pytest.mark.noasan
def test_jobs_through_two_tunnels_come_back_in_order_and_are_not_copied():
    import ways
    import peer_workloads
    with ways.Tunnels(2, True) as way:
        answers = list(way.map(peer_workloads.square, iter(range(50))))
        receipts = []
        send = way.jobs.send
        way.give = lambda job: receipts.append(send(job))
        lists = list(way.map(peer_workloads.use_matrices, ([peer_workloads.Matrix(3, i)] for i in range(5))))
    assert answers == [peer_workloads.square(i) for i in range(50)] and lists == [
        peer_workloads.use_matrices([peer_workloads.Matrix(3, i)]) for i in range(5)]
    assert all(receipt.moved > receipt.copied for receipt in receipts), receipts


@pytest.mark.noasan
@pytest.mark.parametrize("name", ["objtunnel", "processes", "threads", "tunnels"])
def test_all_workers_have_worked_before_the_time_is_taken(name):
    import ways
    import peer_workloads
    with ways.WAYS[name](2, True) as way:
        if name == "processes":
            assert len(way.pool._processes) == 2
        seen = set()
        way.wake(lambda function, items: seen.update(way.map(function, items)) or seen)
        assert len(seen) == 2
        assert list(way.map(peer_workloads.increment, range(250))) == list(range(1, 251))


def test_a_way_whose_second_worker_never_works_says_so(monkeypatch):
    import ways
    monkeypatch.setattr(ways.time, "monotonic", itertools.count(0, 20).__next__)
    with pytest.raises(RuntimeError, match="of 2 workers only 1 work"):
        ways.Way(2, True).wake(lambda function, items: [7 for _ in items])


@pytest.mark.slow
@pytest.mark.noasan
def test_a_way_that_does_not_run_is_left_out_with_the_reason(tmp_path):
    done = run_benchmark("peers/bench_peers.py", "--smoke", "--filter", "^tiny$", "--json", tmp_path / "out.json",
                         FREE_THREADED="/bin/false")
    assert done.returncode == 0, done.stderr
    assert "tiny, free-threaded: no output" in done.stdout


def record():
    case = {"times": {"serial": [2.0, 4.0], "objtunnel": [1.0, 2.0], "threads": [4.0, 4.0]},
            "memory": {"serial": [50e6], "objtunnel": [70e6], "threads": [50e6]},
            "left_out": {"interpreters": "this Python has none"}, "control": [2.0, 2.0]}
    return {"workloads": {"json": case}, "machine": {"python": "3.14.10 (main)", "cpu": "a CPU", "commit": "0123"},
            "workers": 2, "repeat": 2, "smoke": False}


def test_losses_are_losses():
    import peer_tables
    text = peer_tables.as_text(record())
    assert "1.50 s, 2.00 (2.00 to 2.00)" in text
    assert "4.00 s, 0.75 (0.50 to 1.00): slower" in text
    assert "100 %" in text and "38 %" in text and "json, interpreters: this Python has none" in text
    [part] = peer_tables.context([record()])["parts"]
    _, _, rows = part["tables"][0]
    assert rows == [["json", "3.00 s", "1.50 s, 2.00 (2.00 to 2.00)", "4.00 s, 0.75 (0.50 to 1.00): slower", "2.00"]]
    assert part["left_out"] == ["json, interpreters: this Python has none"]


def test_what_ran_beside_a_bad_control_is_left_out():
    import peer_tables
    spoilt = record()
    case = spoilt["workloads"]["json"]
    case["times"] = {way: [*times, times[0] * 9] for way, times in case["times"].items()}
    case["memory"] = {way: values * 3 for way, values in case["memory"].items()}
    case["control"] = [2.0, 2.0, 1.79]
    text = peer_tables.as_text(spoilt)
    assert "1.50 s, 2.00 (2.00 to 2.00)" in text and "json, all: 1 of 3 repetitions, whose control was bad" in text
    case["commit"] = "4567"
    assert peer_tables.commits(peer_tables.beside_a_good_control(spoilt)) == "commit 4567"
    case["control"] = [2.0, 1.2, 1.79]
    text = peer_tables.as_text(spoilt)
    assert "2.00 (2.00" not in text and "json, all: 2 of 3 repetitions ran beside a bad control" in text
    assert "json" in peer_tables.readme_table(spoilt)
    assert "2.00 (2.00" in peer_tables.as_text({**spoilt, "smoke": True})


@pytest.mark.slow
@pytest.mark.noasan
def test_a_second_run_into_a_file_keeps_its_other_workloads(tmp_path):
    out = tmp_path / "out.json"
    for choice in ("counter", "tiny"):
        done = run_benchmark("peers/bench_peers.py", "--smoke", "--filter", f"^{choice}$", "--json", out)
        assert done.returncode == 0, done.stderr
        record = json.loads(out.read_text())
        record["machine"]["commit"] = choice[0] * 4
        for case in record["workloads"].values():
            case["commit"] = case["commit"] if len(case["commit"]) == 4 else choice[0] * 4
        out.write_text(json.dumps(record))
    import peer_tables
    assert list(record["workloads"]) == ["tiny", "counter"]
    assert peer_tables.commits(record) == "commit tttt: tiny; commit cccc: counter"
    done = run_benchmark("peers/bench_peers.py", "--smoke", "--repeat", "2", "--filter", "^tiny$", "--json", out)
    assert done.returncode != 0 and "has the repeat 1, not 2; choose another file" in done.stderr
    assert json.loads(out.read_text()) == record


def test_answers_that_differ_end_the_run(monkeypatch):
    import bench_peers
    answers = itertools.chain([1, 2], itertools.repeat(1))

    def pretend(command, **options):
        result = {"seconds": 1.0, "answer": next(answers), "memory": 1}
        return subprocess.CompletedProcess(command, 0, json.dumps(result), "")

    class Options:
        smoke, quick, repeat, json = True, False, None, None

    run = bench_peers.Run(Options)
    monkeypatch.setattr(bench_peers.subprocess, "run", pretend)
    with pytest.raises(SystemExit, match="tiny: the answers differ"):
        run.measure("tiny")


def test_every_python_reads_the_same_texts(tmp_path, monkeypatch):
    import inputs
    (tmp_path / "short.py").write_text("a b", encoding="utf-8")
    (tmp_path / "long.py").write_text("a b c", encoding="utf-8")
    monkeypatch.setenv("PEERS_TEXTS", str(tmp_path))
    assert inputs.source_texts(3) == ["a b c", "a b"] and inputs.source_texts(1) == ["a b c"]


def test_workloads_count_what_they_should():
    import peer_workloads
    assert peer_workloads.count_words("a b A_c a") == {"a": 2, "b": 1, "a_c": 1}
    assert peer_workloads.invert(bytes([0, 255, 1])) == bytes([255, 0, 254])
    assert len(peer_workloads.parse_csv(0)) == 5000 and peer_workloads.parse_csv(0)[3] == {
        "id": 3, "name": "name 3", "value": 3 / 7, "third": True}


def pretended(monkeypatch, outcome):
    """What a run of the workload tiny records when each sample ends as outcome says."""
    import bench_peers

    class Options:
        smoke, quick, repeat, json = True, False, None, None

    run = bench_peers.Run(Options)
    run.programs = {"serial": sys.executable}
    monkeypatch.setattr(bench_peers.subprocess, "run", outcome)
    return run.measure("tiny")


def test_a_sample_without_an_end_is_left_out(monkeypatch):
    def hang(command, timeout, **options):
        raise subprocess.TimeoutExpired(command, timeout)

    case = pretended(monkeypatch, hang)
    assert case["left_out"] == {"serial": "no end after 300 s"} and case["times"] == {}


def test_what_a_library_prints_at_exit_is_no_result(monkeypatch):
    def chatter(command, **options):
        return subprocess.CompletedProcess(command, 0, '{"seconds": 1.5, "answer": 2, "memory": 3}\n[a proxy]\n', "")

    case = pretended(monkeypatch, chatter)
    assert case["times"] == {"serial": [1.5]} and case["memory"] == {"serial": [3]} and case["left_out"] == {}


@pytest.mark.slow
@pytest.mark.noasan
def test_libraries_that_are_not_there_are_left_out(tmp_path):
    done = run_benchmark("peers/one.py", "tiny", "bocpy", 2, "smoke")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[0]).keys() in ({"not"}, {"seconds", "answer", "memory"})


def test_the_readme_table_has_losses_in_bold():
    import peer_tables
    assert peer_tables.readme_table(record()) == (
        "|  | objtunnel | threads | control |\n| --- | --- | --- | --- |\n"
        "| json | 2.00 (2.00 to 2.00) | **0.75 (0.50 to 1.00)** | 2.00 |\n")
