"""Turns results of `make bench-heap` into a page with tables.

    make report-heap                              # every docs/results/heap-*.json
    make report-heap REPORT_ARGS="a.json b.json -o /tmp"

Files named heap-MACHINE-cpNNN.json make one page, heap-MACHINE.md, with a part for each Python.
"""

import sys
from pathlib import Path
from statistics import median

from page import write_parts

sys.path.append(str(Path(__file__).resolve().parents[1] / "common"))
from intervals import Figure, geometric_mean  # noqa: E402

GOALS = {"geometric mean of times": 1.00, "worst time": 1.05, "worst peak": 1.10}


def main(arguments=None):
    return write_parts(arguments, __doc__.splitlines()[0], "heap-*.json", 1, "report-heap", part)


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


def part(record):
    machine = record["pieces"][0]["machine"]
    control = [sample for piece in record["pieces"] for sample in piece["control"]]
    lines = ["", f"## Python {machine['python'].split()[0]}", "",
             f"{machine['cpu']}, {machine['cores']} cores, commit {machine['commit']}. Each workload ran "
             f"{record['repeat']} times with `import objtunnel` and {record['repeat']} times without, by turns, in "
             f"processes of its own; each time is the median of its values. Two C threads beside one: "
             f"{cell(control)} ({len(record['pieces'])} pieces, load at their beginnings "
             f"{', '.join(f'''{piece['machine']['load'][0]:.1f}''' for piece in record['pieces'])})."]
    if record["workloads"]:
        lines += ["", "| | reached | goal | |", "| --- | --- | --- | --- |"]
        lines += [f"| {what} | {text} | at most {goal:.2f} | {'met' if met else '**missed**'} |"
                  for what, text, goal, met in figures(record)]
    if record["tree"]:
        lines += ["", "400,000 dicts with a list each, built and deleted; what resident memory keeps of them two "
                  "seconds later.", "", "| | MB built | MB left | ms to build | ms to delete |",
                  "| --- | --- | --- | --- | --- |"]
        lines += [f"| {way} | " + " | ".join(cell([x[key] * by for x in samples], "{:.0f}") for key, by in
                                             (("built", 1e-6), ("left", 1e-6), ("build", 1e3), ("delete", 1e3))) + " |"
                  for way, samples in record["tree"].items()]
    lines += ["", "| benchmark | time, times stock's | peak memory, times stock's | MB |", "| --- | --- | --- | --- |"]
    for name, samples in sorted(benchmarks(record).items()):
        peak = peaks(samples)
        size = "" if peak is None else f"{median(p['peak'] for p in samples['stock']) / 1e6:.0f}"
        lines.append(f"| {name} | {cell(ratios(samples))} | {'' if peak is None else f'{peak:.2f}'} | {size} |")
    return lines


def cell(values, form="{:.2f}"):
    return f"{form.format(median(values))} ({form.format(min(values))} to {form.format(max(values))})"


def one_line(name, samples):
    if "left" in samples["stock"][0]:
        return ", ".join(f"{way} leaves {cell([x['left'] / 1e6 for x in found], '{:.0f}')} MB"
                         for way, found in samples.items())
    found = benchmarks({"workloads": {name: samples}})
    return ", ".join(f"{benchmark} {cell(ratios(one))}" for benchmark, one in found.items())


if __name__ == "__main__":
    sys.exit(main())
