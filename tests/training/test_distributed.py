"""Two processes on the CPU, joined by gloo: they speak once, stop together, go on together and clear once."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("fit_line.py")
# A signature, and the process that gets a SIGTERM.
TRAININGS = {"one is stopped": ("a", 1), "goes on": ("a", None), "starts afresh": ("b", 0)}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict]]:
    """Run all trainings in one pair of processes; return what the main one and the other tell of each."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = {
        "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "ACCELERATE_USE_CPU": "true",
        "PYTHONPATH": str(SCRIPT.parents[2]), "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    folder = tmp_path_factory.mktemp("checkpoints")
    command = [sys.executable, str(SCRIPT), str(folder), json.dumps(list(TRAININGS.values()))]
    processes = [
        subprocess.Popen(
            command, env=os.environ | place | {"RANK": str(rank), "LOCAL_RANK": str(rank)}, stdout=subprocess.PIPE
        )
        for rank in range(2)
    ]
    try:
        told = [map(json.loads, process.communicate(timeout=300)[0].splitlines()) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0]
    return dict(zip(TRAININGS, map(list, zip(*told, strict=True)), strict=True))


def test_a_signal_to_one_process_stops_both_at_the_same_step(outcomes: dict[str, list[dict]]) -> None:
    main, other = outcomes["one is stopped"]
    assert main["outcome"] == "stopped by a signal to another process at step 7 of 20; run it again to go on"
    assert other["outcome"] == "stopped by SIGTERM at step 7 of 20; run it again to go on"
    assert main["saved"] == other["saved"] == ["step-00000004", "step-00000007"]


def test_both_go_on_and_only_the_main_process_speaks(outcomes: dict[str, list[dict]]) -> None:
    main, other = outcomes["goes on"]
    assert main["outcome"] == other["outcome"]
    assert main["said"].count("going on from step 7 of 20") == 1
    assert [main["said"].count(f"step {step} val.score") for step in (5, 10, 15, 20)] == [0, 1, 1, 1]
    assert [outcome["said"] for _, outcome in outcomes.values()] == [""] * len(TRAININGS)


def test_main_process_loads_first_and_clears_once(outcomes: dict[str, list[dict]]) -> None:
    main, other = outcomes["starts afresh"]
    assert main["said"].count("training starts afresh") == 1
    assert "stopped by a signal to another process at step 7" in other["outcome"]
    assert main["saved"] == other["saved"] == ["step-00000004", "step-00000007"]
    assert main["order"] == "01" * len(TRAININGS)
