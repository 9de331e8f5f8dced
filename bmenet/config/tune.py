"""The section `tune` of params.yaml: what is searched, where, and what counts as better."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from bmenet.config.base import Code, Count, FidelityMetric, NonNegative, Positive, Section, SomeDistinct

Scope = Literal["sampling", "training"]
TunedNetwork = Literal["coarse", "fine"]
TunedMetric = Literal[FidelityMetric, "dice"]
SECONDS = "seconds"
"""The objective that is no composite: seconds a volume, the fewer the better."""


class SearchRange(Section):
    """The values that one key may take.

    `kind` float or int: from `low` to `high`, both included, in steps of `step` or evenly in the logarithm; choice: one
    of `choices`.
    """

    kind: Literal["float", "int", "choice"]
    low: float | None = None
    high: float | None = None
    step: Positive | None = None
    log: bool = False
    choices: Annotated[list[str | float | int | bool], Field(min_length=2)] | None = None

    @model_validator(mode="after")
    def _whole(self) -> "SearchRange":
        if self.kind == "choice":
            if self.choices is None or self.low is not None or self.high is not None or self.step or self.log:
                raise ValueError("expected two or more `choices` and nothing else with kind choice")
            return self
        if self.low is None or self.high is None or self.choices is not None:
            raise ValueError(f"expected `low` and `high`, and no `choices`, with kind {self.kind}")
        if self.low >= self.high:
            raise ValueError(f"expected low < high; got {self.low:g} and {self.high:g}")
        if self.log and (self.low <= 0 or self.step):
            raise ValueError("expected low > 0 and no `step` with log")
        if self.kind == "int" and any(v is not None and v % 1 for v in (self.low, self.high, self.step)):
            raise ValueError("expected whole numbers with kind int")
        return self

    @property
    def bounds(self) -> tuple[float, float]:
        """Both ends of a range; choices have none."""
        if self.low is None or self.high is None:
            raise TypeError("expected a range of kind float or int; got choices")
        return self.low, self.high

    @property
    def ends(self) -> list[Any]:
        """The values that must be valid by themselves: the ends of a range, or all choices."""
        if self.choices is not None:
            return list(self.choices)
        return [int(end) if self.kind == "int" else float(end) for end in self.bounds]


class TuneTrainingConfig(Section):
    """The short trainings of scope `training`: of which network, and how long."""

    network: TunedNetwork
    steps: Count
    validate_every: Count


class SearchSpaceConfig(Section):
    """Dotted key of params.yaml to its range, for each scope."""

    sampling: Annotated[dict[str, SearchRange], Field(min_length=1)]
    training: Annotated[dict[str, SearchRange], Field(min_length=1)]


class TuneConfig(Section):
    """A study: its scope, its objectives on validation volumes, how values are proposed, and its budget."""

    scope: Scope
    objectives: SomeDistinct[str]
    composites: Annotated[dict[str, dict[TunedMetric, NonNegative]], Field(min_length=1)]
    codes: SomeDistinct[Code]
    validation_volumes: Count | None
    trials: Annotated[int, Field(ge=0)]
    timeout_s: Positive | None
    sampler: Literal["tpe", "gp", "cmaes", "nsga2", "random"]
    pruner: Literal["none", "median", "percentile", "hyperband", "successive_halving", "patient"]
    training: TuneTrainingConfig
    search_space: SearchSpaceConfig

    @property
    def composite(self) -> str | None:
        """The first of the objectives that is a composite."""
        return next((name for name in self.objectives if name != SECONDS), None)

    @property
    def space(self) -> dict[str, SearchRange]:
        """What is searched in the scope; of trainings, the keys of the network that is trained."""
        if self.scope == "sampling":
            return self.search_space.sampling
        prefix = f"{self.training.network}."
        return {key: found for key, found in self.search_space.training.items() if key.startswith(prefix)}

    @model_validator(mode="after")
    def _consistent(self) -> "TuneConfig":
        if SECONDS in self.composites:
            raise ValueError(f"composites: expected other names than {SECONDS!r}, which is an objective by itself")
        if empty := sorted(name for name, weights in self.composites.items() if not any(weights.values())):
            raise ValueError(f"composites: expected a weight above zero in each; got none in {empty}")
        known = [*self.composites, SECONDS]
        if odd := sorted(set(self.objectives) - set(known)):
            raise ValueError(f"objectives: expected names of {known}; got {odd}")
        if self.composite is None:
            raise ValueError(f"objectives: expected a composite, alone or with {SECONDS!r}; got {self.objectives}")
        if len(self.objectives) > 1 and self.pruner != "none":
            raise ValueError(
                f"pruner: expected 'none' with several objectives, of which none says when to stop; got {self.pruner!r}"
            )
        if len(self.objectives) > 1 and self.sampler == "cmaes":
            raise ValueError("sampler: expected one for several objectives (tpe, gp, nsga2, random); got 'cmaes'")
        if odd := sorted(key for key in self.search_space.sampling if not key.startswith("sampling.")):
            raise ValueError(f"search_space.sampling: expected keys of the section sampling; got {odd} too")
        if odd := sorted(key for key in self.search_space.training if key.split(".")[0] not in ("coarse", "fine")):
            raise ValueError(f"search_space.training: expected keys of the sections coarse and fine; got {odd} too")
        if not self.space:
            raise ValueError(f"search_space.training: expected keys of {self.training.network}; got none")
        return self
