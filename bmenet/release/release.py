"""Write a workspace's networks as released weights."""

from collections.abc import Callable
from pathlib import Path

from bmenet.config import Config
from bmenet.data.layout import Layout
from bmenet.networks.coarse import load_coarse
from bmenet.release.card import documents, read_summary
from bmenet.release.export.run import Exported, bundle_lineage, export
from bmenet.release.export.write import trained_kinds
from bmenet.runtime.errors import BMENetError, WeightsError

PUBLIC_SOURCE = "openneuro"
"""The data source that the licence of released weights names."""

MAX_BYTES = 40_000_000
"""Largest size of a release, which lies in the repository and in every copy of the package."""


def release_name(spacing_mm: int) -> str:
    """Return the name of released weights of a grid."""
    return f"bmenet-t1w-{spacing_mm}mm"


def release(config: Config, layout: Layout, folder: Path, tell: Callable[[str], None] = lambda _: None) -> Exported:
    """Write ``bmenet-t1w-<spacing>mm`` into a folder: the bundle, its card and its licence.

    Parameters
    ----------
    config : Config
        Of the workspace.
    layout : Layout
        The workspace, evaluated.
    folder : Path
        Gets the release as a folder of its own; an older one there is replaced when the new one is good.
    tell : callable, optional
        Called with the name of each step.

    Raises
    ------
    BMENetError
        If the networks were not trained on public data, or the release is too large.
    WeightsError
        If networks are missing or were not evaluated, or the bundle does not agree with torch.
    """
    if config.data.source != PUBLIC_SOURCE:
        raise BMENetError(
            f"data.source: expected {PUBLIC_SOURCE}, the public data that the licence of released weights names; got"
            f" {config.data.source}; run `bmenet profile full` and `dvc repro`, or use `bmenet export`"
        )
    if layout.root / config.evaluate.weights != layout.weights_folder:
        raise WeightsError(
            f"evaluate.weights: expected weights, so that the card's figures are of the released networks; got"
            f" {config.evaluate.weights}; set it and run `dvc repro evaluate`"
        )
    _, spec = load_coarse(layout.weights("coarse"))
    summary = read_summary(layout, trained_kinds(layout.weights_folder))
    name = release_name(spec["spacing_mm"])

    def texts(exported: Exported) -> dict[str, str]:
        found = documents(name, config, layout, summary, exported)
        size = exported.bundle.total_bytes + sum(len(text.encode()) for text in found.values())
        if size > MAX_BYTES:
            raise WeightsError(
                f"{name}: expected at most {MAX_BYTES / 1e6:.0f} MB; got {size / 1e6:.1f} MB; set export.storage to"
                " fp16 and export.precisions to [fp32], or train smaller networks"
            )
        return found

    lineage = bundle_lineage(config, layout)
    return export(layout.weights_folder, folder / name, config, lineage, tell, texts)
