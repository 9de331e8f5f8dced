"""Write a bundle: weights, graphs, settings and the checksum of every file."""

import ctypes
import glob
import os
import shutil
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from torch import nn

from bmenet import __version__
from bmenet.config import CoarseConfig, ExportConfig, FieldConfig, SamplingConfig
from bmenet.config.evaluate import Storage
from bmenet.imaging.grid import standard_grid
from bmenet.networks.coarse import COARSE, first_stage_folders, load_coarse
from bmenet.networks.field import FIELD, load_field
from bmenet.networks.fine_weights import KINDS, load_fine
from bmenet.networks.weights import SPEC_FILE, WEIGHTS_FILE, Spec, config_of, save_weights
from bmenet.release.export.graphs import GraphPlan, coarse_graphs, field_graphs, fine_graphs
from bmenet.release.export.onnx_file import describe_graph, stored_tensors, write_graph
from bmenet.release.export.rewrite import half_precision
from bmenet.restoration.bundle import MANIFEST_FILE, Bundle, Graph, Manifest, open_bundle
from bmenet.restoration.bundle.manifest import EXACT, File, FineSettings, Precision
from bmenet.restoration.fine_net import FineNet
from bmenet.restoration.torch_networks import load_networks
from bmenet.runtime.errors import BMENetError, WeightsError
from bmenet.runtime.files import sha256, write_text


def write_bundle(
    weights: Path,
    folder: Path,
    config: ExportConfig,
    sampling: SamplingConfig,
    lineage: dict[str, str],
    tell: Callable[[str], None] = lambda _: None,
) -> Bundle:
    """Write the networks of a weights folder as a bundle; return it checked.

    `weights` holds ``coarse``, perhaps ``field`` and, for the second stage, its networks; without ``fine`` the bundle
    has the first stage alone. `folder` is new or empty: see `new_folder`. `sampling` is the second stage's default,
    `lineage` tells where data and code come from, and `tell` is called with the name of each graph before it is
    written.

    Raises
    ------
    WeightsError
        If a network is missing or damaged: see also `store_networks`.
    ConfigError
        If the second stage was not trained for the sampling.
    """
    kinds = trained_kinds(weights)
    store_networks(weights, kinds, folder / "weights", config.storage)
    network, spec = load_coarse(folder / "weights" / COARSE)
    coarse = config_of(spec, CoarseConfig)
    grid = standard_grid(spec["spacing_mm"])
    plans = coarse_graphs(network.requires_grad_(False), coarse, grid)
    field: FieldConfig | None = None
    if FIELD in kinds:
        field_network, field_spec = load_field(folder / "weights" / FIELD)
        field = config_of(field_spec, FieldConfig)
        plans |= field_graphs(field_network.requires_grad_(False))
    fine: FineSettings | None = None
    if "fine" in kinds:
        networks, specs = load_networks(folder / "weights", dtype=torch.float32)
        fine = FineSettings(
            diffusion=specs["denoiser"]["diffusion"],
            max_timestep=specs["fine"]["max_timestep"],
            reference_variance=specs["fine"]["reference_variance"],
            latent_scale=specs["autoencoder"]["scale"],
            latent_shift=specs["autoencoder"]["shift"],
            sampling=sampling,
        )
        FineNet.of(networks, specs).check(sampling)
        plans |= fine_graphs(networks, grid, sampling.guidance.window)
    # In float32 always: the graphs of other number formats are compared with it.
    precisions: list[Precision] = list(dict.fromkeys(["fp32", *config.precisions]))
    graphs = {precision: _write_graphs(plans, folder, precision, config, tell) for precision in precisions}
    manifest = Manifest(
        format_version=1,
        bmenet=__version__,
        spacing_mm=spec["spacing_mm"],
        grid_shape=grid.shape,
        opset=config.opset,
        coarse=coarse,
        field=field,
        fine=fine,
        graphs=graphs,
        files=_files(folder),
        lineage=lineage | {f"weights.{kind}": sha256(weights / kind / SPEC_FILE) for kind in kinds},
    )
    return _seal(folder, manifest)


def add_texts(bundle: Bundle, texts: Mapping[str, str]) -> Bundle:
    """Write files for readers, name to text, into a bundle; return it with their checksums."""
    for name, text in texts.items():
        write_text(bundle.folder / name, text)
    return _seal(bundle.folder, bundle.manifest.model_copy(update={"files": _files(bundle.folder)}))


def trained_kinds(weights: Path) -> list[str]:
    """Return the networks in a weights folder: the first stage's, and those of the second stage if it was trained."""
    first = [folder.name for folder in first_stage_folders(weights / COARSE)]
    return [*first, *(KINDS if (weights / "fine" / SPEC_FILE).exists() else ())]


def store_networks(weights: Path, kinds: list[str], folder: Path, storage: Storage) -> None:
    """Copy networks; in ``fp16`` with kernels and matrices in float16, which are loaded into float32 networks again.

    Of `kinds`, parents come before those that were trained with them. Vectors (biases, norms, latent scales) stay
    float32: they take less than a hundredth of the space. The ``model.json`` of rounded weights keeps the checksum of
    the trained ones, and names its parents by their new checksums.

    Raises
    ------
    WeightsError
        If a network is missing or damaged, has a weight that float16 cannot hold, or was trained with another parent.
    """
    renamed: dict[str, str] = {}
    for kind in kinds:
        network, spec = _load(weights / kind, kind)
        if storage == "fp32":
            (folder / kind).mkdir(parents=True)
            for name in (WEIGHTS_FILE, SPEC_FILE):
                shutil.copyfile(weights / kind / name, folder / kind / name)
            continue
        _round(network, weights / kind)
        parents = spec.get("parents", {})
        if strange := [parent for parent, digest in parents.items() if digest not in renamed]:
            raise WeightsError(
                f"{weights / kind}: expected the {', '.join(strange)} it was trained with; got another one; train again"
                f" (`dvc repro train_{kind if kind == COARSE else 'fine'}`)"
            )
        changed = {"parents": {parent: renamed[digest] for parent, digest in parents.items()}} if parents else {}
        rounded = {"storage": "fp16", "trained_sha256": spec["sha256"]}
        save_weights(folder / kind, kind, network, spec | changed | rounded)
        renamed[sha256(weights / kind / SPEC_FILE)] = sha256(folder / kind / SPEC_FILE)


