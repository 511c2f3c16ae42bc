"""The page on refcount benchmarks: its tables follow the numbers, whatever they are; and what the C
program prints becomes a results file."""

import io
import json
import random
import re
import sys
from pathlib import Path
from statistics import median

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks" / "refcount"
sys.path[:0] = [str(FOLDER), str(FOLDER.parent / "common")]
import bench_refcount  # noqa: E402
import refcount_page  # noqa: E402
from formats import factor, nanoseconds, number, verdict  # noqa: E402
from results import BadResults, Results, compare, difference  # noqa: E402

sys.path[:] = [p for p in sys.path if p not in (str(FOLDER), str(FOLDER.parent / "common"))]

# ns a pair: alone, shared by two, neighbours.
COSTS = {
    "plain": (2.2, 8, 7), "lock": (9.5, 70, 66), "xadd": (9.6, 72, 67), "seq_cst": (9.5, 71, 66),
    "acq_rel": (9.4, 70, 65), "cas": (12, 130, 110), "immortal_plain": (2.4, 9, 8),
    "immortal_lock": (9.8, 71, 66), "cpython313": (6.4, 12, 11), "cpython314": (2.4, 9, 8),
    "immortal_plain_none": (0.9, 0.9, 0.9),
    "immortal_lock_none": (0.9, 0.9, 0.9), "biased": (3.1, 75, 3.4), "sharded": (11, 11.2, 11),
    "deferred": (5, 9, 5),
}
LOCK_COSTS = {"lk_inc2006": (10, 300), "lk_ttas": (7, 90), "lk_ticket": (8, 250),
              "lk_pthread": (12, 180), "lk_pymutex": (11, 120)}
ONE_THREAD = {"plain", "immortal_plain", "cpython313", "cpython314"}
PATTERNS = ["private", "shared", "false_sharing", "read_mostly", "ping_pong", "mix_1", "mix_10",
            "mix_50", "stream_seq", "stream_rand", "private_each", "shared_each"]
SHARING = {"private": 0, "shared": 1, "false_sharing": 0, "read_mostly": 1, "ping_pong": 0.3,
           "mix_1": 0.01, "mix_10": 0.1, "mix_50": 0.5, "stream_seq": 0.02, "stream_rand": 0.02,
           "private_each": 0, "shared_each": 1}
WAITS = {"p50": 1, "p90": 1.5, "p99": 3, "p999": 20, "longest": 4000}  # to the mean
SIZES = [1000, 100000, 10000000]


def synthetic(thread_counts=(1, 2), repeat=5, noise=0.03, seed=1, patterns=PATTERNS,
              control=0.98):
    """A results file as the C program writes it, with costs from the tables above."""
    rng = random.Random(seed)
    cases, skipped, controls = [], [], []
    for pattern in patterns:
        for size in SIZES if pattern.startswith("stream") else [None]:
            for n in thread_counts:
                if pattern == "ping_pong" and n != 2:
                    continue
                for repetition in range(repeat if n > 1 else 0):
                    controls.append({"pattern": pattern, "size": size, "threads": n,
                                     "repetition": repetition, "times_one": n * control})
                names = list(COSTS)
                if pattern in ("private", "shared"):
                    names += LOCK_COSTS
                for name in names:
                    if name == "sharded" and size == SIZES[-1]:
                        skipped.append({"pattern": pattern, "size": size, "variant": name,
                                        "threads": n, "why": "needs 20,000 MiB"})
                        continue
                    cases.append(make_case(rng, pattern, size, name, n, repeat, noise))
    return {
        "schema": 3, "date": "2026-01-02", "clock": {"tick_ns": 0.5, "own_ns": 12.5},
        "machine": {"cpu": "Test CPU", "cores": max(thread_counts),
                    "allowed_cpus": list(range(max(thread_counts))), "kernel": "6.1",
                    "cache_line": 64, "virtualised": True},
        "build": {"compiler": "gcc 14", "flags": "-O3", "commit": "0123456789ab"},
        "options": {"seconds": 0.03, "repeat": repeat, "threads": list(thread_counts),
                    "sizes": SIZES},
        "counters": {"available": False, "why_not": "EACCES", "names": []},
        "control": controls, "cases": cases, "skipped": skipped,
        "variants": [{"name": name, "text": name, "kind": "refcount",
                      "one_thread": name in ONE_THREAD,
                      "object_bytes": 2048 if name == "sharded" else 8} for name in COSTS]
        + [{"name": name, "text": name, "kind": "lock", "one_thread": False, "object_bytes": 8}
           for name in LOCK_COSTS],
        "patterns": [{"name": name, "text": f"about {name}",
                      "op": "read" if name == "read_mostly" else "pair"} for name in patterns],
    }


