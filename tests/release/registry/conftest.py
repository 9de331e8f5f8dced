"""An empty registry with its tables."""

from pathlib import Path

import pytest

from bmenet.release.registry import Registry
from tests.release.published import make_store


@pytest.fixture
def registry(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    make_store(workspace, monkeypatch)
    return Registry()
