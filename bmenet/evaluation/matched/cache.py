"""Prepared scans of matched pairs on disk: new weights or another method download and register nothing again."""

import json
import zipfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

import numpy as np

from bmenet.evaluation.matched.volumes import MovedVolume, StillVolume
from bmenet.imaging.volume import Volume
from bmenet.registration import Registration
from bmenet.runtime.files import atomic_path

Prepared = TypeVar("Prepared", StillVolume, MovedVolume)

_DAMAGED = (FileNotFoundError, zipfile.BadZipFile, ValueError, EOFError, KeyError)


def still_at(path: Path, key: str, prepare: Callable[[], StillVolume]) -> StillVolume:
    """Return the prepared still scan kept under `key`, or prepare and keep it."""
    return _kept(path, key, prepare, StillVolume)


def moved_at(path: Path, key: str, prepare: Callable[[], MovedVolume]) -> MovedVolume:
    """Return the prepared moved scan kept under `key`, or prepare and keep it."""
    return _kept(path, key, prepare, MovedVolume)


def _kept(path: Path, key: str, prepare: Callable[[], Prepared], kind: type[Prepared]) -> Prepared:
    if (found := _load(path, key, kind)) is not None:
        return found
    prepared = prepare()
    arrays = {"data": prepared.volume.data, "affine": prepared.volume.affine}
    if isinstance(prepared, StillVolume):
        arrays["support"] = prepared.support
    registration = asdict(prepared.registration) | {"moving2fixed": prepared.registration.moving2fixed.tolist()}
    with atomic_path(path) as temporary:
        record = json.dumps({"key": key, "registration": registration})
        np.savez_compressed(temporary, allow_pickle=False, record=record, **arrays)
    return prepared


def _load(path: Path, key: str, kind: type[Prepared]) -> Prepared | None:
    """Read what was prepared from what `key` says; None if there is none."""
    try:
        with np.load(path, allow_pickle=False) as file:
            record = json.loads(str(file["record"]))
            if record["key"] != key:
                return None
            arrays = dict(file)
    except _DAMAGED:
        return None
    given = record["registration"]
    registration = Registration(np.array(given.pop("moving2fixed")), **given)
    extra = {"support": arrays["support"]} if kind is StillVolume else {}
    return kind(volume=Volume(arrays["data"], arrays["affine"]), registration=registration, **extra)
