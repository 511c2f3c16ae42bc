"""The report on refcount benchmarks: its wording follows the numbers, whatever they are."""

import copy
import json
import random
import re
import sys
from pathlib import Path
from statistics import median

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks" / "refcount"
sys.path.insert(0, str(FOLDER))
from findings import Findings, to_markdown  # noqa: E402
from page import to_html  # noqa: E402
from results import BadResults, Results, compare  # noqa: E402
from words import factor, nanoseconds, number, versus  # noqa: E402

sys.path.remove(str(FOLDER))

# ns a pair: alone, shared by two, neighbours.
COSTS = {
    "plain": (2.2, 8, 7), "lock": (9.5, 70, 66), "xadd": (9.6, 72, 67), "seq_cst": (9.5, 71, 66),
    "acq_rel": (9.4, 70, 65), "cas": (12, 130, 110), "immortal_plain": (2.4, 9, 8),
    "immortal_lock": (9.8, 71, 66), "immortal_plain_none": (0.9, 0.9, 0.9),
    "immortal_lock_none": (0.9, 0.9, 0.9), "biased": (3.1, 75, 3.4), "sharded": (11, 11.2, 11),
    "deferred": (5, 9, 5),
}
LOCK_COSTS = {"lk_inc2006": (10, 300), "lk_ttas": (7, 90), "lk_ticket": (8, 250),
              "lk_pthread": (12, 180), "lk_pymutex": (11, 120)}
ONE_THREAD = {"plain", "immortal_plain"}
PATTERNS = ["private", "shared", "false_sharing", "read_mostly", "ping_pong", "mix_1", "mix_10",
            "mix_50", "stream_seq", "stream_rand"]
SHARING = {"private": 0, "shared": 1, "false_sharing": 0, "read_mostly": 1, "ping_pong": 0.3,
           "mix_1": 0.01, "mix_10": 0.1, "mix_50": 0.5, "stream_seq": 0.02, "stream_rand": 0.02}
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
                if n > 1:
                    controls.append({"pattern": pattern, "threads": n, "times_one": n * control})
                names = list(COSTS)
                if pattern in ("private", "shared"):
                    names += LOCK_COSTS
                for name in names:
                    if name == "sharded" and size == SIZES[-1]:
                        skipped.append({"pattern": pattern, "size": size, "variant": name,
                                        "threads": n, "why": "needs 20,000 MiB"})
                        continue
                    cases.append(make_case(rng, pattern, size, name, n, repeat, noise))
    add_ratios(cases)
    return {
        "schema": 1, "date": "2026-01-02",
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
            "ratio_to_plain": None, "scaling": None, "cycles_per_op": None,
            "instructions_per_op": None, "misses_per_op": None, "hitm_per_op": None,
            "note": None}


def add_ratios(cases):
    index = {(c["pattern"], c["size"], c["variant"], c["threads"]): c for c in cases}
    for c in cases:
        if c["variant"] not in LOCK_COSTS:
            plain = index[c["pattern"], c["size"], "plain", c["threads"]]
            c["ratio_to_plain"] = [a / b for a, b in zip(c["ns"], plain["ns"])]
        one = index.get((c["pattern"], c["size"], c["variant"], 1))
        if one is not None:
            c["scaling"] = median(c["ops_per_s"]) / median(one["ops_per_s"])


def find(record, pattern, variant, n, size=None):
    for case in record["cases"]:
        if (case["pattern"], case["variant"], case["threads"], case["size"]) == (
                pattern, variant, n, size):
            return case
    raise AssertionError("no such case")


def markdown(record):
    return to_markdown(Findings(Results(record)), "refcount-test", {})


def chapter(text, title):
    return text.split(f"## {title}", 1)[1].split("\n## ", 1)[0]


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
    expected = (f"`lock` is slower than `plain` by a factor of {median(ratios):.2f} "
                f"({min(ratios):.2f} to {max(ratios):.2f}): {number(median(lock))} ns "
                f"({number(min(lock))} to {number(max(lock))}) against {median(plain):.2f} ns "
                f"({min(plain):.2f} to {max(plain):.2f}).")
    assert expected in chapter(markdown(record), "What LOCK INC costs alone")


