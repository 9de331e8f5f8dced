"""Write a workspace's networks as released weights: the bundle, its licence and its card.

The card is `model_card.md`, filled from the workspace, its evaluation and the exported bundle.
"""

from collections.abc import Callable
from importlib import resources
from math import prod
from pathlib import Path
from string import Template
from typing import Any

from safetensors import safe_open

from bmenet import __version__
from bmenet.config import Config, flatten
from bmenet.config.evaluate import CLEAN_CODE, Storage
from bmenet.data.layout import Layout
from bmenet.evaluation.bootstrap import Interval
from bmenet.evaluation.methods import COARSE, FINE
from bmenet.evaluation.result import INPUT
from bmenet.evaluation.summary import Summary
from bmenet.evaluation.tables import METHOD_LABELS, SHOWN_CODE, cell, column, markdown_table
from bmenet.networks.coarse import load_coarse
from bmenet.networks.weights import SPEC_FILE, WEIGHTS_FILE
from bmenet.release.export.run import Exported, bundle_lineage, export
from bmenet.release.export.write import trained_kinds
from bmenet.release.released import CARD_FILE, LICENCE_FILE
from bmenet.runtime.errors import BMENetError, WeightsError
from bmenet.runtime.files import read_json

MAX_BYTES = 40_000_000
"""Largest size of a release, which lies in the repository and in every copy of the package."""

_PLANES = {
    False: "in all planes that it was trained on",
    True: "in the two planes that contain the phase-encode axis, which ghosts in the air tell",
}
"""`coarse.phase_encode_first` to how a card says it."""

_CREDITS = {
    "ds002748": (
        "**OpenNeuro ds002748**, version 1.0.5: adults of 19 to 55 years, 3 T, skull-stripped by those who published"
        " the scans; public domain (CC0 1.0). Bezmaternykh et al. (2021). Resting state with closed eyes for patients"
        " with depression and healthy participants. OpenNeuro, doi:10.18112/openneuro.ds002748.v1.0.5."
    ),
    "ds000011": (
        "**OpenNeuro ds000011** (OpenfMRI ds011): adults of 19 to 37 years, 3 T, whole heads without faces; Public"
        " Domain Dedication and License (PDDL 1.0). Foerde, Knowlton and Poldrack (2006). Modulation of competing"
        " memory systems by distraction. PNAS 103(31):11778-83, doi:10.1073/pnas.0602659103. OpenfMRI project, NSF"
        " Grant OCI-1131441."
    ),
}
"""Accession on OpenNeuro to what a card says of it; other data sets bring a `credit` of their own."""

_ROLES = {
    "field": "tells the coil's field from the whole head at 4 mm",
    "coarse": "restores slices",
    "autoencoder": "volumes to latents and back",
    "edge_autoencoder": "edge maps to latents",
    "denoiser": "denoiser of latents",
    "covariates": "sex, age and volumes from a scan",
    "fine": "ControlNet",
}
_STORAGE: dict[Storage, str] = {
    "fp16": "kernels and matrices are stored in float16, one copy for both, and computed with in float32",
    "fp32": "stored in float32",
}
_FIELD = (
    "First a small 3D network tells the coil's field, which no slice can see, from the whole head; it is taken out. "
)
_METRICS = ("psnr", "ssim", "psnr_brain", "ssim_brain", "hfen_brain")
_CODES = (SHOWN_CODE, "100", "010", "001", CLEAN_CODE)
_NOT_OF_TRAINING = (
    *("online.", "swinir.", "code_weights."),
    *("workers", "checkpoint_every", "validate_every", "validation_volumes"),
)