def make_case(rng, pattern, size, name, n, repeat, noise):
    if name in LOCK_COSTS:
        base, shared = LOCK_COSTS[name]
    else:
        base, shared, neighbours = COSTS[name]
        shared = neighbours if pattern == "false_sharing" else shared
    sharing = 0 if n == 1 else 1 if pattern == "false_sharing" else SHARING[pattern]
    ns = base + (shared - base) * sharing * n / 2
    if pattern == "read_mostly":
        ns = 0.5 if n == 1 else 0.5 + ns / 10
    if size is not None:
        ns += {1000: 0.1, 100000: 3, 10000000: 40}[size] * (3 if pattern == "stream_rand" else 1)
    times = [ns * (1 + noise * rng.uniform(-1, 1)) for _ in range(repeat)]
    return {"pattern": pattern, "size": size, "variant": name, "threads": n,
            "wrong": n > 1 and name in ONE_THREAD and SHARING[pattern] > 0
            and pattern != "ping_pong",
            "ns": times, "ops_per_s": [n * 1e9 / t for t in times],
            "fairness": [rng.uniform(0.9, 1) if n > 1 else 1.0 for _ in times],
            "latency": [{q: t * by for q, by in WAITS.items()} for t in times] if pattern.endswith("_each") else None,
            "cycles_per_op": None,
            "instructions_per_op": None, "misses_per_op": None, "hitm_per_op": None,
            "note": None}


def find(record, pattern, variant, n, size=None):
    for case in record["cases"]:
        if (case["pattern"], case["variant"], case["threads"], case["size"]) == (
                pattern, variant, n, size):
            return case
    raise AssertionError("no such case")


def page(record):
    return refcount_page.context(Results(record), "refcount-test")


def row_of(rows, name):
    found, = [row for row in rows if row[0] == name]
    return found


@pytest.fixture
def record():
    return synthetic()


# ---- numbers -----------------------------------------------------------------------------------

@pytest.mark.parametrize("value, text", [
    (0.0042, "0.0042"), (0.5, "0.50"), (0.996, "1.00"), (5.318, "5.32"), (9.996, "10.0"),
    (12.44, "12.4"), (99.96, "100"), (1234.5, "1,234"), (-3.1, "-3.10"), (0, "0")])
def test_numbers_have_three_digits(value, text):
    assert number(value) == text


def test_alone_is_computed_from_the_samples(record):
    lock, plain = (find(record, "private", name, 1)["ns"] for name in ("lock", "plain"))
    ratios = [a / b for a, b in zip(lock, plain)]
    row = row_of(page(record)["alone"], "`lock`")
    assert row[1] == f"{number(median(lock))} ns ({number(min(lock))} to {number(max(lock))})"
    assert row[2] == f"{number(median(ratios))} ({number(min(ratios))} to {number(max(ratios))})"
    assert row[3] == "slower"


def test_more_repetitions_make_the_interval_narrower():
    """Thirty samples: the tenth and the twenty-first, not the smallest and the largest."""
    record = synthetic(repeat=30, patterns=["private"], thread_counts=(1,))
    samples = sorted(find(record, "private", "lock", 1)["ns"])
    figure = Results(record).case("private", "lock", 1).time
    assert (figure.low, figure.high) == (samples[9], samples[20]) and figure.level >= 0.95


def test_across_patterns_the_interval_holds_both_medians(record):
    shared, own = (find(record, p, "lock", 2)["ns"] for p in ("shared", "private"))
    results = Results(record)
    ratio = compare(results.case("shared", "lock", 2), results.case("private", "lock", 2))
    assert ratio.mid == pytest.approx(median(shared) / median(own))
    assert ratio.low == pytest.approx(min(shared) / max(own))
    assert ratio.level == pytest.approx(2 * (1 - 2 / 2 ** 5) - 1)


