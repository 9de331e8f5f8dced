import shutil
from pathlib import Path

import pytest

from tests.bundled import smoke_bundle


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of a bundle, to spoil."""
    return Path(shutil.copytree(smoke_bundle(), tmp_path / "bundle"))
