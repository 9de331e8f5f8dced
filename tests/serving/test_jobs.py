"""One at a time, in order, across processes; a wish to end is heard while waiting."""

import os
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bmenet.runtime.errors import ConfigError
from bmenet.serving.jobs import Cancel, Jobs
from bmenet.serving.refusal import Refusal
from bmenet.serving.workplace import user_id
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


@pytest.mark.parametrize(("held", "same"), [("cuda", "tensorrt"), ("tensorrt", "cuda:0"), ("cuda:0", "cuda")])
def test_a_gpu_is_one_device_by_whatever_name(hold, held, same):
    hold(held)
    cancel = Cancel()
    threading.Timer(0.2, cancel, [Refusal(504, "too long")]).start()
    with pytest.raises(Refusal, match="too long"), Jobs(same, 0).turn(cancel):
        pass


def _locks(folder):
    return [path.name for path in Path(folder).rglob("*.lock")]


def test_the_lock_lies_in_the_folder_of_the_users_session(temporary):
    with Jobs("cpu", 0).turn(Cancel()):
        assert _locks(os.environ["XDG_RUNTIME_DIR"]) == ["bmenet-cpu.lock"]
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("session", ["", "relative", "missing", "open", "link"])
def test_without_such_a_folder_it_lies_in_one_that_only_the_user_can_enter(temporary, tmp_path, monkeypatch, session):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "relative").mkdir(mode=0o700)
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o770)
    (tmp_path / "link").symlink_to(tmp_path / "relative")
    jobs = Jobs("cpu", 0)
    value = session if session in ("", "relative") else str(tmp_path / session)
    monkeypatch.setenv("XDG_RUNTIME_DIR", value)  # as when a user logs out, while the server runs
    monkeypatch.setattr("bmenet.serving.jobs._SESSIONS", tmp_path / "none")
    with jobs.turn(Cancel()):
        (folder,) = temporary.iterdir()
        assert _locks(folder) == ["bmenet-cpu.lock"]
    assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("squatter", ["file", "link", "open", "stranger"])
def test_a_folder_that_somebody_else_made_is_refused_when_the_server_starts(temporary, tmp_path, monkeypatch, squatter):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "missing"))
    if squatter == "stranger":
        monkeypatch.setattr("bmenet.serving.jobs.user_id", lambda: user_id() + 1)
    folder = temporary / f"bmenet-{user_id() + (squatter == 'stranger')}"
    if squatter == "file":
        folder.touch()
    elif squatter == "link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        folder.symlink_to(tmp_path / "elsewhere")
    else:
        folder.mkdir(mode=0o700)
    if squatter == "open":
        folder.chmod(0o777)
    with pytest.raises(ConfigError, match=f"{folder}: expected a folder of this user's own with mode 0700.*remove it"):
        Jobs("cpu", 0)
    assert _locks(tmp_path) == []


def test_a_lock_file_that_a_stranger_put_in_the_temporary_folder_stops_nobody(temporary, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", "")
    monkeypatch.setattr("bmenet.serving.jobs._SESSIONS", temporary / "none")
    for name in ("bmenet-cpu.lock", f"bmenet-{user_id()}-cpu.lock"):
        (temporary / name).mkdir()  # nobody, root neither, can open it as a file
    with Jobs("cpu", 0).turn(Cancel()):
        pass