def release(config: Config, layout: Layout, folder: Path, tell: Callable[[str], None] = lambda _: None) -> Exported:
    """Write ``bmenet-t1w-<spacing>mm`` into a folder: the bundle, its card and its licence.

    An older release there is replaced when the new one is good. `tell` is called with the name of each step.

    Raises
    ------
    BMENetError
        If a data set has no licence that could be named, or the release is too large.
    WeightsError
        If networks are missing or were not evaluated, or the bundle does not agree with torch.
    """
    data_credits(config)  # refused at once
    if layout.root / config.evaluate.weights != layout.weights_folder:
        raise WeightsError(
            f"evaluate.weights: expected weights, so that the card's figures are of the released networks; got"
            f" {config.evaluate.weights}; set it and run `dvc repro evaluate`"
        )
    _, spec = load_coarse(layout.weights("coarse"))
    summary = _read_summary(layout, trained_kinds(layout.weights_folder))
    name = f"bmenet-t1w-{spec['spacing_mm']}mm"

    def texts(exported: Exported) -> dict[str, str]:
        found = _documents(name, config, layout, summary, exported)
        size = exported.bundle.total_bytes + sum(len(text.encode()) for text in found.values())
        if size > MAX_BYTES:
            raise WeightsError(
                f"{name}: expected at most {MAX_BYTES / 1e6:.0f} MB; got {size / 1e6:.1f} MB; set export.storage to"
                " fp16 and export.precisions to [fp32], or train smaller networks"
            )
        return found

    lineage = bundle_lineage(config, layout)
    return export(layout.weights_folder, folder / name, config, lineage, tell, texts)


def data_credits(config: Config) -> str:
    """Return a list, in Markdown, of the data sets, their licences and whom to cite.

    Raises
    ------
    BMENetError
        If that is not known of one.
    """
    known = {source.name: source.credit or _CREDITS.get(str(source.dataset)) for source in config.data.sources}
    if unknown := [name for name, credit in known.items() if credit is None]:
        raise BMENetError(
            f"data.sources: expected the licence of every data set, which released weights name; got none for"
            f" {', '.join(unknown)}; set its credit (licence, whom to cite), or use `bmenet export`"
        )
    return "\n".join(f"- {credit}" for credit in known.values())


def _documents(name: str, config: Config, layout: Layout, summary: Summary, exported: Exported) -> dict[str, str]:
    """Return the card and the licence that go into the bundle, by file name."""
    bundle, manifest, listed = exported.bundle, exported.bundle.manifest, data_credits(config)
    counts = {part: len(subjects) for part, subjects in read_json(layout.split).items()}
    errors = [row.error for row in exported.parity if row.precision == "fp32" and row.graph.endswith("end to end")]
    rounded = ", ".join(f"{value:.0f} dB ({stage})" for stage, value in exported.rounding_db.items())
    card = Template(_template("model_card.md")).substitute(
        name=name,
        version=__version__,
        summary=_quality_line(summary),
        stages="both stages" if bundle.has_fine else "the first stage",
        field=_FIELD if bundle.has_field else "",
        planes=_PLANES[manifest.coarse.phase_encode_first],
        spacing_mm=manifest.spacing_mm,
        grid=" x ".join(map(str, manifest.grid_shape)),
        megabytes=f"{bundle.total_bytes / 1e6:.1f}",
        storage=_STORAGE[config.export.storage],
        networks=_networks(bundle.weights),
        credits=listed,
        datasets=", ".join(source.name for source in config.data.sources),
        subjects="{train} subjects to train on, {validation} to validate, {test} to test.".format_map(counts),
        test_subjects=counts["test"],
        severity=config.degradation.severity,
        degradations=_table(_degradations(config)),
        start=_start(config.coarse.start_from),
        training=_table({"profile": config.profile, "seed": config.seed, **_training(config)}),
        rounding=f"as stored they give the same result to {rounded}." if rounded else "they are stored unchanged.",
        quality=_quality_table(summary),
        parity=f"{max(errors):.0e}",
        lineage=_table(manifest.lineage),
    )
    licence = Template(_template("licence.md")).substitute(credits=listed)
    return {CARD_FILE: card, LICENCE_FILE: licence}


