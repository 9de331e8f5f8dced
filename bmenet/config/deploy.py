"""The sections of params.yaml about what leaves the workspace: the exported bundle and its way into the registry."""

from typing import Literal

from bmenet.config.base import Code, Section, SomeDistinct

Storage = Literal["fp32", "fp16"]


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
    metric: Literal["psnr", "ssim", "ncc", "hfen", "psnr_brain", "ssim_brain", "ncc_brain", "hfen_brain"]