def _load(folder: Path, kind: str) -> tuple[nn.Module, Spec]:
    """Load a network of any kind."""
    loaders = {COARSE: load_coarse, FIELD: load_field}
    return loaders[kind](folder) if kind in loaders else load_fine(folder, kind)


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder that takes the place of a bundle, or of nothing, when the block ends well.

    One export at a time; the next one removes what a killed one left. Old and new change places in one step. Where the
    file system cannot do that (network drives, other systems than Linux), an export that was killed in between leaves
    the name free, and the next one first gives it back to the old bundle.

    Raises
    ------
    WeightsError
        If other files than a bundle stand in the folder: they stay.
    BMENetError
        If another export is writing this folder.
    """
    try:
        is_free = not folder.exists() or (folder / MANIFEST_FILE).is_file() or not any(folder.iterdir())
    except OSError as error:
        raise WeightsError(f"{folder}: expected a folder for the bundle; {error.strerror}; name another one") from error
    if not is_free or folder == folder.parent:
        raise WeightsError(
            f"{folder}: expected a bundle or nothing there; got other files, which stay; name another one"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = _partial(folder)
    old = folder.with_name(f".partial-old-{folder.name}")
    try:
        with FileLock(folder.with_name(f".{folder.name}.lock"), timeout=0):
            _give_back(old, folder)
            for stale in folder.parent.glob(f".partial-{'[0-9a-f]' * 8}-{glob.escape(folder.name)}"):
                shutil.rmtree(stale, ignore_errors=True)
            new.mkdir()
            try:
                yield new
                if not (folder.exists() and _exchange(new, folder)):
                    if folder.exists():
                        os.replace(folder, old)
                    os.replace(new, folder)
            finally:
                _give_back(old, folder)
                shutil.rmtree(new, ignore_errors=True)
    except Timeout:
        raise BMENetError(f"{folder}: expected no other export of this folder; one is running; wait for it") from None


def _exchange(one: Path, other: Path) -> bool:
    """Let two folders change places in one step; return False, and do nothing, where the system cannot."""
    rename = getattr(ctypes.CDLL(None), "renameat2", None) if sys.platform == "linux" else None
    in_here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return rename is not None and not rename(in_here, os.fsencode(one), in_here, os.fsencode(other), exchange)


def _give_back(old: Path, folder: Path) -> None:
    """Give an old bundle its name back if no other has it, and remove it if another has.

    It is removed under another name: what cannot be removed, or is left of it after a kill, never passes for a bundle.
    """
    if not old.exists():
        return
    if not folder.exists():
        os.replace(old, folder)
        return
    waste = _partial(folder)
    os.replace(old, waste)
    shutil.rmtree(waste, ignore_errors=True)


def _partial(folder: Path) -> Path:
    """Return a new name beside a folder, for what is not whole; the next export removes what has such a name."""
    return folder.with_name(f".partial-{uuid.uuid4().hex[:8]}-{folder.name}")


def _write_graphs(
    plans: dict[str, GraphPlan], bundle: Path, precision: Precision, config: ExportConfig, tell: Callable[[str], None]
) -> dict[str, Graph]:
    """Write every graph in one number format."""
    written = {}
    stored = stored_tensors(bundle) if config.storage == "fp16" else None
    for name, plan in plans.items():
        if precision == "fp16":
            if name == EXACT:
                continue
            plan = replace(plan, module=half_precision(plan.module))
        tell(f"{name} {precision}")
        # A graph that refers to the stored weights must lie above them: ONNX has no way up.
        path = bundle / (f"onnx/{precision}/{name}.onnx" if stored is None else f"{name}.{precision}.onnx")
        write_graph(plan, path, config.opset, stored)
        written[name] = describe_graph(path, bundle)
    return written


def _seal(folder: Path, manifest: Manifest) -> Bundle:
    """Write a bundle's description and open the bundle as any reader does."""
    write_text(folder / MANIFEST_FILE, manifest.model_dump_json(indent=2) + "\n")
    return open_bundle(folder)


def _files(folder: Path) -> dict[str, File]:
    """Return size and checksum of every file but ``bundle.json``."""
    paths = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    paths.pop(MANIFEST_FILE, None)
    return {name: File(bytes=path.stat().st_size, sha256=sha256(path)) for name, path in paths.items()}


@torch.no_grad()
def _round(network: nn.Module, folder: Path) -> None:
    """Round every parameter of two or more axes, in place."""
    for name, parameter in network.named_parameters():
        if parameter.ndim < 2:
            continue
        half = parameter.half()
        if not torch.equal(half.isfinite(), parameter.isfinite()):
            raise WeightsError(
                f"{folder}: expected weights that float16 can hold, at most 65504; got {parameter.abs().max():.3g} in"
                f" {name}; set export.storage to fp32"
            )
        parameter.data = half
