"""The sections of params.yaml on finished networks: how they are measured, exported and published."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from bmenet.config.base import CODE, Code, FidelityMetric, Section, SomeDistinct

CLEAN_CODE = "000"
"""The clean volume itself as input: a restoration should leave it alone."""

Baseline = Literal["n4", "n4_nlm", "n4_bm4d"]
Storage = Literal["fp32", "fp16"]
FineVariant = Literal["fine", "fine_decode", "fine_no_edges", "fine_no_constraint"]


def _all_or_codes(value: Any) -> Any:
    """Refuse what is neither ``all`` nor a list of codes, in one sentence: a union of types would answer in two."""
    are_codes = isinstance(value, list) and all(isinstance(code, str) and CODE.fullmatch(code) for code in value)
    if value != "all" and not (are_codes and len(set(value)) == len(value)):
        raise ValueError(f"expected 'all' or a list of distinct codes such as ['111']; got {value!r}")
    return value


RunUnder = Annotated[Literal["all"] | list[str], BeforeValidator(_all_or_codes)]
"""The codes that a method is run under."""


class EvaluateConfig(Section):
    """What is measured, against which baselines.

    `weights` is the folder of the networks, relative to the workspace: ``weights`` holds those trained in it. The stage
    `evaluate` of dvc.yaml depends on this folder, so that other weights wait for no training.
    """

    weights: Annotated[str, Field(min_length=1)]
    codes: SomeDistinct[Code]
    baselines: dict[Baseline, RunUnder]
    fine: dict[FineVariant, RunUnder]
    segmenter: Literal["atropos", "fastsurfer"]
    segmented_codes: SomeDistinct[Code]
    bootstrap: Annotated[int, Field(ge=100)]

    @model_validator(mode="after")
    def _codes_are_evaluated(self) -> "EvaluateConfig":
        named: dict[str, str | list[str]] = {f"baselines.{name}": under for name, under in self.baselines.items()}
        named |= {f"fine.{name}": under for name, under in self.fine.items()}
        for key, under in (named | {"segmented_codes": self.segmented_codes}).items():
            if under != "all" and (odd := sorted(set(under) - set(self.codes))):
                raise ValueError(f"{key}: expected codes of evaluate.codes {self.codes}; got {odd} too")
        if set(self.segmented_codes) == {CLEAN_CODE}:
            raise ValueError(f"segmented_codes: expected at least one degraded code; got {self.segmented_codes}")
        return self

    def baselines_under(self, code: str) -> list[str]:
        """Return the baselines that are run under a code."""
        return [name for name, under in self.baselines.items() if under == "all" or code in under]

    def fine_under(self, code: str) -> list[str]:
        """Return the rows of the second stage that are run under a code."""
        return [name for name, under in self.fine.items() if under == "all" or code in under]


class ExportConfig(Section):
    """What is written beside the weights: graphs in one or more number formats; and how the weights are stored.

    Stored in float16, kernels and matrices are rounded, and the graphs read them from the weights' own files.
    """

    precisions: SomeDistinct[Literal["fp32", "fp16"]]
    storage: Storage
    opset: Literal[20, 21, 22, 23]


class PublishConfig(Section):
    """How a new model is compared with the champion: on validation volumes, never on test volumes."""

    stage: Literal["coarse", "fine"]
    codes: SomeDistinct[Code]
    metric: FidelityMetric
