import os
import signal
import sys
from pathlib import Path

import pytest

from bmenet.runtime import parallel
from bmenet.runtime.errors import BMENetError
from bmenet.runtime.parallel import run_parallel

ITEMS = [(f"sub-{number:02}", (number,)) for number in range(6)]


def _square(number: int) -> int:
    return number * number


def _fail_on_odd(number: int) -> int:
    if number % 2:
        raise ValueError(f"{number} is odd")
    return number


def _surroundings(_: int) -> tuple[int, str, str | None, str | None]:
    threads = (os.environ.get(name) for name in ("OMP_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"))
    return os.getpid(), str(Path.cwd()), *threads


def _torch_threads(_: int) -> int:
    import torch

    return torch.get_num_threads()


def _die(number: int) -> int:
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


@pytest.fixture(scope="module")
def scheduler():
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        yield cluster.scheduler_address


@pytest.fixture(params=["sequential", "processes", "cluster"])
def place(request, monkeypatch):
    """Each of the places that `run_parallel` can run in."""
    if request.param == "cluster":
        monkeypatch.setenv("BMENET_SCHEDULER", request.getfixturevalue("scheduler"))
    monkeypatch.setenv("BMENET_WORKERS", "1" if request.param == "sequential" else "2")
    return request.param


@pytest.fixture(autouse=True)
def importable_here(monkeypatch):
    """Let worker processes import this file's functions by value: the file is not on their path."""
    import cloudpickle

    module = sys.modules[__name__]
    cloudpickle.register_pickle_by_value(module)
    yield
    cloudpickle.unregister_pickle_by_value(module)


def test_results_come_back_by_name_in_the_order_of_the_items(place):
    results, failures = run_parallel(_square, ITEMS, description="square")
    assert list(results.items()) == [(name, number**2) for name, (number,) in ITEMS]
    assert failures == []
    assert run_parallel(_square, [], description="nothing") == ({}, [])


def test_one_failure_does_not_stop_the_others(place, capsys):
    results, failures = run_parallel(_fail_on_odd, ITEMS, description="fail")
    assert list(results) == ["sub-00", "sub-02", "sub-04"]
    assert [(failure.name, failure.reason) for failure in failures] == [
        ("sub-01", "ValueError: 1 is odd"),
        ("sub-03", "ValueError: 3 is odd"),
        ("sub-05", "ValueError: 5 is odd"),
    ]
    assert "_fail_on_odd" in failures[0].trace


def test_every_worker_runs_one_thread_in_the_callers_folder(place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    results, failures = run_parallel(_surroundings, ITEMS, description="look")
    assert failures == []
    assert {surroundings[1:] for surroundings in results.values()} == {(str(tmp_path), "1", "1")}
    processes = {process for process, *_ in results.values()}
    assert (os.getpid() in processes) == (place == "sequential")


@pytest.fixture
def torch_in_two_threads():
    """Torch as elsewhere; later tests fork, which a pool of threads does not survive."""
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield torch
    torch.set_num_threads(before)


def test_work_in_this_process_gives_torch_one_thread_and_then_its_threads_back(torch_in_two_threads, monkeypatch):
    monkeypatch.setenv("BMENET_WORKERS", "1")
    results, _ = run_parallel(_torch_threads, ITEMS[:1], description="torch")
    assert results == {"sub-00": 1}
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.delenv("ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", raising=False)
    run_parallel(_fail_on_odd, ITEMS[1:2], description="fail")
    assert torch_in_two_threads.get_num_threads() == 2
    assert os.environ["OMP_NUM_THREADS"] == "2"
    assert "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS" not in os.environ


def test_a_dead_worker_is_an_error_that_says_what_to_do(monkeypatch):
    monkeypatch.setenv("BMENET_WORKERS", "2")
    with pytest.raises(BMENetError, match=r"worker process died.*BMENET_WORKERS=1"):
        run_parallel(_die, ITEMS, description="die")


def test_the_scheduler_can_come_from_the_environment_and_is_left_without_clients(scheduler, monkeypatch):
    from distributed import default_client

    monkeypatch.setenv("BMENET_SCHEDULER", scheduler)
    results, _ = run_parallel(_surroundings, ITEMS[:1], description="look")
    assert results["sub-00"][0] != os.getpid()
    with pytest.raises(ValueError, match="No clients found"):
        default_client()


def test_a_worker_of_several_threads_and_a_wrong_address_are_refused(monkeypatch):
    distributed = pytest.importorskip("distributed")
    place = {"n_workers": 1, "threads_per_worker": 2, "processes": False, "dashboard_address": None}
    with distributed.LocalCluster(**place) as cluster:
        monkeypatch.setenv("BMENET_SCHEDULER", cluster.scheduler_address)
        with pytest.raises(BMENetError, match=r"workers of one thread each .*--nthreads 1"):
            run_parallel(_square, ITEMS, description="square")
    monkeypatch.setenv("BMENET_SCHEDULER", "nonsense")
    with pytest.raises(BMENetError, match=r"address of a running Dask scheduler; got 'nonsense'"):
        run_parallel(_square, ITEMS, description="square")


def test_the_number_of_workers_can_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("BMENET_WORKERS", "3")
    assert parallel.default_workers() == 3
    monkeypatch.setenv("BMENET_WORKERS", "0")
    with pytest.raises(BMENetError, match="BMENET_WORKERS: expected a number of processes from 1 on; got '0'"):
        run_parallel(_square, ITEMS, description="square")
