"""What every section of params.yaml is made of."""

import re
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
CountOrZero = Annotated[int, Field(ge=0)]
CODE = re.compile("[01]{3}")
Code = Annotated[str, Field(pattern=f"^{CODE.pattern}$")]
FidelityMetric = Literal[
    "psnr", "ssim", "ncc", "hfen", "psnr_head", "ssim_head",
    "psnr_brain", "psnr_field_free_brain", "ssim_brain", "ncc_brain", "hfen_brain",
]  # fmt: skip
"""A name in the table of metrics, `bmenet.evaluation.metrics.METRICS`."""
Plane = Literal["axial", "coronal", "sagittal"]
PLANES: tuple[Plane, ...] = get_args(Plane)

T = TypeVar("T")


def _distinct(values: list[T]) -> list[T]:
    """Refuse a list that names something twice."""
    if len(set(values)) != len(values):
        raise ValueError(f"expected distinct values; got {values}")
    return values


def _odd(value: int) -> int:
    if value % 2 == 0:
        raise ValueError(f"expected an odd number; got {value}")
    return value


def _some_weight(weights: dict[str, float]) -> dict[str, float]:
    if not any(weights.values()):
        raise ValueError("expected at least one weight above zero; got none")
    return weights


Distinct = Annotated[list[T], AfterValidator(_distinct)]
SomeDistinct = Annotated[Distinct[T], Field(min_length=1)]
"""A list with something in it, in which nothing stands twice."""

Odd = Annotated[Count, AfterValidator(_odd)]
CodeWeights = Annotated[dict[Code, NonNegative], AfterValidator(_some_weight)]
"""How often each code is drawn, relative to the others."""


class Section(BaseModel):
    """A section of params.yaml: frozen, no unknown keys, no silent conversion (a quoted number is not a number).

    Infinity and NaN, which YAML has and JSON has not, are no numbers either.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Range(Section):
    """A closed interval to draw from uniformly; its kinds below say which numbers it may hold."""

    low: float
    high: float

    @model_validator(mode="before")
    @classmethod
    def _from_pair(cls, value: Any) -> Any:
        if isinstance(value, (list, tuple)) and len(value) == 2:
            return {"low": value[0], "high": value[1]}
        if not isinstance(value, (dict, Range)):
            raise ValueError(f"expected [low, high]; got {value!r}")
        return value

    @model_validator(mode="after")
    def _ordered(self) -> "Range":
        if self.low > self.high:
            raise ValueError(f"expected [low, high] with low <= high; got [{self.low:g}, {self.high:g}]")
        return self


class NonNegativeRange(Range):
    """Numbers from 0 on."""

    low: NonNegative
    high: NonNegative


class PositiveRange(Range):
    """Numbers above 0."""

    low: Positive
    high: Positive


class FractionRange(Range):
    """Numbers from 0 to below 1."""

    low: Annotated[float, Field(ge=0, lt=1)]
    high: Annotated[float, Field(ge=0, lt=1)]


class CountRange(Range):
    """Whole numbers from 0 on."""

    low: CountOrZero
    high: CountOrZero


class Span(NonNegativeRange):
    """Two different numbers from 0 on, which go to 0 and to 1."""

    @model_validator(mode="after")
    def _extended(self) -> "Span":
        if self.low == self.high:
            raise ValueError(f"expected [low, high] with low < high; got [{self.low:g}, {self.high:g}]")
        return self
