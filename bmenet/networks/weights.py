"""Trained weights on disk: a folder of safetensors and a JSON that says what they are; never pickle."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from bmenet.runtime.errors import WeightsError
from bmenet.runtime.files import atomic_path, read_json, sha256, write_json

FORMAT_VERSION = 1
WEIGHTS_FILE = "model.safetensors"
SPEC_FILE = "model.json"
FORMER_NAMES = {"denoiser": "prior"}
"""Kind of network to its name in version 0.1, whose folders and bundles are still read."""

Spec = dict[str, Any]
"""Content of ``model.json`` beside the format: all that is needed to build the network, and its lineage."""

AnySection = TypeVar("AnySection", bound=BaseModel)


def save_weights(folder: Path | str, kind: str, network: nn.Module, spec: Spec) -> None:
    """Write the folder of a network of a kind (``coarse``, ``autoencoder``...); ``model.json`` comes last and seals it.

    `spec` has all that `load_weights` needs to build the network again, and ``lineage``: where the weights come from.
    """
    folder = Path(folder)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    with atomic_path(folder / WEIGHTS_FILE) as temporary:
        save_file(tensors, temporary)
    seal = {"format_version": FORMAT_VERSION, "kind": kind, **spec, "sha256": sha256(folder / WEIGHTS_FILE)}
    write_json(folder / SPEC_FILE, seal)


def weights_digest(folder: Path | str) -> str:
    """Return the SHA-256 of a network's ``model.json``, which holds that of its weights: it names both.

    FileNotFoundError if nothing was trained there.
    """
    return sha256(_present(Path(folder)) / SPEC_FILE)


def require_parents(folder: Path | str, spec: Spec, stage: str) -> None:
    """Compare the networks beside a network's folder with those that it was trained with.

    Raises
    ------
    WeightsError
        If one of them is missing or another one; it names the stage that trains again.
    """
    folder = Path(folder)
    for parent, expected in spec.get("parents", {}).items():
        try:
            got = weights_digest(folder.with_name(parent))
        except FileNotFoundError:
            raise WeightsError(
                f"{folder}: expected the {parent} that it was trained with in a folder beside it; got none; copy it"
                f" too, or train again (`dvc repro {stage}`)"
            ) from None
        if got != expected:
            raise WeightsError(
                f"{folder}: trained with another {parent} (model.json {expected[:12]}) than the one here ({got[:12]});"
                f" train again (`dvc repro {stage}`) or copy weights that belong together"
            )


def config_of(spec: Spec, section: type[AnySection]) -> AnySection:
    """Return what a network was trained with, a section of the configuration."""
    return section.model_validate_json(json.dumps(spec["config"]))


def _present(folder: Path) -> Path:
    """Return the folder, or the one of its former name where that one alone is there."""
    former = folder.with_name(FORMER_NAMES.get(folder.name, folder.name))
    return former if former.exists() and not folder.exists() else folder


def load_weights(folder: Path | str, kind: str, build: Callable[[Spec], nn.Module]) -> tuple[nn.Module, Spec]:
    """Load a folder of `save_weights`; return the network in evaluation mode, and its spec.

    Raises
    ------
    WeightsError
        If a file is missing, damaged or cannot be read, the checksum differs, or the kind or the format is another one.
    """
    folder = Path(folder)
    if (present := _present(folder)) != folder:
        folder, kind = present, present.name
    try:
        spec = read_json(folder / SPEC_FILE)
        digest = sha256(folder / WEIGHTS_FILE)
    except FileNotFoundError as error:
        raise WeightsError(f"{error.filename}: no such file; train first (`dvc repro train_{kind}`)") from None
    except OSError as error:
        raise WeightsError(f"{error.filename}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise WeightsError(
            f"{folder / SPEC_FILE}: not valid JSON ({error}); train or copy the weights again"
        ) from error
    found = (spec.get("kind"), spec.get("format_version")) if isinstance(spec, dict) else (type(spec).__name__, None)
    if found != (kind, FORMAT_VERSION):
        raise WeightsError(
            f"{folder / SPEC_FILE}: expected kind {kind!r}, format_version {FORMAT_VERSION}; got {found[0]!r},"
            f" {found[1]!r}; use weights of this version of bmenet"
        )
    if digest != spec.get("sha256"):
        raise WeightsError(
            f"{folder / WEIGHTS_FILE}: expected SHA-256 {spec.get('sha256')}; got {digest}; the file is damaged or"
            " was replaced: train or copy it again"
        )
    try:
        network = build(spec)
        network.load_state_dict(load_file(folder / WEIGHTS_FILE))
    except (KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        raise WeightsError(f"{folder}: the weights do not fit their model.json: {_reason(error)}") from error
    return network.eval(), spec


def _reason(error: Exception) -> str:
    """Say on one line what is wrong."""
    return f"{error} is missing" if isinstance(error, KeyError) else " ".join(str(error).split())
