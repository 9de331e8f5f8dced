"""Write a bundle: graphs, weights and settings, in one folder that is there whole or not at all."""

import glob
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from bmenet import __version__
from bmenet.config import CoarseConfig, ExportConfig, SamplingConfig
from bmenet.config.deploy import Storage
from bmenet.imaging.grid import standard_grid
from bmenet.networks.coarse_weights import load_coarse
from bmenet.networks.weights import SPEC_FILE, WEIGHTS_FILE, Spec
from bmenet.release.export.graphs import GraphPlan, coarse_graphs, fine_graphs
from bmenet.release.export.half import half_precision
from bmenet.release.export.onnx_file import describe_graph, write_graph
from bmenet.release.export.shared_weights import StoredTensors, share_weights
from bmenet.release.export.storage import stored_weights, trained_kinds
from bmenet.restoration.bundle import Bundle, open_bundle
from bmenet.restoration.bundle.manifest import EXACT, MANIFEST_FILE, File, FineSettings, Graph, Manifest, Precision
from bmenet.restoration.onnx.networks import fine_net
from bmenet.restoration.torch_networks import load_networks
from bmenet.runtime.errors import BMENetError, WeightsError
from bmenet.runtime.files import sha256, write_text

Tell = Callable[[str], None]
Documents = Callable[[Bundle], Mapping[str, str]]
"""Given a bundle that was checked, returns name to text of files for readers that go into it."""


def write_bundle(
    weights: Path,
    folder: Path,
    config: ExportConfig,
    sampling: SamplingConfig,
    lineage: dict[str, str],
    tell: Tell = lambda _: None,
    check: Callable[[Bundle], None] = lambda _: None,
    documents: Documents = lambda _: {},
) -> Bundle:
    """Export the networks of a weights folder as a bundle; one that stands there is replaced when the new one is good.

    Parameters
    ----------
    weights : Path
        Holds ``coarse`` and, for the second stage, its networks; without ``fine`` the bundle ends with the Coarse-net.
    folder : Path
        Of the bundle.
    config : ExportConfig
    sampling : SamplingConfig
        How the second stage is run by default.
    lineage : dict
        Where data and code come from.
    tell : callable, optional
        Told the name of each graph that is being written.
    check : callable, optional
        Given the new bundle before it takes its place; may raise, and the old one stays.
    documents : callable, optional
        Asked after the check for texts that go into the bundle.

    Returns
    -------
    Bundle
        In its place, checked.

    Raises
    ------
    WeightsError
        If a network is missing or damaged, or something that is no bundle stands in the folder.
    BMENetError
        If another export is writing this folder.
    """
    folder = folder.resolve()
    _require_bundle_or_nothing(folder)
    with stored_weights(weights, config.storage) as stored:
        coarse, spec = load_coarse(stored / "coarse")
        coarse_config = CoarseConfig.model_validate_json(json.dumps(spec["config"]))
        grid = standard_grid(spec["spacing_mm"])
        kinds = trained_kinds(stored)
        plans = coarse_graphs(coarse.requires_grad_(False), coarse_config, grid)
        fine: FineSettings | None = None
        if "fine" in kinds:
            networks, specs = load_networks(stored, dtype=torch.float32)
            fine = _fine_settings(specs, sampling)
            fine_net(networks, fine, spec["spacing_mm"]).check(sampling)
            plans |= fine_graphs(networks, grid, sampling.guidance.window)
        with _new_folder(folder) as new:
            for kind in kinds:
                (new / "weights" / kind).mkdir(parents=True)
                for name in (WEIGHTS_FILE, SPEC_FILE):
                    shutil.copyfile(stored / kind / name, new / "weights" / kind / name)
            graphs = {precision: _write_graphs(plans, new, precision, config, tell) for precision in _all(config)}
            manifest = Manifest(
                format_version=1,
                bmenet=__version__,
                spacing_mm=spec["spacing_mm"],
                grid_shape=grid.shape,
                opset=config.opset,
                coarse=coarse_config,
                fine=fine,
                graphs=graphs,
                files=_files(new),
                lineage=lineage | {f"weights.{kind}": sha256(weights / kind / SPEC_FILE) for kind in kinds},
            )
            bundle = _seal(new, manifest)
            check(bundle)
            if texts := documents(bundle):
                for name, text in texts.items():
                    write_text(new / name, text)
                bundle = _seal(new, manifest.model_copy(update={"files": _files(new)}))
    return replace(bundle, folder=folder)


