"""A stripped scan as bytes, and a temporary folder of its own for every test."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bmenet.imaging.volume import Volume
from tests.serving.stand_in import EnhancerStandIn, Gate, Server, nifti, serve


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder where servers put volumes; the one for locks is beside it."""
    folder, session = tmp_path / "tmp", tmp_path / "session"
    folder.mkdir()
    session.mkdir(mode=0o700)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(session))
    return folder


@pytest.fixture(scope="session")
def head(phantom: Volume) -> np.ndarray:
    """Intensities of a scan, int16."""
    texture = np.random.default_rng(0).random(phantom.data.shape) * 40
    return (phantom.data * 900 + texture * (phantom.data > 0)).astype(np.int16)


@pytest.fixture(scope="session")
def scan(head: np.ndarray) -> bytes:
    """A .nii.gz file."""
    return nifti(head)


@pytest.fixture
def server() -> Iterator[Server]:
    """A server with both stages."""
    with serve(EnhancerStandIn()) as running:
        yield running


@pytest.fixture
def gated() -> Iterator[Server]:
    """A server whose jobs wait at a gate; two may queue."""
    with serve(EnhancerStandIn(Gate()), waiting=2) as running:
        yield running
