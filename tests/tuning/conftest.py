"""A workspace that can be tuned, as the current folder."""

from pathlib import Path

import pytest

from bmenet.imaging.volume import Volume
from bmenet.tuning.plan import Plan
from tests.tuned import fill_workspace, plan_of


@pytest.fixture
def tuned(workspace: Path, phantom: Volume, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The workspace, its params.yaml with the quick values; nothing is sent to a tracking store."""
    fill_workspace(workspace, phantom, monkeypatch)
    return workspace


@pytest.fixture
def plan(tuned: Path) -> Plan:
    """The plan of the workspace, in scope sampling."""
    return plan_of(tuned)
