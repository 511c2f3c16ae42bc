"""A results file of `make lab-counts`: how often a run of each workload counts, and on what."""

from lab_results import BadResults, FromFile

SCHEMA = 1
VARIANTS = {"OT_LAB_HISTOGRAM": "histogram", "OT_LAB_HISTOGRAM_2006": "histogram-2006"}
BALANCED = 0.01  # of its counts: more than that up or down, and an object's count drifts
NOTHING = 0.001  # of the counts of a run: a drift that is less than that costs nothing


class Counts(FromFile):
    def __init__(self, record):
        if not isinstance(record, dict) or record.get("kind") != "counts" or record.get("schema") != SCHEMA:
            raise BadResults(f"not a results file of make lab-counts with schema {SCHEMA}")
        try:
            self.lab_tree, self.version, self.date = record["lab_tree"], record["version"], record["date"]
            self.variant, self.workloads = VARIANTS[record["variant"]], record["workloads"]
            self.runs = record["runs"]
            for counted in self.workloads.values():
                for part in ("immortal", "mortal", "objects", "types", "lines", "turns"):
                    counted[part]
        except (KeyError, TypeError) as error:
            raise BadResults(f"the results file lacks something: {error!r}") from error

    def total(self, workload, kind):
        """Counts up and down in a run."""
        return sum(self.workloads[workload][kind].values())

    def shares(self, workload):
        """[(who, type, share of the counts of immortal objects)], the hottest first."""
        total = self.total(workload, "immortal")
        return [(row["who"], row["type"], (row["up"] + row["down"]) / total if total else 0.0)
                for row in self.workloads[workload]["objects"]]

    def share_of(self, workload, who):
        """Of the counts of immortal objects; None if it is not among the hottest."""
        return next((share for name, _, share in self.shares(workload) if name == who), None)

    def drift(self, workload, who):
        """(counts up less counts down) by all of them; None if it is not among the hottest."""
        for row in self.workloads[workload]["objects"]:
            if row["who"] == who and row["up"] + row["down"]:
                return (row["up"] - row["down"]) / (row["up"] + row["down"])
        return None

    def balanced(self, workload, who):
        """Whether its counts up and down are the same but for BALANCED of them, or for next to nothing."""
        row = next((row for row in self.workloads[workload]["objects"] if row["who"] == who), None)
        if row is None:
            return True
        drift = abs(row["up"] - row["down"])
        every = self.total(workload, "immortal") + self.total(workload, "mortal")
        return drift <= max(BALANCED * (row["up"] + row["down"]), NOTHING * every)

    def unbalanced(self):
        """[(workload, who)] of None and ints."""
        return [(workload, row["who"]) for workload, counted in self.workloads.items()
                for row in counted["objects"] if row["type"] in ("NoneType", "int")
                and not self.balanced(workload, row["who"])]