def _read_summary(layout: Layout, kinds: list[str]) -> Summary:
    """Read what the stage `evaluate` measured of these networks, under code 111 and after their training."""
    path = layout.report("evaluate") / "summary.json"
    if not path.is_file():
        raise WeightsError(f"{path}: expected what the stage evaluate measured; got none; run `dvc repro evaluate`")
    times = {kind: spec.stat().st_mtime for kind in kinds if (spec := layout.weights(kind) / SPEC_FILE).exists()}
    if newer := [kind for kind, time in times.items() if time > path.stat().st_mtime]:
        raise WeightsError(
            f"{path}: expected figures of these networks; got older ones than weights/{newer[0]}; run"
            " `dvc repro evaluate`"
        )
    summary = {
        method: {
            code: {name: Interval(**interval) for name, interval in intervals.items()}
            for code, intervals in by_code.items()
        }
        for method, by_code in read_json(path).items()
    }
    if not all(SHOWN_CODE in summary.get(method, {}) for method in (INPUT, COARSE)):
        raise WeightsError(f"{path}: expected code {SHOWN_CODE}; got none; add it to evaluate.codes and `dvc repro`")
    return summary


def _quality_table(summary: Summary) -> str:
    """Return input and both stages under the codes that were evaluated: all three together, one at a time, none."""
    rows = [
        [f"`{code}`", METHOD_LABELS[method], *(cell(summary[method][code].get(name), name) for name in _METRICS)]
        for code in _CODES
        for method in (INPUT, COARSE, FINE)
        # The clean volume itself is no measurement.
        if code in summary.get(method, {}) and (method, code) != (INPUT, CLEAN_CODE)
    ]
    return markdown_table(["code", "", *map(column, _METRICS)], rows).strip()


def _quality_line(summary: Summary) -> str:
    """Return the first stage's quality in one line."""
    before, after = (summary[method][SHOWN_CODE] for method in (INPUT, COARSE))
    shown = (("brain PSNR", "psnr_brain", ".1f", " dB"), ("PSNR", "psnr", ".1f", " dB"), ("SSIM", "ssim", ".3f", ""))
    told = [
        f"{label} {before[name].mean:{spec}} to {after[name].mean:{spec}}{unit}" for label, name, spec, unit in shown
    ]
    clean = summary[COARSE].get(CLEAN_CODE)
    kept = f"; clean scans {clean['psnr_brain'].mean:.1f} dB on average" if clean else ""
    return f"code {SHOWN_CODE}: {', '.join(told)}{kept}"


def _start(folder: str | None) -> str:
    """Return a sentence about the start of the first stage's training."""
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
            count = sum(prod(file.get_slice(key).get_shape()) for key in file.keys())  # noqa: SIM118  # no mapping
        rows.append([f"`{kind}`: {role}", f"{count / 1e6:.2f} M", str(steps)])
    return markdown_table(["network", "parameters", "training steps"], rows).strip()


def _degradations(config: Config) -> dict[str, Any]:
    """Return the ranges that training drew from: the preset's, and those of fresh cases where there were any."""
    found = _section(config, f"degradation.presets.{config.degradation.severity}.")
    online = {} if config.coarse.degradations == "precomputed" else _section(config, "coarse.online.")
    return found | {f"fresh cases: {key}": value for key, value in online.items()}


def _training(config: Config) -> dict[str, Any]:
    """Return the settings that decide what the first stage became."""
    settings = _section(config, "coarse.")
    return {f"coarse.{key}": value for key, value in settings.items() if not key.startswith(_NOT_OF_TRAINING)}


def _section(config: Config, prefix: str) -> dict[str, Any]:
    return {key.removeprefix(prefix): value for key, value in flatten(config).items() if key.startswith(prefix)}


def _table(values: dict[str, Any]) -> str:
    """Return names and values, one a row."""
    shown = {
        key: ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
        for key, value in values.items()
        if value is not None
    }
    return markdown_table(["", "value"], [[f"`{key}`", text] for key, text in shown.items()]).strip()


def _template(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
