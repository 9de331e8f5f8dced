"""From the search space of params.yaml to what a trial is run with."""

import math
from collections.abc import Mapping
from typing import Any

import optuna

from bmenet.config import Config, SearchRange, flatten, with_values
from bmenet.runtime.errors import ConfigError


def suggest(trial: optuna.Trial, space: Mapping[str, SearchRange]) -> dict[str, Any]:
    """Return dotted key to the value that the trial is to use."""
    return {key: _suggest(trial, key, found) for key, found in space.items()}


def _suggest(trial: optuna.Trial, key: str, found: SearchRange) -> Any:
    if found.choices is not None:
        return trial.suggest_categorical(key, found.choices)
    low, high = found.bounds
    if found.kind == "int":
        return trial.suggest_int(key, int(low), int(high), step=int(found.step or 1), log=found.log)
    return trial.suggest_float(key, low, high, step=found.step, log=found.log)


def current_values(config: Config) -> dict[str, Any]:
    """Return dotted key to the value in params.yaml, of all keys that are searched."""
    flat = flatten(config)
    return {key: flat.get(key) for key in config.tune.space}


def require_space(config: Config) -> None:
    """Check, before anything is run, that every key exists, takes every end of its range, and lies within it now.

    Raises
    ------
    ConfigError
        Otherwise.
    """
    where = f"tune.search_space.{config.tune.scope}"
    for key, found in config.tune.space.items():
        for end in found.ends:
            try:
                with_values(config, {key: end}, where)
            except ConfigError as error:
                raise ConfigError(
                    f"{where}: {key}: expected a range of valid values; {end!r} is none: {error}"
                ) from None
    for key, value in current_values(config).items():
        if not _holds(config.tune.space[key], value):
            raise ConfigError(
                f"{where}: {key}: expected a range that holds the present value, where the search begins; {value!r} is"
                " outside: widen the range, or let `step` meet it"
            )


def _holds(found: SearchRange, value: Any) -> bool:
    """Tell whether a range holds a value."""
    if found.choices is not None:
        return value in found.choices
    low, high = found.bounds
    if not low <= value <= high:
        return False
    return found.step is None or math.isclose(remainder := (value - low) / found.step, round(remainder))
