"""Open the study of a plan: whoever comes first makes it, all others join, and any later call goes on with it."""

import logging
import time
import uuid
import warnings

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import make_url

from bmenet.config.tune import SECONDS
from bmenet.runtime.errors import BMENetError, ConfigError
from bmenet.tuning.plan import Plan
from bmenet.tuning.sampler import PRUNERS, SeededSampler
from bmenet.tuning.search_space import current_values

ENDED_BY = "ended_by"
"""User attribute of trials that were not run to their end: why; their tries do not count."""
IS_DEFAULT = "is_default"
"""User attribute of the trial with the values that params.yaml had when the study began."""
CASES = "cases"
"""User attribute: case to metrics, of the result."""
GAIN_OVER = "gain_over"
"""User attribute of the study: what a composite is a gain over, in words."""
RUN = "run"
"""User attribute of the study: the key of its MLflow run."""

_MAKING_S = 5.0
"""Longer than a maker takes from the first to the last of what belongs to a new study."""
STATES = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}
"""How a trial ended, in words."""


def open_study(plan: Plan) -> optuna.Study:
    """Make the study of a plan, its first trial the present values; or join it.

    Raises
    ------
    BMENetError
        If the storage cannot be used.
    """
    tune = plan.config.tune
    directions = [StudyDirection.MINIMIZE if name == SECONDS else StudyDirection.MAXIMIZE for name in tune.objectives]
    storage = open_storage(plan)
    try:
        study = optuna.create_study(storage=storage, study_name=plan.name, directions=directions)
    except optuna.exceptions.DuplicatedStudyError:
        study = load_study(plan, storage)
        if _is_whole(study):
            return study
    # Made once, however many begin together: only its maker comes here, or who finds that the maker has died.
    if not any(IS_DEFAULT in trial.user_attrs for trial in study.get_trials(deepcopy=False)):
        study.enqueue_trial(current_values(plan.config), user_attrs={IS_DEFAULT: True})
    study.set_user_attr("objectives", list(tune.objectives))
    study.set_user_attr(GAIN_OVER, plan.given)
    study.set_user_attr(RUN, uuid.uuid4().hex)
    return load_study(plan, storage)


def _is_whole(study: optuna.Study) -> bool:
    """Tell whether a study's maker has done all; while it may be at it, wait."""
    end = time.monotonic() + _MAKING_S
    while RUN not in study.user_attrs:
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def load_study(plan: Plan, storage: BaseStorage | None = None) -> optuna.Study:
    """Return the study of a plan, which somebody has made, with the plan's sampler and pruner."""
    last_step = plan.config.tune.training.steps if plan.config.tune.scope == "training" else len(plan.cases)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.load_study(
            study_name=plan.name,
            storage=storage or open_storage(plan),
            sampler=SeededSampler(plan.config.tune.sampler, plan.config.seed),
            pruner=PRUNERS[plan.config.tune.pruner](last_step),
        )


def open_storage(plan: Plan) -> BaseStorage:
    """Return the journal file of the workspace, or the database of the plan.

    Raises
    ------
    BMENetError
        If it cannot be used; no password is shown.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    for name in ("alembic", "sqlalchemy"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    url = plan.storage
    if url is None:
        journal = plan.layout.journal
        journal.parent.mkdir(parents=True, exist_ok=True)
        return JournalStorage(JournalFileBackend(str(journal)))
    try:
        return RDBStorage(url, engine_kwargs={"pool_pre_ping": True})
    except ImportError as error:
        raise BMENetError(f"--storage: expected an installed database driver; got none: {error}") from None
    except Exception as error:
        if "parse" in str(error) or "dialect" in str(error) or "NoSuchModule" in type(error).__name__:
            raise ConfigError(
                "--storage: expected a SQLAlchemy URL such as postgresql://user@host/database, with a driver that is"
                " known; got another text, which is not shown for the password that may be in it"
            ) from None
        raise BMENetError(
            f"--storage: expected a database that answers at {make_url(url).render_as_string(hide_password=True)}; got"
            f" {type(error).__name__}; start it, or leave --storage and BMENET_STUDIES out for a journal file"
        ) from None


def counts(trial: FrozenTrial) -> bool:
    """Tell whether a trial has used up a part of the budget: it ended, well or badly, by itself."""
    return trial.state in STATES and ENDED_BY not in trial.user_attrs


def counts_or_runs(trial: FrozenTrial) -> bool:
    """Tell whether a trial has used up a part of the budget, or is at it."""
    return counts(trial) or trial.state == TrialState.RUNNING


def counted(study: optuna.Study) -> int:
    """Return how many trials count."""
    return sum(map(counts, study.get_trials(deepcopy=False)))


def best_trial(study: optuna.Study) -> FrozenTrial | None:
    """Return the complete trial with the best first objective, the earliest of equals; None if there is none."""
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    sense = -1 if study.directions[0] == StudyDirection.MINIMIZE else 1
    return max(complete, key=lambda trial: (sense * trial.values[0], -trial.number), default=None)
