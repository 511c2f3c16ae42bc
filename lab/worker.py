"""One measurement in one process of one variant; lab/bench starts it with that variant's Python.

    python3 -I lab/worker.py '{"workload": "fib", "way": "interpreters", "cpus": [0, 1], ...}'

Ways: "alone" in the main interpreter, "interpreters" with a GIL each (by CPython's own
_interpreters: none of objtunnel's code), "threads" of one interpreter. All run for the same time,
each pinned to a CPU, started together; a rate counts whole runs. Prints JSON.

With "package" objtunnel is imported first, from that folder, for its object heap.
"""

import json
import os
import sys
import threading
from time import perf_counter_ns, thread_time_ns

HERE = os.path.dirname(os.path.abspath(__file__))


def measure(workload, seconds, cpu, wait):
    """Runs for so many seconds from wait() on; [result of a run, runs, nanoseconds, of these on the
    CPU]: where the last two differ somebody else had the core."""
    import workloads

    os.sched_setaffinity(0, {cpu})
    run = workloads.ALL[workload]()
    result = run()
    # The specialising interpreter wants to see code a few times before it settles.
    warm_up(run, seconds / 10)
    wait()
    began, used = perf_counter_ns(), thread_time_ns()
    end = began + int(seconds * 1e9)
    runs = 0
    while perf_counter_ns() < end:
        if run() != result:
            raise AssertionError(f"{workload}: a run gave another result than the first")
        runs += 1
    return [result, runs, perf_counter_ns() - began, thread_time_ns() - used]


def warm_up(run, seconds):
    end = perf_counter_ns() + int(seconds * 1e9)
    for _ in range(3):
        run()
    while perf_counter_ns() < end:
        run()


# ---- ways ---------------------------------------------------------------------------------------

def alone(order):
    return [measure(order["workload"], order["seconds"], order["cpus"][0], lambda: None)]


def together(cpus, body):
    """body(i, cpu, wait) in a thread for each CPU; what they returned. The first error is raised."""
    barrier = threading.Barrier(len(cpus))
    results, errors = [None] * len(cpus), []

    def work(i, cpu):
        try:
            results[i] = body(i, cpu, barrier.wait)
        except BaseException as error:
            errors.append(error)
            barrier.abort()

    threads = [threading.Thread(target=work, args=pair) for pair in enumerate(cpus)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise next((e for e in errors if not isinstance(e, threading.BrokenBarrierError)), errors[0])
    return results


def threads(order):
    return together(order["cpus"], lambda i, cpu, wait: measure(
        order["workload"], order["seconds"], cpu, wait))


# What a subinterpreter runs. It says by one pipe that it is ready, learns by another that all
# are, and answers by a third: os.read lets go of the interpreter's GIL, and nothing is shared.
_BODY = """
import json, os, sys
sys.path.insert(0, {library!r})
import worker
def wait():
    os.write({ready}, b".")
    if not os.read({go}, 1):
        raise SystemExit
try:
    answer = worker.measure({workload!r}, {seconds!r}, {cpu!r}, wait)
except BaseException as error:
    answer = repr(error)
    os.write({ready}, b".")
os.write({answer}, json.dumps(answer).encode())
os.close({answer})
"""


def interpreters(order):
    import _interpreters  # CPython's own, private in 3.13

    def body(i, cpu, wait):
        pipes = {name: os.pipe() for name in ("ready", "go", "answer")}
        interpreter = _interpreters.create("isolated")
        code = _BODY.format(library=HERE, workload=order["workload"], seconds=order["seconds"],
                            cpu=cpu, ready=pipes["ready"][1], go=pipes["go"][0],
                            answer=pipes["answer"][1])
        # Who waits for all and then says go must not be in the interpreter: a thread beside it.
        starter = threading.Thread(target=start, args=(pipes, wait))
        starter.start()
        failed = _interpreters.exec(interpreter, code)
        os.close(pipes["ready"][1])  # if it never got as far, the starter waits no longer
        starter.join()
        _interpreters.destroy(interpreter)
        if failed is not None:
            raise RuntimeError(failed.formatted)
        with open(pipes["answer"][0], "rb") as file:
            answer = json.loads(file.read())
        for fd in (*pipes["go"], pipes["ready"][0]):
            os.close(fd)
        if not isinstance(answer, list):
            raise RuntimeError(answer)
        return answer

    def start(pipes, wait):
        if os.read(pipes["ready"][0], 1):
            wait()
            os.write(pipes["go"][1], b".")

    return together(order["cpus"], body)


def hand_over(order):
    """One interpreter allocates, another frees what comes through a tunnel. Rates count messages."""
    import objtunnel
    import pump

    tunnel = objtunnel.Tunnel(maxsize=4)
    cpus = order["cpus"]
    with objtunnel.Interpreter() as other:
        freed = other.submit(pump.drop_all, tunnel, cpus[1])
        os.sched_setaffinity(0, {cpus[0]})
        made = pump.send_many(tunnel, order["seconds"])
        if freed.result() != made[1]:
            raise AssertionError("messages were lost")
    return [made]


WAYS = {"alone": alone, "interpreters": interpreters, "threads": threads, "hand_over": hand_over}


def main():
    order = json.loads(sys.argv[1])
    sys.path.insert(0, HERE)
    answer = {}
    if order.get("package"):
        sys.path.insert(0, order["package"])
        import objtunnel
        answer["allocator"] = objtunnel.heap_info().allocator
    answer["samples"] = WAYS[order["way"]](order)
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
