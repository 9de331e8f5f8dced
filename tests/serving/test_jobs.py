"""One at a time, in order, across processes; a wish to end is heard while waiting; volumes lie in a private folder."""

import os
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from bmenet.runtime.errors import ConfigError
from bmenet.serving import Cancel, Refusal
from bmenet.serving.jobs import Jobs
from tests.serving.stand_in import wait_for

HOLDER = """
import sys, tempfile, time
from bmenet.serving.jobs import Cancel, Jobs
tempfile.tempdir = sys.argv[1]
jobs = Jobs("cpu", 0)
with jobs.room() as room, jobs.turn(Cancel()):
    (room / "0.nii").write_bytes(b"scan")
    print("held", flush=True)
    time.sleep(60)
"""


def test_turns_come_one_at_a_time_and_in_order_and_one_that_is_cancelled_leaves_at_once():
    jobs, order, running, cancels = Jobs("cpu", 8), [], threading.Semaphore(1), [Cancel() for _ in range(6)]

    def work(number, cancel):
        with jobs.turn(cancel):
            assert running.acquire(blocking=False)
            time.sleep(0.02)
            order.append(number)
            running.release()

    with ThreadPoolExecutor(8) as threads:
        with jobs.turn(Cancel()):
            futures = []
            for number, cancel in enumerate(cancels):
                futures.append(threads.submit(work, number, cancel))
                wait_for(lambda: len(jobs._line) == len(futures) + 1)
            cancels[1](Refusal(504, "too long"))
            cancels[1](Refusal(499, "not the first reason"))
            with pytest.raises(Refusal, match="too long"):
                futures.pop(1).result(timeout=1)
        for future in futures:
            future.result(timeout=5)
    assert order == [0, 2, 3, 4, 5]


def test_processes_take_turns_until_the_holder_is_killed_and_what_it_left_is_removed(temporary):
    command = [sys.executable, "-c", HOLDER, tempfile.gettempdir()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        jobs = Jobs("cpu", 1)
        assert list(temporary.rglob("0.nii")), "its server lives"
        with pytest.raises(Refusal, match="within"), jobs.turn(Cancel(0.3)):
            pass
        holder.kill()
    with jobs.turn(Cancel(5)), jobs.room() as kept:
        Jobs("cpu", 1)
        assert list(temporary.rglob("0.nii")) == []
        assert kept.exists()


@pytest.mark.parametrize(("held", "same"), [("cuda", "tensorrt"), ("tensorrt", "cuda:0"), ("cuda:0", "cuda")])
def test_a_gpu_is_one_device_by_whatever_name_and_others_are_free(held, same):
    with Jobs(held, 0).turn(Cancel()):
        with pytest.raises(Refusal, match="within"), Jobs(same, 0).turn(Cancel(0.2)):
            pass
        with Jobs("cuda:1", 0).turn(Cancel(1)), Jobs("cpu", 0).turn(Cancel(1)):
            pass


def test_only_the_user_can_enter_the_folder_and_a_room_goes_with_its_request_or_the_process_of_its_number(temporary):
    with Jobs("cpu", 0).room() as room:
        assert temporary in room.parents
        assert {folder.stat().st_mode & 0o777 for folder in (room, room.parent)} == {0o700}
        (room / "0.nii").write_bytes(b"scan")
    assert not room.exists()
    with Jobs("cpu", 0).room() as room:
        os.utime(room, (1, 1))  # older than this process
        Jobs("cpu", 0)
        assert not room.exists()


@pytest.mark.parametrize("squatter", ["file", "link", "open", "stranger"])
def test_a_folder_that_somebody_else_made_is_refused_when_the_server_starts(temporary, tmp_path, monkeypatch, squatter):
    user = os.getuid() + (squatter == "stranger")
    monkeypatch.setattr(os, "getuid", lambda: user)
    folder = temporary / f"bmenet-{user}"
    match squatter:
        case "file":
            folder.touch()
        case "link":
            (tmp_path / "elsewhere").mkdir(mode=0o700)
            folder.symlink_to(tmp_path / "elsewhere")
        case _:
            folder.mkdir()
            folder.chmod(0o777 if squatter == "open" else 0o700)
    with pytest.raises(ConfigError, match=f"{folder}: expected a folder of this user's own with mode 0700.*remove it"):
        Jobs("cpu", 0)
    assert list(tmp_path.rglob("*.lock")) == []