def test_across_patterns_the_spread_holds_all_combinations(record):
    shared, own = (find(record, p, "lock", 2)["ns"] for p in ("shared", "private"))
    expected = (f"by a factor of {number(median(shared) / median(own))} "
                f"({number(min(shared) / max(own))} to {number(max(shared) / min(own))})")
    assert expected in chapter(markdown(record), "What it costs on one shared line")


def test_every_figure_in_the_tables_is_in_the_json(record):
    """All "x ns (a to b)" of the page are median and spread of some case, or of a difference."""
    text = markdown(record)
    results = Results(record)
    known = {nanoseconds(case.time) for case in results.cases}
    derived = ("half of the difference", "LOCK adds", "One waits")
    claimed = set(re.findall(r"(?<![\d.,-])[\d.,]+ ns \([^)]*\)", "\n".join(
        line for line in text.splitlines() if not any(word in line for word in derived))))
    assert len(claimed) > 50
    assert claimed <= known


def test_times_ten_changes_times_and_no_ratio(record):
    slower = copy.deepcopy(record)
    for case in slower["cases"]:
        case["ns"] = [10 * t for t in case["ns"]]
        case["ops_per_s"] = [x / 10 for x in case["ops_per_s"]]
    ratios = [re.findall(r"factor of [\d.,]+ \([^)]*\)", markdown(x)) for x in (record, slower)]
    assert ratios[0] and ratios[0] == ratios[1]
    assert markdown(record) != markdown(slower)


# ---- wording -----------------------------------------------------------------------------------

def two_cases(a, b):
    record = synthetic(patterns=["private"])
    find(record, "private", "lock", 1)["ns"] = a
    find(record, "private", "plain", 1)["ns"] = b
    results = Results(record)
    return results.case("private", "lock", 1), results.case("private", "plain", 1)


@pytest.mark.parametrize("a, b, says", [
    ([10, 11, 12], [5, 5, 5], "`lock` is slower than `plain` by a factor of 2.20 (2.00 to 2.40)"),
    ([5, 5, 5], [10, 11, 12], "`lock` is faster than `plain` by a factor of 2.20 (2.00 to 2.40)"),
    ([5, 5.2, 4.9], [5, 5, 5],
     "no measurable difference from `plain`: the ratio is 1.00 (0.98 to 1.04)"),
    ([5.05, 5.05, 5.05], [5, 5, 5], "`plain`: the ratio is 1.01"),  # below 2 %
    ([5, 20, 20], [10, 10, 10], "no measurable difference from `plain`, the samples vary"),
    ([7], [5], "by a factor of 1.40 (one sample)")])
def test_comparisons(a, b, says):
    assert says in versus(*two_cases(a, b))


def test_paired_ratios_see_through_a_machine_that_slows_down():
    """Both get slower from repetition to repetition; their ratio does not."""
    ratio = compare(*two_cases([10, 20, 40], [5, 10, 20]))
    assert factor(ratio) == "2.00 (2.00 to 2.00)"


def test_overlapping_spreads_are_no_difference(record):
    for case in record["cases"]:
        if case["variant"] in ("lock", "plain"):
            case["ns"] = [5.0, 5.3, 4.8, 5.1, 5.2]
    text = chapter(markdown(record), "What LOCK INC costs alone")
    assert "`lock` shows no measurable difference from `plain`" in text
    assert "LOCKed instructions" not in text  # what each adds cannot be said


def test_cheap_sharing_is_not_called_dear(record):
    own = find(record, "private", "lock", 2)
    for pattern in ("shared", "false_sharing"):
        find(record, pattern, "lock", 2)["ns"] = [t / 2 for t in own["ns"]]
    text = markdown(record)
    assert "with 2 threads is faster than" in chapter(text, "What it costs on one shared line")
    assert "`lock` on neighbours with 2 threads is faster" in chapter(text, "What false sharing")


