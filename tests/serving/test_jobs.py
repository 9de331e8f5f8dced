"""One at a time, in order, across processes; a wish to end is heard while waiting."""

import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from bmenet.serving.jobs import Cancel, Jobs
from bmenet.serving.refusal import Refusal
from tests.serving.stand_in import wait_for

HOLDER = """
import sys, tempfile, time
from bmenet.serving.jobs import Cancel, Jobs
tempfile.tempdir = sys.argv[1]
with Jobs(sys.argv[2], 0).turn(Cancel()):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def hold():
    """Return a function that lets another process hold a device, and the process."""
    processes = []

    def hold(device):
        command = [sys.executable, "-c", HOLDER, tempfile.gettempdir(), device]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        processes.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield hold
    for process in processes:
        process.kill()
        process.wait()
        process.stdout.close()


def test_turns_come_one_at_a_time_and_in_order():
    jobs, order, running = Jobs("cpu", 8), [], threading.Semaphore(1)

    def work(number):
        with jobs.turn(Cancel()):
            assert running.acquire(blocking=False)
            time.sleep(0.02)
            order.append(number)
            running.release()

    with ThreadPoolExecutor(8) as threads, jobs.turn(Cancel()):
        futures = []
        for number in range(6):
            futures.append(threads.submit(work, number))
            wait_for(lambda: len(jobs._line) == len(futures) + 1)
    for future in futures:
        future.result()
    assert order == list(range(6))


def test_places_are_one_more_than_may_wait():
    jobs = Jobs("cpu", 1)
    with jobs.place(), jobs.place():
        with pytest.raises(Refusal, match="at most 1 jobs") as refusal:
            jobs.take_place()
        assert refusal.value.status == 503
        assert dict(refusal.value.headers)["Retry-After"]
    jobs.take_place()


def test_a_waiting_job_that_is_cancelled_leaves_at_once_and_the_next_one_moves_up():
    jobs, cancel, got = Jobs("cpu", 8), Cancel(), []

    def work(wish, name):
        with jobs.turn(wish):
            got.append(name)

    with ThreadPoolExecutor(2) as threads:
        with jobs.turn(Cancel()):
            second = threads.submit(work, cancel, "second")
            wait_for(lambda: len(jobs._line) == 2)
            third = threads.submit(work, Cancel(), "third")
            wait_for(lambda: len(jobs._line) == 3)
            cancel(Refusal(504, "too long"))
            cancel(Refusal(499, "not the first reason"))
            with pytest.raises(Refusal, match="too long"):
                second.result(timeout=1)
        third.result(timeout=1)
    assert got == ["third"]


def test_a_job_that_fails_gives_its_turn_back():
    jobs = Jobs("cpu", 0)
    with pytest.raises(KeyError), jobs.turn(Cancel()):
        raise KeyError
    with jobs.turn(Cancel()):
        pass


def test_processes_take_turns_on_one_device_until_the_holder_is_killed(hold):
    holder, cancel = hold("cpu"), Cancel()
    jobs = Jobs("cpu", 1)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(lambda: jobs.turn(cancel).__enter__())
        time.sleep(0.3)
        assert not waiting.done()
        cancel(Refusal(504, "too long"))
        with pytest.raises(Refusal, match="too long"):
            waiting.result(timeout=2)
    holder.kill()
    with jobs.turn(Cancel()):
        pass


def test_another_device_is_free(hold):
    hold("cuda:0")
    with Jobs("cuda:1", 0).turn(Cancel()), Jobs("cpu", 0).turn(Cancel()):
        pass
