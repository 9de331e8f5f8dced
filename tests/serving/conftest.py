"""A stripped scan as bytes, and a temporary folder of its own for every test."""

import tempfile
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from bmenet.imaging.volume import Volume
from tests.serving.stand_in import EnhancerStandIn, Gate, head_of, nifti, serve


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder where servers put volumes and locks."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture(scope="session")
def head(phantom: Volume) -> np.ndarray:
    """Intensities of a scan, int16."""
    return head_of(phantom)


@pytest.fixture(scope="session")
def scan(head: np.ndarray) -> bytes:
    """A .nii.gz file."""
    return nifti(head)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory):
    """A server with both stages, for all tests that only ask."""
    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("server")))
            running = stack.enter_context(serve(EnhancerStandIn()))
        yield running


@pytest.fixture
def gated():
    """A server whose jobs wait at a gate; two may queue."""
    with serve(EnhancerStandIn(Gate()), max_waiting=2) as running:
        yield running