def _seal(folder: Path, manifest: Manifest) -> Bundle:
    """Write a bundle's description and open it as anybody would."""
    write_text(folder / MANIFEST_FILE, manifest.model_dump_json(indent=2) + "\n")
    return open_bundle(folder)


def _files(folder: Path) -> dict[str, File]:
    """Return size and checksum of every file but ``bundle.json``."""
    paths = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    paths.pop(MANIFEST_FILE, None)
    return {name: File(bytes=path.stat().st_size, sha256=sha256(path)) for name, path in paths.items()}


def _all(config: ExportConfig) -> list[Precision]:
    """Return the number formats to write; float32 always, for what the others leave out."""
    return list(dict.fromkeys(["fp32", *config.precisions]))


def _write_graphs(
    plans: dict[str, GraphPlan], bundle: Path, precision: Precision, config: ExportConfig, tell: Tell
) -> dict[str, Graph]:
    """Write every graph in one number format."""
    written = {}
    stored = StoredTensors(bundle) if config.storage == "fp16" else None
    for name, plan in plans.items():
        if precision == "fp16":
            if name == EXACT:
                continue
            plan = replace(plan, module=half_precision(plan.module))
        tell(f"{name} {precision}")
        path = bundle / _graph_path(config.storage, precision, name)
        write_graph(plan, path, config.opset)
        if stored is not None:
            share_weights(path, stored)
        written[name] = describe_graph(path, bundle)
    return written


def _graph_path(storage: Storage, precision: Precision, name: str) -> str:
    """Return where a graph goes: one that reads the stored weights must lie above them, for ONNX has no way up."""
    return f"{name}.{precision}.onnx" if storage == "fp16" else f"onnx/{precision}/{name}.onnx"


def _fine_settings(specs: dict[str, Spec], sampling: SamplingConfig) -> FineSettings:
    return FineSettings(
        diffusion=specs["prior"]["diffusion"],
        max_timestep=specs["fine"]["max_timestep"],
        reference_variance=specs["fine"]["reference_variance"],
        latent_scale=specs["autoencoder"]["scale"],
        latent_shift=specs["autoencoder"]["shift"],
        sampling=sampling,
    )


def _require_bundle_or_nothing(folder: Path) -> None:
    """Refuse to replace what is no bundle."""
    try:
        is_free = not folder.exists() or (folder / MANIFEST_FILE).is_file() or not any(folder.iterdir())
    except OSError as error:
        raise WeightsError(f"{folder}: expected a folder for the bundle; {error.strerror}; name another one") from error
    if not is_free or folder == folder.parent:
        raise WeightsError(
            f"{folder}: expected a bundle or nothing there; got other files, which stay; name another one"
        )


@contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder beside `folder` that takes its place when the block ends well.

    One export at a time; what a killed one left is removed by the next.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder.with_name(f".{folder.name}.lock"), timeout=0):
            for stale in folder.parent.glob(f".partial-*-{glob.escape(folder.name)}"):
                shutil.rmtree(stale, ignore_errors=True)
            new, old = (folder.with_name(f".partial-{uuid.uuid4().hex[:8]}-{folder.name}") for _ in range(2))
            new.mkdir()
            try:
                yield new
                if folder.exists():
                    os.replace(folder, old)
                os.replace(new, folder)
            finally:
                shutil.rmtree(new, ignore_errors=True)
                shutil.rmtree(old, ignore_errors=True)
    except Timeout:
        raise BMENetError(f"{folder}: expected to be the only export of this folder; another one is at it") from None
