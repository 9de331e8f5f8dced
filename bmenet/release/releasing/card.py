"""The card of released weights, filled with what is known of them."""

from importlib import resources
from math import prod
from pathlib import Path
from string import Template
from typing import Any

from safetensors import safe_open

from bmenet import __version__
from bmenet.config import Config, flatten
from bmenet.config.deploy import Storage
from bmenet.data.layout import Layout
from bmenet.evaluation.markdown import markdown_table
from bmenet.networks.weights import SPEC_FILE, WEIGHTS_FILE
from bmenet.release.export.run import Exported
from bmenet.release.released import CARD_FILE, LICENCE_FILE
from bmenet.release.releasing.figures import Figures
from bmenet.runtime.files import read_json

_ROLES = {
    "coarse": "restores slices",
    "autoencoder": "volumes to latents and back",
    "edge_autoencoder": "edge maps to latents",
    "prior": "denoiser of latents",
    "covariates": "sex, age and volumes from a scan",
    "fine": "ControlNet",
}
_STORAGE: dict[Storage, str] = {
    "fp16": "kernels and matrices are stored in float16, one copy for both, and computed with in float32",
    "fp32": "stored in float32",
}
_NOT_OF_TRAINING = ("swinir.", "code_weights.", "workers", "checkpoint_every", "validate_every", "validation_volumes")


def documents(name: str, config: Config, layout: Layout, figures: Figures, exported: Exported) -> dict[str, str]:
    """Return the files for readers that go into the bundle, by name.

    Parameters
    ----------
    name : str
        Of the release.
    config : Config
    layout : Layout
        The workspace.
    figures : Figures
    exported : Exported
        The bundle without these files, and how it compares with torch.
    """
    return {CARD_FILE: _card(name, config, layout, figures, exported), LICENCE_FILE: _template("licence.md")}


def _card(name: str, config: Config, layout: Layout, figures: Figures, exported: Exported) -> str:
    manifest = exported.bundle.manifest
    counts = {part: len(subjects) for part, subjects in read_json(layout.split).items()}
    errors = [row.error for row in exported.parity if row.precision == "fp32" and row.graph.endswith("end to end")]
    rounded = ", ".join(f"{value:.0f} dB ({stage})" for stage, value in exported.rounding_db.items())
    return Template(_template("model_card.md")).substitute(
        name=name,
        version=__version__,
        summary=figures.line(),
        stages="both stages" if exported.bundle.has_fine else "the first stage",
        spacing_mm=manifest.spacing_mm,
        grid=" x ".join(map(str, manifest.grid_shape)),
        megabytes=f"{exported.bundle.total_bytes / 1e6:.1f}",
        storage=_STORAGE[config.export.storage],
        networks=_networks(exported.bundle.weights).strip(),
        subjects="{train} subjects to train on, {validation} to validate, {test} to test.".format_map(counts),
        test_subjects=counts["test"],
        severity=config.degradation.severity,
        degradations=_table(_degradations(config)),
        start=_start(config.coarse.start_from),
        training=_table({"profile": config.profile, "seed": config.seed, **_training(config)}),
        rounding=f"as stored they give the same result to {rounded}." if rounded else "they are stored unchanged.",
        quality=figures.table().strip(),
        parity=f"{max(errors):.0e}",
        lineage=_table(manifest.lineage),
    )


def _start(folder: str | None) -> str:
    """Return what the first stage's training began with."""
    if folder is None:
        return "The first stage was trained from nothing, as the table says."
    return (
        f"The table is of the last part of the first stage's training, which goes on from `{folder}`; the parts before"
        " it are profiles of the repository, and `docs/training.md` there tells of all of them."
    )


def _networks(weights: Path) -> str:
    """Return every network's size and the steps it was trained for."""
    rows = []
    for kind, role in _ROLES.items():
        if not (weights / kind / SPEC_FILE).is_file():
            continue
        steps = read_json(weights / kind / SPEC_FILE).get("lineage", {}).get("steps", "")
        with safe_open(weights / kind / WEIGHTS_FILE, "numpy") as file:
            shapes = [file.get_slice(key).get_shape() for key in file.keys()]  # noqa: SIM118  # no mapping
        count = sum(prod(shape) for shape in shapes)
        rows.append([f"`{kind}`: {role}", f"{count / 1e6:.2f} M", str(steps)])
    return markdown_table(["network", "parameters", "training steps"], rows)


def _degradations(config: Config) -> dict[str, Any]:
    """Return the ranges that training drew from: the preset's, and those of fresh cases where there were any."""
    preset = f"presets.{config.degradation.severity}."
    found = {key: value for key, value in _section(config, "degradation.").items() if key.startswith(preset)}
    online = {} if config.coarse.degradations == "precomputed" else _section(config, "coarse.online.")
    return {key.removeprefix(preset): value for key, value in found.items()} | {
        f"fresh cases: {key}": value for key, value in online.items()
    }


def _training(config: Config) -> dict[str, Any]:
    """Return the settings that decide what the first stage became."""
    return {
        f"coarse.{key}": value
        for key, value in _section(config, "coarse.").items()
        if not key.startswith(("online.", *_NOT_OF_TRAINING))
    }


def _section(config: Config, prefix: str) -> dict[str, Any]:
    return {key.removeprefix(prefix): value for key, value in flatten(config).items() if key.startswith(prefix)}


def _table(values: dict[str, Any]) -> str:
    """Return names and values, one a row."""
    return markdown_table(
        ["", "value"], [[f"`{key}`", _shown(value)] for key, value in values.items() if value is not None]
    ).strip()


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _template(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
