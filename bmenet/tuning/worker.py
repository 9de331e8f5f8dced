"""A worker: a process that runs trials of a study until the budget is used up, or it is asked to leave."""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.synchronize import Event
from typing import Any

from bmenet.config import Config
from bmenet.networks.compute import choose_device
from bmenet.runtime.errors import BMENetError
from bmenet.runtime.progress import console
from bmenet.tuning.objective import Objective, Outcome, Report
from bmenet.tuning.plan import Plan
from bmenet.tuning.sampling_objective import SamplingObjective
from bmenet.tuning.study import load_study
from bmenet.tuning.training_objective import TrainingObjective
from bmenet.tuning.trial import TrialRunner


class Departure:
    """A handler of SIGTERM that ends the process at once, except inside `held`.

    A signal inside Optuna would leave a trial in the database that nobody puts back. `is_due`: the signal came.
    """

    def __init__(self) -> None:
        self.is_due = self._is_held = False

    def __call__(self, _number: int, _frame: Any) -> None:
        """Take the signal."""
        self.is_due = True
        self._leave_if_due()

    @contextmanager
    def held(self, is_held: bool = True) -> Iterator[None]:
        """Let the signal wait for the end of the block; with False it ends the block, also if it came before."""
        before = self._is_held
        self._hold(is_held)
        try:
            yield
        except BaseException:  # an error is told rather than replaced by the signal
            self._is_held = before
            raise
        self._hold(before)

    def within(self, objective: Objective) -> Objective:
        """Return an objective that the signal ends: it computes only, and what it reports reaches the database."""

        def interruptible(config: Config, report: Report) -> Outcome:
            def held_report(step: int, value: float) -> None:
                with self.held():
                    report(step, value)

            with self.held(False):
                return objective(config, held_report)

        return interruptible

    def _hold(self, is_held: bool) -> None:
        self._is_held = is_held
        self._leave_if_due()

    def _leave_if_due(self) -> None:
        if self.is_due and not self._is_held:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it is leaving already
            sys.exit(128 + signal.SIGTERM)


def work(plan: Plan, number: int, threads: int, seconds: float | None, stop: Event) -> None:
    """Run trials in this process, a child of the one that reports, until that one ends or sets `stop`.

    With several GPUs, worker `number` has one of its own. After so many `seconds`, if given, no trial begins.
    """
    import torch

    os.setpgrp()  # Ctrl-C in the terminal goes to the parent, which asks for an orderly end
    departure = Departure()
    signal.signal(signal.SIGTERM, departure)
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    console.quiet = True
    torch.set_num_threads(threads)
    parent = multiprocessing.parent_process()

    def is_stopping() -> bool:
        return departure.is_due or stop.is_set() or (parent is not None and not parent.is_alive())

    try:
        runner = TrialRunner(plan, departure.within(make_objective(plan, number)), is_stopping)
        study = load_study(plan)
        with departure.held():
            runner.run(study, seconds)
    except BMENetError as error:
        print(f"bmenet: a worker stopped: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(1)


def make_objective(plan: Plan, number: int) -> Objective:
    """Return the objective of the plan's scope, on a GPU of the worker's own where there are several."""
    import torch

    device = choose_device("auto")
    if device.type == "cuda":
        device = torch.device("cuda", number % torch.cuda.device_count())
        torch.cuda.set_device(device)
    return SamplingObjective(plan, device) if plan.config.tune.scope == "sampling" else TrainingObjective(plan, device)


def _leave_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
