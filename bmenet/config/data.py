"""Sections `data` and `split`: the data sets, and how each is divided."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from bmenet.config.base import Count, Distinct, NonNegative, Section

_SOURCES_WITH = {
    "dataset": ("openneuro",),
    "mirror": ("openneuro",),
    "root": ("bids", "folder"),
    "covariates": ("folder",),
}
"""Keys that only some sources have."""


class SubsetsConfig(Section):
    """Subjects per subset of a data set, as counts or as fractions (sum at most 1) of all.

    What is left over goes to train; where train is 0, to test.
    """

    train: NonNegative
    validation: NonNegative
    test: NonNegative

    @property
    def are_fractions(self) -> bool:
        """Whether the three numbers are shares of all subjects rather than counts."""
        return self.train + self.validation + self.test <= 1 + 1e-9

    @model_validator(mode="after")
    def _counts_or_fractions(self) -> "SubsetsConfig":
        numbers = (self.train, self.validation, self.test)
        if not self.are_fractions and not all(number.is_integer() for number in numbers):
            raise ValueError(f"expected three whole numbers, or three fractions with a sum of at most 1; got {numbers}")
        return self


class SplitConfig(SubsetsConfig):
    """The subsets of every data set without a split of its own, and the data sets that only the test sees."""

    leave_out: Distinct[str] = Field(default_factory=list)


class SampleConfig(Section):
    """Pseudo-subjects bent from the MNI152 template."""

    subjects: Count
    deformation_mm: NonNegative


def _plain(name: str) -> str:
    if not re.fullmatch("[A-Za-z0-9]+", name):
        raise ValueError(f"expected letters and digits alone, for it becomes part of file names; got {name!r}")
    return name


class SourceConfig(Section):
    """A data set; its name is by default the accession, or the source's name."""

    source: Literal["sample", "openneuro", "bids", "folder"]
    name: Annotated[str, AfterValidator(_plain)]
    dataset: Literal["ds002748", "ds000011"] | None = Field(default=None, validate_default=True)
    root: str | None = None
    mirror: str | None = None
    covariates: str | None = None
    subjects: Count | list[str] | None = None
    split: SubsetsConfig | None = None
    credit: str | None = None
    """Licence of the scans and whom to cite, for the card of weights that were trained on them."""

    @model_validator(mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("name") is None:
            name = value.get("dataset") or value.get("source")
            return value if name is None else {**value, "name": name}
        return value

    @field_validator(*_SOURCES_WITH)
    @classmethod
    def _fits_the_source(cls, value: str | None, info: ValidationInfo) -> str | None:
        source, key = info.data.get("source"), str(info.field_name)
        if value is not None and source is not None and source not in _SOURCES_WITH[key]:
            raise ValueError(
                f"expected none, for only {' and '.join(_SOURCES_WITH[key])} have it; got {value!r} with {source}"
            )
        if key == "dataset" and value is None and source == "openneuro":
            raise ValueError("expected 'ds002748' or 'ds000011', the data set on OpenNeuro; got None")
        return value


def _distinct_names(sources: list[SourceConfig]) -> list[SourceConfig]:
    names = [source.name for source in sources]
    if len({name.casefold() for name in names}) < len(names):
        raise ValueError(f"expected distinct names, upper and lower case being the same; got {names}; set name")
    return sources


class DataConfig(Section):
    """Where subjects come from: one data set or several."""

    sources: Annotated[list[SourceConfig], Field(min_length=1), AfterValidator(_distinct_names)]
    sample: SampleConfig
