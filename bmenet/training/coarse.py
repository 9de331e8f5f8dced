"""Train the Coarse-net: what is particular to it, around the loop that is not."""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bmenet.config import CoarseConfig, Config
from bmenet.data.layout import Layout
from bmenet.losses import CoarseLoss
from bmenet.networks.coarse import build_coarse
from bmenet.networks.coarse_weights import load_coarse
from bmenet.networks.weights import SPEC_FILE
from bmenet.runtime.errors import ConfigError, VolumeError
from bmenet.runtime.files import read_json, sha256
from bmenet.tracking import NullLogger
from bmenet.training.batches import SliceBatches
from bmenet.training.cases import Cases, FreshCases, MixedCases, StoredCases
from bmenet.training.engine.checkpoint import CheckpointFolder
from bmenet.training.engine.loader import Batch, batch_loader
from bmenet.training.engine.schedule import Schedule
from bmenet.training.engine.session import Task, Trained, train_network
from bmenet.training.validation import CODES, CoarseValidation

Split = dict[str, Any]
"""``train``, ``validation`` and ``test``: lists of subjects."""

_NOT_DECISIVE = {"workers", "checkpoint_every"}
"""Keys of `coarse` that leave the trained weights as they are."""


class CoarseObjective:
    """The loss of a network on a batch."""

    def __init__(self, config: CoarseConfig) -> None:
        self.loss = CoarseLoss(config)

    def __call__(self, network: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the total loss and its terms."""
        slab = batch["slab"].contiguous(memory_format=torch.channels_last)
        return self.loss(network(slab), batch["clean"])


def training_signature(config: Config, split: Split, layout: Layout) -> str:
    """Return a fingerprint of all that decides the trained weights; a checkpoint is resumed only under the same.

    Settings, subjects, and the volumes themselves, by the checksums in the sidecars of their cases.
    """
    subjects = [name for subset in ("train", "validation") for name in split[subset]]
    sidecars = [
        layout.degraded(name, code).with_suffix(".json") for name in subjects for code in config.degradation.codes
    ]
    decisive = {
        "seed": config.seed,
        "grid": config.grid.model_dump(mode="json"),
        "intensity": config.intensity.model_dump(mode="json"),
        "severity": config.degradation.preset.model_dump(mode="json"),
        "coarse": config.coarse.model_dump(mode="json", exclude=_NOT_DECISIVE),
        "start": _start_digest(config.coarse.start_from),
        "split": {name: list(split[name]) for name in ("train", "validation")},
        "volumes": [[sidecar[key] for key in ("clean_sha256", "sha256")] for sidecar in map(_read_sidecar, sidecars)],
    }
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()


def train_coarse(config: Config, split: Split, layout: Layout, logger: NullLogger) -> Trained:
    """Train the Coarse-net, going on from its newest good checkpoint.

    Parameters
    ----------
    config : Config
    split : dict
        Subjects by subset.
    layout : Layout
        Where clean and degraded volumes are, and where checkpoints go.
    logger : NullLogger

    Returns
    -------
    Trained
        The averaged weights of the validation with the best PSNR of code 111.

    Raises
    ------
    ConfigError
        If a subset is empty or `code_weights` names a code that is not degraded.
    TrainingError
        If the loss is not finite, or training was asked to stop.
    """
    _require_cases(config, split)
    coarse = config.coarse
    batches = SliceBatches(_cases(config, split["train"], layout), coarse, config.seed)
    return train_network(
        Task(
            name="coarse",
            build=lambda: _network(coarse),
            load_batches=lambda start, accelerator: batch_loader(
                batches, start, coarse.steps, coarse.workers, accelerator
            ),
            objective=lambda _: CoarseObjective(coarse),
            validation=lambda dtype: CoarseValidation(coarse, layout, split["validation"], dtype, logger),
        ),
        Schedule(**coarse.model_dump(include=set(Schedule.__dataclass_fields__)), log_every=config.tracking.log_every),
        coarse.precision,
        config.seed,
        CheckpointFolder(layout.checkpoints("coarse"), training_signature(config, split, layout)),
        logger,
    )


def _start_digest(folder: str | None) -> str | None:
    """Return the checksum of the network that training goes on from."""
    if folder is None:
        return None
    try:
        return sha256(Path(folder) / SPEC_FILE)
    except OSError as error:
        raise ConfigError(
            f"coarse.start_from: expected the folder of a trained Coarse-net; got {folder} ({error.strerror}); run"
            " `make base`, or set it to null and train for longer"
        ) from error


def _read_sidecar(path: Path) -> dict[str, Any]:
    """Read the sidecar of a degraded volume."""
    try:
        return read_json(path)
    except FileNotFoundError:
        raise VolumeError(f"{path}: no such file; run the stage degrade first") from None


def _cases(config: Config, subjects: list[str], layout: Layout) -> Cases:
    """Return the source of training cases that `coarse.degradations` names."""
    coarse, spacing_mm = config.coarse, config.grid.spacing_mm
    stored = StoredCases(layout, subjects, coarse, spacing_mm)
    if coarse.degradations == "precomputed":
        return stored
    fresh = FreshCases(layout, subjects, coarse, spacing_mm, config.degradation.preset, config.seed)
    return fresh if coarse.degradations == "online" else MixedCases(stored, fresh)


def _network(coarse: CoarseConfig) -> nn.Module:
    """Return the network before its first step: untrained, or the one that `coarse.start_from` names.

    Raises
    ------
    ConfigError
        If that one is of another shape.
    """
    network = build_coarse(coarse)
    if coarse.start_from is not None:
        start, _ = load_coarse(coarse.start_from)
        try:
            network.load_state_dict(start.state_dict())
        except RuntimeError as error:
            raise ConfigError(
                f"coarse.start_from: expected a network of coarse.arch, coarse.{coarse.arch} and context_slices as"
                f" params.yaml has them; {coarse.start_from} is another one: change either"
            ) from error
    return network


def _require_cases(config: Config, split: Split) -> None:
    """Check that there is something to train and to validate on."""
    for name in ("train", "validation"):
        if not split[name]:
            raise ConfigError(
                f"split.{name}: expected at least one subject; got none; raise split.{name} in params.yaml"
            )
    trained = {code for code, weight in config.coarse.code_weights.items() if weight > 0}
    stored = {"000", *config.degradation.codes}
    needed = set(CODES) if config.coarse.degradations == "online" else {*CODES, *trained}
    if missing := sorted(needed - stored):
        raise ConfigError(
            f"degradation.codes: expected the codes that coarse.code_weights trains on and 111 to validate on;"
            f" {missing} are missing; add them"
        )
