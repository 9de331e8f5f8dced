"""Studies: the database that keeps them, and the trials that count."""

import logging
import time
import uuid
import warnings
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import event, make_url
from sqlalchemy.exc import IntegrityError

from bmenet.config.tune import SECONDS
from bmenet.runtime.errors import BMENetError, ConfigError
from bmenet.tuning.plan import Plan
from bmenet.tuning.search_space import PRUNERS, SeededSampler, current_values

RUN = "run"
"""User attribute of the study: the key of its MLflow run."""

STATES = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}
PUT_BACK = "put back"
"""How a trial ended, in words; put back: its values were queued again."""

_DEATHS = "bmenet:deaths"
"""System attribute of a trial that was queued again: how many processes died with its values."""

_BEAT_S = 10
_LOCK_S = 30.0
"""How long a process waits for the lock of an SQLite file: several times less than `Plan.grace_s`."""
_MAKING_S = 5.0
"""Longer than the maker of a new study needs to write its run key."""
_OPENINGS = 5
"""Tries to open a new database: of several processes that create its tables at once, all but one fail."""


def open_study(plan: Plan) -> optuna.Study:
    """Create the study of a plan, or join it.

    Raises
    ------
    ConfigError, BMENetError
        If the storage cannot be used.
    """
    objectives = plan.config.tune.objectives
    storage = open_storage(plan)
    directions = [StudyDirection.MINIMIZE if name == SECONDS else StudyDirection.MAXIMIZE for name in objectives]
    try:
        study = optuna.create_study(storage=storage, study_name=plan.name, directions=directions)
        study.set_metric_names(list(objectives))
        study.set_user_attr(RUN, uuid.uuid4().hex)
    except optuna.exceptions.DuplicatedStudyError:
        study = load_study(plan, storage)
        end = time.monotonic() + _MAKING_S
        while RUN not in study.user_attrs and time.monotonic() < end:
            time.sleep(0.1)
        if RUN not in study.user_attrs:  # its maker died
            study.set_user_attr(RUN, uuid.uuid4().hex)
    return load_study(plan, storage)


def load_study(plan: Plan, storage: RDBStorage | None = None) -> optuna.Study:
    """Return the study of a plan, which exists, with the plan's sampler and pruner."""
    tune = plan.config.tune
    last_step = tune.training.steps if tune.scope == "training" else len(plan.cases)
    return optuna.load_study(
        study_name=plan.name,
        storage=storage or open_storage(plan),
        sampler=SeededSampler(tune.sampler, plan.config.seed, current_values(plan.config)),
        pruner=PRUNERS[tune.pruner](last_step),
    )


