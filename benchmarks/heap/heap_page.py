"""Turns results of `make bench-heap` into a page with tables.

    make report-heap                              # every docs/results/heap-*.json
    make report-heap REPORT_ARGS="a.json b.json -o /tmp"

Files named heap-MACHINE-cpNNN.json make one page, heap-MACHINE.md, with a part for each Python.
"""

import sys
from pathlib import Path
from statistics import median

sys.path.append(str(Path(__file__).resolve().parents[1] / "common"))
from formats import extremes  # noqa: E402
from intervals import Figure, geometric_mean  # noqa: E402

HERE = Path(__file__).resolve().parent
GOALS = {"geometric mean of times": 1.00, "worst time": 1.05, "worst peak": 1.10}


def main(arguments=None):
    import pages  # needs libraries that only pages need
    return pages.make(arguments, __doc__.splitlines()[0], "heap-*.json", 1, HERE / "heap.md.j2", context)


# ---- figures -------------------------------------------------------------------------------------------


def benchmarks(record):
    """{benchmark: {way: [a process's result, ...]}}; a workload may hold several."""
    found = {}
    for samples in record["workloads"].values():
        for name in samples["stock"][0]:
            found[name] = {way: [sample[name] for sample in processes] for way, processes in samples.items()}
    return found


def times(processes):
    return [median(process["values"]) for process in processes]


def ratios(samples):
    """Of each repetition: the time with objtunnel by the time without, which ran right beside it."""
    return [ours / stock for ours, stock in zip(times(samples["objtunnel"]), times(samples["stock"]))]


def peaks(samples):
    """How peak resident memory changes, the median; None where pyperf did not say."""
    both = [[process["peak"] for process in samples[way]] for way in ("objtunnel", "stock")]
    if any(peak is None for way in both for peak in way):
        return None
    return median(both[0]) / median(both[1])


def figures(record):
    """[(what, reached, goal, met)]: met if the whole interval is at or below the goal. The mean's is over
    benchmarks as well: others would have given another mean."""
    found = benchmarks(record)
    mean = geometric_mean([ratios(samples) for samples in found.values()])
    worst = max(found, key=lambda name: median(ratios(found[name])))
    with_peaks = {name: peaks(samples) for name, samples in found.items() if peaks(samples) is not None}
    time = Figure.of(ratios(found[worst]))
    rows = [("geometric mean of times", mean, f"{mean.mid:.3f} ({mean.low:.3f} to {mean.high:.3f})"),
            ("worst time", time, f"{time.mid:.2f} ({time.low:.2f} to {time.high:.2f}), {worst}")]
    if with_peaks:
        peak = max(with_peaks, key=with_peaks.get)
        rows.append(("worst peak", Figure.of([with_peaks[peak]]), f"{with_peaks[peak]:.2f}, {peak}"))
    return [(what, text, GOALS[what], figure.reaches(GOALS[what], at_least=False)) for what, figure, text in rows]


# ---- words ----------------------------------------------------------------------------------------------


def context(records):
    return {"parts": [
        {"record": record, "machine": record["pieces"][0]["machine"],
         "control": [sample for piece in record["pieces"] for sample in piece["control"]],
         "figures": figures(record) if record["workloads"] else [], "tree": tree_rows(record), "rows": rows(record)}
        for record in records]}


def tree_rows(record):
    columns = (("built", 1e-6), ("left", 1e-6), ("build", 1e3), ("delete", 1e3))
    return [[way, *(extremes([x[key] * by for x in samples], "%.0f") for key, by in columns)]
            for way, samples in record["tree"].items()]


def rows(record):
    """A row for each benchmark: time and peak memory, times stock's, and stock's peak."""
    for name, samples in sorted(benchmarks(record).items()):
        peak = peaks(samples)
        size = "" if peak is None else f"{median(p['peak'] for p in samples['stock']) / 1e6:.0f}"
        yield name, extremes(ratios(samples)), "" if peak is None else f"{peak:.2f}", size


def as_text(record):
    """Lines for the terminal: each goal, and what was reached."""
    for what, text, goal, met in figures(record) if record["workloads"] else []:
        yield f"{what}: {text}, goal at most {goal:.2f}: {'met' if met else 'missed'}"


def one_line(name, samples):
    if "left" in samples["stock"][0]:
        return ", ".join(f"{way} leaves {extremes([x['left'] / 1e6 for x in found], '%.0f')} MB"
                         for way, found in samples.items())
    found = benchmarks({"workloads": {name: samples}})
    return ", ".join(f"{benchmark} {extremes(ratios(one))}" for benchmark, one in found.items())


if __name__ == "__main__":
    sys.exit(main())