@pytest.mark.parametrize("added, says", [
    (1, "memory hides a part of it"), (90, "memory does not hide it"),
    (0.01, "is lost in the noise"), (7.3, "no measurable difference")])
def test_streams_say_what_becomes_of_the_cost(record, added, says):
    jitter = [-0.1, 0.05, 0, 0.1, -0.03]
    for size in SIZES:
        plain, lock = (find(record, "stream_rand", name, 1, size) for name in ("plain", "lock"))
        plain["ns"] = [100.0] * 5
        lock["ns"] = [100 + (added if size == SIZES[-1] else 7.3) + x for x in jitter]
    lines = [line for line in chapter(markdown(record), "What it costs in streams").splitlines()
             if line.startswith("- What LOCK adds")]
    assert says in lines[1]  # that of stream_rand


def test_gain_of_more_threads_follows_the_rates(record):
    lock = find(record, "shared", "lock", 2)
    one = find(record, "shared", "lock", 1)
    assert "more threads get less done" in markdown(record)
    lock["ops_per_s"] = [2 * x for x in one["ops_per_s"]]
    assert "more threads get more done" in markdown(record)
    lock["ops_per_s"] = list(one["ops_per_s"])
    assert "no measurable gain" in markdown(record)


def test_variants_that_lose_counts_are_marked(record):
    text = markdown(record)
    assert "`plain` (loses counts)" in chapter(text, "What it costs on one shared line")
    assert "(loses counts)" not in chapter(text, "What LOCK INC costs alone")


def test_unequal_threads_are_told_apart(record):
    """A mean over an owner and others that queue is nobody's time."""
    case = find(record, "shared", "biased", 2)
    case["ns"], case["fairness"] = [10.0] * 5, [0.25] * 5
    text = chapter(markdown(record), "Biased, sharded, deferred")
    # In 40 ns the fast thread did 6.4 pairs, the slow one 1.6: 8 in all, 10 ns each for two.
    assert "`biased` treats threads unequally: the slowest got done 0.25" in text
    assert "One waits 6.25 ns (6.25 to 6.25), the other 25.0 ns (25.0 to 25.0)" in text
    assert "`sharded` treats" not in text


# ---- what the machine did not give ---------------------------------------------------------------

def test_full_control_raises_no_doubt(record):
    assert "Doubtful" not in markdown(record)


def test_short_control_is_said_in_general_and_in_its_chapter(record):
    record["control"].append({"pattern": "shared", "threads": 2, "times_one": 1.1})
    text = markdown(record)
    assert "did not always give its cores" in text and "`shared` with 2 threads (1.10" in text
    assert "Doubtful: during `shared`" in chapter(text, "What it costs on one shared line")
    assert "Doubtful" not in chapter(text, "What false sharing costs")


def test_trial_runs_are_called_so():
    assert "This is a trial run: 1 repetition " in markdown(synthetic(repeat=1))
    assert "trial run" not in markdown(synthetic())


def test_more_threads_than_cpus(record):
    record["machine"]["allowed_cpus"] = [0]
    assert "2 threads had to share 1 CPU:" in markdown(record)


def test_findings_use_the_most_threads_that_have_cores():
    record = synthetic(thread_counts=(1, 2, 4, 8))
    record["machine"]["allowed_cpus"] = [0, 1, 2, 3]
    assert Results(record).many == 4
    assert "`lock` on one line with 4 threads" in markdown(record)


# ---- parts of a run ------------------------------------------------------------------------------

def test_one_thread_only_says_what_is_missing():
    text = markdown(synthetic(thread_counts=(1,)))
    assert "There was one thread only" in text
    assert "Not measured: anything with two threads" in chapter(text, "What false sharing costs")
    assert "`lock` is slower than `plain`" in text