def open_storage(plan: Plan) -> RDBStorage:
    """Return the database of the plan, by default an SQLite file of the workspace.

    A running trial sends a heartbeat; one that is silent for `plan.grace_s` seconds is ended and queued once more.

    Raises
    ------
    ConfigError, BMENetError
        If it cannot be used; no password is shown.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    for name in ("alembic", "sqlalchemy"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    url = plan.storage or f"sqlite:///{plan.layout.studies.absolute()}"
    if plan.storage is None:
        plan.layout.studies.parent.mkdir(parents=True, exist_ok=True)
    try:
        return _connect(url, plan)
    except ImportError as error:
        raise BMENetError(f"--storage: expected an installed database driver; got none: {error}") from None
    except Exception as error:
        if "parse" in str(error) or "dialect" in str(error) or "NoSuchModule" in type(error).__name__:
            raise ConfigError(
                "--storage: expected a SQLAlchemy URL such as postgresql+psycopg2://user@host/database, with a driver"
                " that is known; got another text, which is not shown for the password that may be in it"
            ) from None
        raise BMENetError(
            f"--storage: expected a database that answers at {make_url(url).render_as_string(hide_password=True)}; got"
            f" {type(error).__name__}; start it, or leave --storage and BMENET_STUDIES out for a file of the workspace"
        ) from None


class _Storage(RDBStorage):
    """A database that may miss a heartbeat: Optuna sends none after one that raises, though the trial goes on."""

    def record_heartbeat(self, trial_id: int) -> None:
        """Record a heartbeat, or leave it to the next one."""
        with suppress(Exception):
            super().record_heartbeat(trial_id)


def _connect(url: str, plan: Plan) -> RDBStorage:
    is_sqlite = make_url(url).get_backend_name() == "sqlite"
    options: dict[str, Any] = {"connect_args": {"timeout": _LOCK_S}} if is_sqlite else {"pool_pre_ping": True}
    for opening in range(_OPENINGS):
        try:
            storage = _Storage(
                url,
                options,
                heartbeat_interval=max(1, min(_BEAT_S, plan.grace_s // 6)),
                grace_period=plan.grace_s,
                heartbeat_stale_trial_callback=_retry_once,
            )
            break
        except Exception as error:
            is_race = isinstance(error, IntegrityError) or "already exists" in str(error)
            if not is_race or opening == _OPENINGS - 1:
                raise
            time.sleep(0.2 * (opening + 1))
    if is_sqlite:
        event.listen(storage.engine, "connect", _prepare)
        event.listen(storage.engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
        storage.engine.dispose()
    return storage


def _prepare(connection: Any, _record: Any) -> None:
    """Set SQLite's write-ahead log, whole after a kill, and leave the beginning of transactions to the engine.

    Optuna gives a waiting trial to one process only by ``SELECT ... FOR UPDATE``, which SQLite does not have: instead,
    every transaction takes the lock of the file at its beginning.
    """
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")


def fail_stale(study: optuna.Study, seen: set[int]) -> None:
    """End the running trials whose heartbeat has stopped; Optuna overlooks a trial that was killed before its first.

    Parameters
    ----------
    seen : set of int
        Running trials that got a heartbeat here; added to.
    """
    optuna.storages.fail_stale_trials(study)
    storage: Any = study._storage
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if trial.number not in seen:
            storage.record_heartbeat(trial._trial_id)
            seen.add(trial.number)


def put_back(study: optuna.Study, number: int) -> None:
    """End a running trial as failed, and queue its values again; one that another process has ended stays as it is."""
    try:
        study.tell(number, state=TrialState.FAIL)
    except (ValueError, UpdateFinishedTrialError):
        return
    requeue(study, number)


def requeue(study: optuna.Study, number: int) -> None:
    """Queue the values of a failed trial again; the trial no longer counts."""
    RetryHeartbeatStaleTrialCallback()(study, study.trials[number])


def _retry_once(study: optuna.Study, trial: FrozenTrial) -> None:
    """Queue the values of a trial whose process died, unless another died with them; interruptions do not count."""
    if not trial.system_attrs.get(_DEATHS):
        trial.system_attrs[_DEATHS] = 1
        RetryHeartbeatStaleTrialCallback()(study, trial)


def put_back_numbers(trials: Iterable[FrozenTrial]) -> set[int]:
    """Return the numbers of the trials whose values were queued again."""
    return {number for trial in trials for number in RetryHeartbeatStaleTrialCallback.retry_history(trial)}


def counted(study: optuna.Study) -> list[FrozenTrial]:
    """Return the trials that used up a part of the budget: each ended, well or badly, and was not put back."""
    trials = study.get_trials(deepcopy=False)
    again = put_back_numbers(trials)
    return [trial for trial in trials if trial.state in STATES and trial.number not in again]


def is_enough(study: optuna.Study, budget: int, before: int | None = None) -> bool:
    """Tell whether the trials that count and those that run, all or those before a number, use up the budget."""
    trials = study.get_trials(deepcopy=False)
    again = put_back_numbers(trials)
    taken = [trial for trial in trials[:before] if trial.state != TrialState.WAITING and trial.number not in again]
    return len(taken) >= budget


def sense(study: optuna.Study) -> int:
    """Return 1 if more of the first objective is better, else -1."""
    return -1 if study.directions[0] == StudyDirection.MINIMIZE else 1


def best_trial(study: optuna.Study) -> FrozenTrial | None:
    """Return the complete trial with the best first objective, the earliest of equals; None if there is none."""
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return max(complete, key=lambda trial: (sense(study) * trial.values[0], -trial.number), default=None)