def test_every_time_in_the_tables_is_in_the_json(record):
    results = Results(record)
    shown = page(record)
    known = {nanoseconds(case.time) for case in results.cases}
    cells = [cell for key in ("alone", "widths", "shared", "mixes", "neighbours", "immortal", "clever",
                              "ping_pong", "locks") for row in shown[key] for cell in row]
    claimed = {cell for cell in cells if re.fullmatch(r"[\d.,]+ ns \([^)]*\)", cell)}
    assert len(claimed) > 50 and claimed <= known


def test_times_ten_changes_times_and_no_ratio(record):
    before = page(record)
    for case in record["cases"]:
        case["ns"] = [10 * t for t in case["ns"]]
        case["ops_per_s"] = [x / 10 for x in case["ops_per_s"]]
    after = page(record)
    assert [row[2] for row in before["alone"]] == [row[2] for row in after["alone"]]
    assert [row[1:3] for row in before["short"]] == [row[1:3] for row in after["short"]]
    assert before["alone"] != after["alone"]


# ---- comparisons -------------------------------------------------------------------------------

def two_cases(a, b):
    record = synthetic(patterns=["private"])
    find(record, "private", "lock", 1).update(ns=a, ops_per_s=[1] * len(a), fairness=[1] * len(a))
    find(record, "private", "plain", 1).update(ns=b, ops_per_s=[1] * len(b), fairness=[1] * len(b))
    results = Results(record)
    return results.case("private", "lock", 1), results.case("private", "plain", 1)


@pytest.mark.parametrize("a, b, ratio, word", [
    ([10, 11, 12], [5, 5, 5], "2.20 (2.00 to 2.40)", "slower"),
    ([5, 5, 5], [10, 11, 12], "0.45 (0.42 to 0.50)", "faster"),
    ([5, 5.2, 4.9], [5, 5, 5], "1.00 (0.98 to 1.04)", "not told from 1"),
    ([5.05, 5.05, 5.05], [5, 5, 5], "1.01 (1.01 to 1.01)", "not told from 1"),  # below 2 %
    ([5, 20, 20], [10, 10, 10], "2.00 (0.50 to 2.00)", "not told from 1"),
    ([7], [5], "1.40 (one sample)", "slower")])
def test_comparisons(a, b, ratio, word):
    figure = compare(*two_cases(a, b))
    assert (factor(figure), verdict(figure)) == (ratio, word)


def test_paired_ratios_see_through_a_machine_that_slows_down():
    """Both get slower from repetition to repetition; their ratio does not."""
    ratio = compare(*two_cases([10, 20, 40], [5, 10, 20]))
    assert factor(ratio) == "2.00 (2.00 to 2.00)"
    assert difference(*two_cases([10, 20, 40], [5, 10, 20])).mid == 10


def test_what_a_lock_adds_is_said_if_it_is_above_nothing(record):
    assert page(record)["each_lock"].mid == pytest.approx((9.5 - 2.2) / 2, rel=0.1)
    for case in record["cases"]:
        if case["variant"] in ("lock", "plain"):
            case["ns"] = [5.0, 5.3, 4.8, 5.1, 5.2]
    assert page(record)["each_lock"] is None


def test_variants_that_lose_counts_are_marked(record):
    shown = page(record)
    assert row_of(shown["shared"], "`plain` (loses counts)") and row_of(shown["alone"], "`plain`")
    assert any("`cpython313`" in text for text in shown["doubts"])


def test_the_widths_of_cpython_stand_beside_lock(record):
    rows = page(record)["widths"]
    assert [row[0] for row in rows] == [f"`{name}`" for name in refcount_page.CPYTHON]
    assert row_of(rows, "`cpython313`")[3].startswith("0.6")  # 6.4 by 9.5


def test_unequal_threads_are_told_apart(record):
    """A mean over an owner and others that queue is nobody's time."""
    case = find(record, "shared", "biased", 2)
    case["ns"], case["fairness"] = [10.0] * 5, [0.25] * 5
    # In 40 ns the fast thread did 6.4 pairs, the slow one 1.6: 8 in all, 10 ns each for two.
    assert ["`biased`", "`shared`", "0.25 (0.25 to 0.25)", "6.25 ns (6.25 to 6.25)",
            "25.0 ns (25.0 to 25.0)"] in page(record)["unequal"]
    assert not any("`sharded`" in row for row in page(record)["unequal"])


# ---- what the machine did not give ---------------------------------------------------------------

def test_full_control_raises_no_doubt(record):
    assert not any("did not always" in text for text in page(record)["doubts"])


