"""Each call that can wait for ever: an interrupt ends it, and it does not keep the process from ending."""

import os
import time
from pathlib import Path

import blocked_calls
import pytest
from blocked_calls import MAKE, wait
from objtunnel import Event

WAIT = 20  # seconds that no test should ever wait
ASLEEP = 0.1  # seconds after which a call that has begun waits, if it ever does


@pytest.mark.parametrize("name", MAKE)
def test_an_interrupt_ends_it(worker, name):
    what, kept = MAKE[name]()
    begun = Event()
    job = worker.submit(wait, name, what, begun)
    assert begun.wait(WAIT)
    time.sleep(ASLEEP)
    assert not job.done()
    worker.interrupt()
    with pytest.raises(KeyboardInterrupt):
        job.result(WAIT)
    del kept


ENDS = """
    import threading, time
    from objtunnel import Event, Interpreter
    from blocked_calls import MAKE, wait

    what, kept = MAKE["NAME"]()
    begun = Event(), Event()
    threading.Thread(target=wait, args=("NAME", what, begun[0]), daemon=True).start()
    worker = Interpreter()
    job = worker.submit(wait, "NAME", what, begun[1])
    assert all(event.wait(20) for event in begun)
    time.sleep(0.1)
    assert not job.done()
"""


@pytest.mark.parametrize("name", MAKE)
def test_a_process_ends_with_a_thread_and_a_job_in_it(run_script, name):
    path = str(Path(blocked_calls.__file__).parent)
    run_script(ENDS.replace("NAME", name), timeout=WAIT, env={**os.environ, "PYTHONPATH": path})
