"""Two calls of `dvc repro` at once, with this project's settings of DVC."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import yaml

from tests.conftest import REPOSITORY

WAITING = (
    "import pathlib, time\npathlib.Path('begun').touch()\nwhile not pathlib.Path('go').exists(): time.sleep(0.05)\n"
)


def _repro(folder: Path) -> subprocess.Popen:
    environment = os.environ | {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
    return subprocess.Popen(
        ["dvc", "repro"], cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def test_a_second_repro_is_refused_while_the_first_holds_the_lock(tmp_path):
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    (tmp_path / ".dvc").mkdir()
    shutil.copy(REPOSITORY / ".dvc" / "config", tmp_path / ".dvc" / "config")
    (tmp_path / "work.py").write_text(WAITING + "pathlib.Path('out').write_text('whole')\n")
    stage = {"cmd": f"{sys.executable} work.py", "deps": ["work.py"], "outs": ["out"]}
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"work": stage}}))
    first = _repro(tmp_path)
    try:
        deadline = time.monotonic() + 120
        while not (tmp_path / "begun").exists():
            assert first.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        second = _repro(tmp_path)
        told, _ = second.communicate(timeout=120)
        assert second.returncode != 0
        assert "busy" in told or "lock" in told.lower()
        assert not (tmp_path / "dvc.lock").exists()
    finally:
        (tmp_path / "go").touch()
        told, _ = first.communicate(timeout=120)
    assert first.returncode == 0, told
    assert (tmp_path / "out").read_text() == "whole"
