"""One workload in one way, in a process of its own: prints {"seconds", "answer", "memory"} as JSON, or {"not": reason}.

    python one.py WORKLOAD WAY WORKERS (full|smoke)

memory: bytes at the peak, this process and its largest child for each worker that is a process. The free-threaded build
runs this file as well, so it imports nothing of the benchmark's but peer_workloads, ways, libraries and inputs.
"""

import json
import resource
import sys

import libraries
import ways
import peer_workloads


def main(workload, way, workers, size):
    smoke = size == "smoke"
    n = peer_workloads.SIZES[workload][smoke]
    try:
        with (ways.WAYS | libraries.WAYS)[way](int(workers), smoke) as opened:
            opened.prepare(workload)
            seconds, answer = peer_workloads.WORKLOADS[workload](opened, n)
    except NotImplementedError as error:
        return {"not": str(error)}
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return {"seconds": seconds, "answer": answer, "memory": 1024 * (own + child * (int(workers) if way == "processes" else 0))}


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