def test_skipped_cases_are_listed_with_their_reason(record):
    assert "| `stream_seq` | 10,000,000 | `sharded` | 1 | needs 20,000 MiB |" in markdown(record)


def test_missing_case_is_named_with_its_reason(record):
    record["cases"].remove(find(record, "shared", "lock", 2))
    record["skipped"].append({"pattern": "shared", "size": None, "variant": "lock", "threads": 2,
                              "why": "asked not to"})
    text = chapter(markdown(record), "What it costs on one shared line")
    assert "Not measured: `lock` in `shared` with 2 threads (asked not to)." in text


@pytest.mark.parametrize("seed", range(12))
def test_any_part_of_a_run_makes_a_page(seed):
    rng = random.Random(seed)
    record = synthetic(thread_counts=rng.choice([(1,), (2,), (1, 2), (1, 2, 3), (8,)]),
                       repeat=rng.choice([1, 2, 5]), noise=rng.choice([0, 0.5]))
    keep = rng.choice([0, 0.1, 0.6])
    record["cases"] = [case for case in record["cases"] if rng.random() < keep]
    record["control"] = record["control"][:rng.randrange(3)]
    findings = Findings(Results(record))
    text, html = to_markdown(findings, "x", {}), to_html(findings, "x", {})
    for section in findings.sections:
        assert section.title in text and section.title in html
        assert section.sentences or section.tables
    assert not re.search(r"\b(nan|inf|None) (ns|times|threads?|cores)|of None|[(|] *None", text)


def test_samples_without_operations_are_skipped(record):
    find(record, "shared", "lk_inc2006", 2)["ops_per_s"][3] = 0
    assert "a sample without a single operation" in markdown(record)


@pytest.mark.parametrize("spoil", [
    lambda record: record.pop("cases"), lambda record: record.update(schema=2),
    lambda record: record["cases"][0].pop("ns")])
def test_other_files_are_refused(record, spoil):
    spoil(record)
    with pytest.raises(BadResults):
        Results(record)


# ---- the page ----------------------------------------------------------------------------------

def test_page_stands_alone_and_has_every_case(record):
    results = Results(record)
    html = to_html(Findings(results), "refcount-test", {"cost": "<?xml?><svg ></svg>"})
    assert "<svg role" in html and "<?xml" not in html
    assert not re.search(r'(src|href)="(?!#)', html)
    for case in results.cases:
        assert f"<td>{number(case.time.mid)}</td>" in html


def test_names_are_escaped(record):
    record["machine"]["cpu"] = "<script>"
    assert "<script>" not in to_html(Findings(Results(record)), "x", {})


# One thread only is what a machine with one core gives; the plots are drawn twice, which takes
# its time, where there is more to draw.
@pytest.mark.slow
@pytest.mark.parametrize(("thread_counts", "folders"), [((1,), "a"), ((1, 2, 4), "ab")])
def test_command_writes_the_same_bytes_twice(tmp_path, monkeypatch, thread_counts, folders):
    pytest.importorskip("matplotlib")
    monkeypatch.syspath_prepend(str(FOLDER))
    import report

    source = tmp_path / "refcount-test.json"
    source.write_text(json.dumps(synthetic(thread_counts=thread_counts)))
    made = []
    for folder in folders:
        assert report.main([str(source), "-o", str(tmp_path / folder)]) == 0
        made.append({p.name: p.read_bytes() for p in (tmp_path / folder).iterdir()})
    assert made[0] == made[-1]
    assert {"refcount-test.md", "refcount-test.html", "refcount-test-cost.png",
            "refcount-test-throughput.svg", "refcount-test-streams.svg"} <= set(made[0])


def test_command_says_what_is_wrong_with_a_file(tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib")
    monkeypatch.syspath_prepend(str(FOLDER))
    import report

    source = tmp_path / "refcount-bad.json"
    source.write_text("{}")
    assert report.main([str(source)]) == 1
    assert "refcount-bad.json: not a results file" in capsys.readouterr().err