def test_a_repetition_without_its_cores_does_not_count(record):
    """Nor does its sample move a figure, and of its own group alone."""
    for control in record["control"]:
        if (control["pattern"], control["threads"], control["repetition"]) == ("shared", 2, 3):
            control["times_one"] = 1.1
    find(record, "shared", "lock", 2)["ns"][3] = 1e6
    results = Results(record)
    assert len(results.case("shared", "lock", 2).ns) == 4
    assert results.case("shared", "lock", 2).time.high < 1e3
    assert len(results.case("private", "lock", 2).ns) == 5
    assert any("`shared` with 2 threads (1.10 cores)" in text for text in page(record)["doubts"])


def test_single_operations_wait_as_the_program_found(record):
    case = find(record, "shared_each", "lock", 2)
    rows = page(record)["waits"]
    assert len(rows) == 2 * len(COSTS)
    row = row_of(rows, "`lock`, 2 threads, one object")
    assert [cell.split(" (")[0] for cell in row[1:]] == [
        f"{number(median(times[q] for times in case['latency']))} ns" for q in WAITS]
    assert row_of(rows, "`lock`, alone") and page(record)["clock_ns"] == 12.5


def test_a_repetition_without_its_cores_has_no_latency(record):
    find(record, "shared_each", "lock", 2)["latency"][3]["p50"] = 1e6
    for control in record["control"]:
        if (control["pattern"], control["threads"], control["repetition"]) == ("shared_each", 2, 3):
            control["times_one"] = 1.1
    case = Results(record).case("shared_each", "lock", 2)
    assert len(case.latency) == 4 and case.waits("p50").high < 1e3


def test_a_page_of_an_older_file_has_no_latencies(record):
    for case in record["cases"]:
        del case["latency"]
    record["schema"] = 2
    del record["clock"]
    assert Results(record).case("shared_each", "lock", 2).waits("p50") is None
    record["cases"] = [case for case in record["cases"] if not case["pattern"].endswith("_each")]
    assert page(record)["waits"] == []


@pytest.mark.parametrize("schema", [1, 2, 3])
def test_no_figure_comes_from_a_run_without_its_cores(record, schema):
    if schema == 1:  # one control for a group
        record["schema"] = 1
        record["control"] = [{"pattern": "shared", "threads": 2, "times_one": 1.79},
                             {"pattern": "private", "threads": 2, "times_one": 1.81}]
    else:
        for control in record["control"]:
            control["times_one"] = 1.79 if control["pattern"] == "shared" else 1.81
    results = Results(record)
    assert results.case("shared", "lock", 2) is None and results.case("private", "lock", 2)
    assert "control was too low" in results.why_skipped("shared", "lock", 2)
    assert row_of(page(record)["short"], "`lock`, 2 threads: one shared line against a line each")[1] == (
        "not measured")


def test_trial_runs_are_called_so():
    assert "This is a trial run: 1 repetition " in page(synthetic(repeat=1))["doubts"][0]
    assert not any("trial run" in text for text in page(synthetic())["doubts"])


def test_more_threads_than_cpus(record):
    record["machine"]["allowed_cpus"] = [0]
    assert any("2 threads had to share 1 CPU:" in text for text in page(record)["doubts"])


def test_figures_use_the_most_threads_that_have_cores():
    record = synthetic(thread_counts=(1, 2, 4, 8))
    record["machine"]["allowed_cpus"] = [0, 1, 2, 3]
    assert page(record)["n"] == 4
    assert row_of(page(record)["short"], "`lock`, 4 threads: one shared line against a line each")


# ---- parts of a run ------------------------------------------------------------------------------

def test_skipped_cases_are_listed_with_their_reason(record):
    assert ["`stream_seq`", "10,000,000", "`sharded`", "1", "needs 20,000 MiB"] in page(record)["skipped"]


def test_samples_without_operations_are_skipped(record):
    find(record, "shared", "lk_inc2006", 2)["ops_per_s"][3] = 0
    assert any(row[-1] == "a sample without a single operation" for row in page(record)["skipped"])


