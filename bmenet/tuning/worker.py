"""A process that runs trials until there are enough of them."""

import os
import signal
import sys
import time
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from typing import Any

from bmenet.networks.compute import choose_device
from bmenet.runtime.errors import BMENetError
from bmenet.runtime.progress import console
from bmenet.tuning.objective import Objective
from bmenet.tuning.plan import Plan
from bmenet.tuning.sampling_objective import SamplingObjective
from bmenet.tuning.study import load_study
from bmenet.tuning.training_objective import TrainingObjective
from bmenet.tuning.trial import is_enough, run_trial

FAILED = 1
"""Exit code of a worker that could not work; a signal is a negative one."""


@dataclass(frozen=True)
class Shift:
    """What a worker is told.

    Parameters
    ----------
    plan : Plan
    budget : int
        Trials of the whole study.
    seconds : float or None
        After so long no trial begins.
    threads : int
    number : int
        Of the worker: with several GPUs, each worker has one.
    """

    plan: Plan
    budget: int
    seconds: float | None
    threads: int
    number: int


def work(shift: Shift, stop: Event) -> None:
    """Run trials in this process, a child of the one that reports; ends with it."""
    os.setpgrp()  # Ctrl-C in the terminal goes to the parent, who asks for an orderly end
    signal.signal(signal.SIGTERM, _leave)
    console.quiet = True
    parent = os.getppid()
    try:
        run_shift(shift, lambda: stop.is_set() or os.getppid() != parent)
    except BMENetError as error:
        print(f"bmenet: a worker stopped: {' '.join(str(error).split())}", file=sys.stderr)
        raise SystemExit(FAILED) from error
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it is leaving already


def run_shift(shift: Shift, is_stopping: Any) -> None:
    """Run trials until there are enough, time is up, or `is_stopping` says so."""
    import torch

    torch.set_num_threads(shift.threads)
    end = None if shift.seconds is None else time.monotonic() + shift.seconds
    study = load_study(shift.plan)
    objective: Objective | None = None
    while not is_stopping() and not is_enough(study, shift.budget) and (end is None or time.monotonic() < end):
        objective = objective or make_objective(shift.plan, shift.number)
        run_trial(shift.plan, study, objective, shift.budget, is_stopping)


def make_objective(plan: Plan, number: int) -> Objective:
    """Return the objective of the plan's scope, on a GPU of the worker's own where there are several."""
    import torch

    device = choose_device("auto")
    if device.type == "cuda":
        device = torch.device("cuda", number % torch.cuda.device_count())
        torch.cuda.set_device(device)
    return SamplingObjective(plan, device) if plan.config.tune.scope == "sampling" else TrainingObjective(plan, device)


def _leave(number: int, _frame: Any) -> None:
    sys.exit(128 + number)
