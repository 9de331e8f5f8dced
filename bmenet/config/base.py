"""What every section of params.yaml is made of."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
Code = Annotated[str, Field(pattern="^[01]{3}$")]
Plane = Literal["axial", "coronal", "sagittal"]


class Section(BaseModel):
    """A section of params.yaml: frozen, no unknown keys, no silent conversion (a quoted number is not a number)."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Range(Section):
    """A closed interval to draw from uniformly."""

    low: float
    high: float

    @model_validator(mode="before")
    @classmethod
    def _from_pair(cls, value: Any) -> Any:
        if isinstance(value, (list, tuple)) and len(value) == 2:
            return {"low": value[0], "high": value[1]}
        return value

    @model_validator(mode="after")
    def _ordered(self) -> "Range":
        if self.low > self.high:
            raise ValueError(f"expected [low, high] with low <= high; got [{self.low:g}, {self.high:g}]")
        return self