@pytest.mark.parametrize("seed", range(12))
def test_any_part_of_a_run_makes_a_page(seed):
    rng = random.Random(seed)
    record = synthetic(thread_counts=rng.choice([(1,), (2,), (1, 2), (1, 2, 3), (8,)]),
                       repeat=rng.choice([1, 2, 5]), noise=rng.choice([0, 0.5]))
    keep = rng.choice([0, 0.1, 0.6])
    record["cases"] = [case for case in record["cases"] if rng.random() < keep]
    record["control"] = record["control"][:rng.randrange(3)]
    shown = page(record)
    for rows in (value for value in shown.values() if isinstance(value, list)):
        for row in rows:
            assert not re.search(r"\b(nan|inf|None)\b", " ".join(row) if isinstance(row, list) else "")
    assert shown["facts"] and shown["short"]


@pytest.mark.parametrize("spoil", [
    lambda record: record.pop("cases"), lambda record: record.update(schema=4), lambda record: record.pop("clock"),
    lambda record: record["cases"][0].pop("ns")])
def test_other_files_are_refused(record, spoil):
    spoil(record)
    with pytest.raises(BadResults):
        Results(record)


def test_the_committed_results_can_still_be_read():
    paths = sorted((FOLDER.parents[1] / "docs" / "results").glob("refcount-*.json"))
    assert paths
    for path in paths:
        results = Results.load(path)
        assert results.case("private", "lock", 1) and page(json.loads(path.read_text()))["alone"]


# ---- the program's lines -------------------------------------------------------------------------

def lines_of(record):
    """What the program would have printed: each group's cases, then sample after sample."""
    known = {key: record[key] for key in ("schema", "machine", "build", "options", "date", "counters",
                                          "clock", "variants", "patterns")}
    yield {"line": "run", **known, "weight": 1.0}
    yield from ({"line": "skipped", **row} for row in record["skipped"])
    for group in dict.fromkeys((c["pattern"], c["size"], c["threads"]) for c in record["cases"]):
        cases = [c for c in record["cases"] if (c["pattern"], c["size"], c["threads"]) == group]
        for case in cases:
            yield {"line": "case", **{key: case[key] for key in (
                "pattern", "size", "variant", "threads", "wrong", "note")}}
        for i in range(record["options"]["repeat"]):
            yield from ({"line": "control", **row} for row in record["control"] if i == row["repetition"]
                        and (row["pattern"], row["size"], row["threads"]) == group)
            for case in cases if i % 2 == 0 else reversed(cases):
                yield {"line": "sample", **{key: case[key] for key in (
                    "pattern", "size", "variant", "threads")}, "repetition": i, "weight": 0.01,
                    **{key: case[key][i] for key in ("ns", "ops_per_s", "fairness")}, "ops": 100,
                    "latency": case["latency"] and case["latency"][i],
                    "cycles": 300, "instructions": None, "cache misses": None, "HITM loads": None}
        yield {"line": "end"}


@pytest.fixture
def program(tmp_path):
    """A program that prints these lines."""
    def made(lines, status=0):
        path = tmp_path / "program"
        text = "".join(json.dumps(line) + "\n" for line in lines)
        path.write_text(f"#!{sys.executable}\nprint({text!r}, end='')\nraise SystemExit({status})\n")
        path.chmod(0o755)
        return path
    return made


def test_the_programs_lines_become_a_results_file(program):
    record = synthetic(thread_counts=(1, 2), patterns=["private", "shared", "shared_each"])
    shown = []
    made = bench_refcount.measure(program(lines_of(record)), [], lambda text: None,
                                  lambda record, group: shown.append(group)).whole()
    assert len(shown) == 6 and all(len({key[0] for key in group}) == 1 for group in shown)
    for case in record["cases"]:
        case["cycles_per_op"] = 3
    assert sorted(made["control"], key=str) == sorted(record["control"], key=str)
    assert made["cases"] == record["cases"] and made["machine"] == record["machine"]
    assert page(made)["alone"] == page(record)["alone"]


@pytest.mark.parametrize("spoil, says", [
    (lambda lines: lines[1:], "began with a line"), (lambda lines: [lines[0], *lines], "began twice"),
    (lambda lines: [*lines, {"line": "what"}], "nobody knows"),
    (lambda lines: [line for line in lines if line.get("repetition") != 1], "out of order")])
def test_lines_that_do_not_belong_are_an_error(program, spoil, says):
    lines = list(lines_of(synthetic(thread_counts=(1,), patterns=["private"])))
    with pytest.raises(bench_refcount.Failed, match=says):
        bench_refcount.measure(program(spoil(lines)), [], lambda text: None, lambda record, group: None)


def test_a_failure_of_the_program_is_one(program):
    with pytest.raises(SystemExit) as error:
        bench_refcount.measure(program([], status=3), [], lambda text: None, lambda record, group: None)
    assert error.value.code == 3


def test_the_tables_show_each_case(program):
    pytest.importorskip("tabulate", reason="make report installs it")
    out = io.StringIO()
    record = synthetic(thread_counts=(1, 2), patterns=["private", "stream_seq"])
    bench_refcount.measure(program(lines_of(record)), [], lambda text: None,
                           bench_refcount.show_on(out))
    text = out.getvalue()
    assert text.count("== `") == 2 + 2 * len(SIZES)
    for case in Results(record).cases:
        assert nanoseconds(case.time) in text


def test_results_come_from_a_clean_tree_only(program, tmp_path, capsys):
    record = synthetic(thread_counts=(1,), patterns=["private"])
    record["build"]["commit"] = "0123456789ab+"
    arguments = ["--program", str(program(lines_of(record))), "--json", str(tmp_path / "out.json")]
    assert bench_refcount.main(arguments) == 2
    assert "without changes" in capsys.readouterr().err and not (tmp_path / "out.json").exists()


# ---- the page ----------------------------------------------------------------------------------

@pytest.fixture
def report(monkeypatch):
    for library in ("matplotlib", "jinja2", "markdown"):
        pytest.importorskip(library, reason="make report installs it")
    monkeypatch.syspath_prepend(str(FOLDER.parent / "common"))
    monkeypatch.syspath_prepend(str(FOLDER))
    import refcount_report
    return refcount_report


def test_a_results_file_is_as_its_schema_says(record, report, tmp_path):
    path = tmp_path / "refcount-test.json"
    path.write_text(json.dumps(record))
    assert report.load(path).case("shared_each", "lock", 2)
    find(record, "shared_each", "lock", 2)["latency"][0].pop("p99")
    path.write_text(json.dumps(record))
    with pytest.raises(BadResults, match="refcount.schema.json says: .*latency"):
        report.load(path)
    for text, says in (("[]", "not a results file"), ("{", "not JSON")):
        path.write_text(text)
        with pytest.raises(BadResults, match=says):
            report.load(path)


def test_the_schema_names_all_that_the_program_says(record):
    schema = json.loads((FOLDER / "refcount.schema.json").read_text())
    assert set(schema["required"]) == set(record) == set(schema["properties"])
    case = schema["properties"]["cases"]["items"]
    assert set(case["required"]) | set(schema["definitions"]["setup"]["required"]) == set(record["cases"][0])


def test_the_page_stands_alone_and_has_every_case(record, report):
    results = Results(record)
    text = report.to_markdown(results, "x", {"cost": "x-cost.png"}) + report.all_cases(results)
    html = report.pages.to_html("x", text, {"x-cost.png": "<?xml?><svg ></svg>"})
    assert "<svg role" in html and "<?xml" not in html
    assert not re.search(r'(src|href)="(?!#|x.json)', html)
    for case in results.cases:
        assert f"<td>{nanoseconds(case.time)}</td>" in html


def test_names_are_escaped(record, report):
    record["machine"]["cpu"] = "<script>"
    text = report.to_markdown(Results(record), "x", {})
    assert "<script>" not in report.pages.to_html("x", text, {})


# One thread only is what a machine with one core gives; the plots are drawn twice, which takes
# its time, where there is more to draw.
@pytest.mark.slow
@pytest.mark.parametrize(("thread_counts", "folders"), [((1,), "a"), ((1, 2, 4), "ab")])
def test_command_writes_the_same_bytes_twice(tmp_path, report, thread_counts, folders):
    source = tmp_path / "refcount-test.json"
    source.write_text(json.dumps(synthetic(thread_counts=thread_counts)))
    made = []
    for folder in folders:
        assert report.main([str(source), "-o", str(tmp_path / folder)]) == 0
        made.append({p.name: p.read_bytes() for p in (tmp_path / folder).iterdir()})
    assert made[0] == made[-1]
    assert {"refcount-test.md", "refcount-test.html", "refcount-test-cost.png",
            "refcount-test-throughput.svg", "refcount-test-streams.svg"} <= set(made[0])


def test_command_says_what_is_wrong_with_a_file(tmp_path, report, capsys):
    source = tmp_path / "refcount-bad.json"
    source.write_text("{}")
    assert report.main([str(source)]) == 1
    assert "refcount-bad.json: not a results file" in capsys.readouterr().err
