"""Whatever surrounds a command: homes, locales, networks, limits, signals, other processes at the same output."""

import ast
import json
import multiprocessing
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tomllib

import nibabel as nib
import numpy as np
import pytest

from bmenet.cli import app
from bmenet.restoration.coarse_net import CoarseNet
from tests.bundled import install_release
from tests.conftest import REPOSITORY

FORK = multiprocessing.get_context("fork")


@pytest.mark.usefixtures("lone_brain")
def test_enhance_needs_no_network(bmenet, scan_path, tmp_path, monkeypatch):
    def unreachable(*_):
        raise OSError(101, "Network is unreachable")

    monkeypatch.delenv("BMENET_MODEL", raising=False)
    install_release(tmp_path / "released", monkeypatch)
    monkeypatch.setattr(socket.socket, "connect", unreachable)
    monkeypatch.setattr(socket, "getaddrinfo", unreachable)
    out = scan_path.with_name("out.nii.gz")
    assert bmenet("enhance", scan_path, out, "--device", "cpu").exit_code == 0
    assert nib.load(out).shape == nib.load(scan_path).shape


# As of somebody without an entry among the users, whatever libraries ask for a home.
NOBODY = """
import pwd
def unknown(user):
    raise KeyError(f"uid not found: {user}")
pwd.getpwuid = unknown
"""
PLACE = {"XDG_CACHE_HOME": "/proc/nowhere", "XDG_CONFIG_HOME": "/proc/nowhere", "MPLCONFIGDIR": "/proc/nowhere"}
SURROUNDINGS = {
    "no home": (NOBODY, {"HOME": None}),
    "a home that cannot be made": ("", {"HOME": "/proc/nowhere"} | PLACE),
    "locale C": ("", {"LC_ALL": "C", "LANG": None, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}),
    "no terminal": ("", {"TERM": None, "COLUMNS": None}),
}


@pytest.mark.parametrize("name", SURROUNDINGS)
def test_degrade_runs_in_odd_surroundings(scan_path, name):
    """Of a scan whose path has spaces and umlauts, too."""
    before, changes = SURROUNDINGS[name]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)} | changes
    folder = scan_path.parent / "für Größe 2"
    folder.mkdir()
    scan = shutil.copy(scan_path, folder / "schön.nii.gz")
    done = subprocess.run(
        [sys.executable, "-c", f"{before}\nfrom bmenet.cli import app\napp()", "degrade", scan, "aus ö.nii.gz"],
        cwd=folder,
        env={key: value for key, value in environment.items() if value is not None},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        start_new_session=True,
    )
    assert done.returncode == 0, done.stderr
    # A terminal that knows ASCII alone is shown a question mark for each byte of what it lacks.
    assert done.stdout.decode() == ("aus ??.nii.gz\n" if name == "locale C" else "aus ö.nii.gz\n")
    assert nib.load(folder / "aus ö.nii.gz").shape == nib.load(scan).shape
    assert sorted(os.listdir(folder)) == sorted(["schön.nii.gz", "aus ö.json", "aus ö.nii.gz"])


def _enhance(*pairs):
    """Enhance scans one after the other, as a loop of a shell does that ends at the first failure."""
    for scan, out in pairs:
        try:
            app(["enhance", str(scan), str(out)])
        except SystemExit as stop:
            if stop.code:
                raise


def _in_a_process(work, *arguments):
    """Return the exit code of a process of its own."""
    process = FORK.Process(target=work, args=arguments)
    process.start()
    process.join(300)
    return process.exitcode


@pytest.fixture
def pairs(scan_path, weights, lone_brain):
    """Two scans and where their results go; the weights of the workspace are the model."""
    other = shutil.copy(scan_path, scan_path.with_name("other.nii.gz"))
    return [(scan_path, scan_path.with_name("one_out.nii.gz")), (other, scan_path.with_name("two_out.nii.gz"))]


def _names(pairs):
    """Return the names beside the scans that a command made."""
    known = {path.name for path, _ in pairs} | {"params.yaml", "weights"}
    return sorted(set(os.listdir(pairs[0][1].parent)) - known)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_row_of_scans_that_is_stopped_keeps_what_is_done_and_goes_on(pairs, monkeypatch, number):
    (_, first), (_, second) = pairs
    save, saved = nib.save, []

    def stopped(image, path):
        save(image, path)
        saved.append(path)
        if len(saved) == 2:
            os.truncate(path, 100)
            os.kill(os.getpid(), number)

    with monkeypatch.context() as patch:
        patch.setattr(nib, "save", stopped)
        code = _in_a_process(_enhance, *pairs)
    assert code == (-number if number == signal.SIGKILL else 128 + number)
    done, left = first.read_bytes(), [name for name in _names(pairs) if name.startswith(".partial-")]
    assert len(left) == (number == signal.SIGKILL)
    assert _names(pairs) == sorted(["one_out.json", first.name, *left])
    for name in left:
        os.utime(first.with_name(name), (0, 0))  # an hour later
    assert _in_a_process(_enhance, *pairs) == 0
    assert _names(pairs) == ["one_out.json", first.name, "two_out.json", second.name]
    assert first.read_bytes() == done
    np.testing.assert_array_equal(nib.load(second).dataobj, nib.load(first).dataobj)


def test_three_processes_with_one_output_leave_a_whole_one(pairs):
    (scan, out), _ = pairs
    processes = [FORK.Process(target=_enhance, args=[(scan, out)]) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(300)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert _names(pairs) == ["one_out.json", out.name]
    whole = out.read_bytes()
    assert json.loads(out.with_name("one_out.json").read_text())["enhanced"]["is_skull_stripped"] is True
    assert _in_a_process(_enhance, (scan, out)) == 0  # a second run of the same command
    assert out.read_bytes() == whole


def _within(limit, size, *pairs):
    """Enhance under a limit of the system."""
    if limit == resource.RLIMIT_AS:
        with open("/proc/self/statm") as handle:
            size += int(handle.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(limit, (size, size))
    _enhance(*pairs)


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs Linux's /proc")
@pytest.mark.parametrize(
    ("limit", "size", "told"),
    [(resource.RLIMIT_AS, 3 << 30, "not enough memory"), (resource.RLIMIT_FSIZE, 2000, "cannot be written (File too")],
    ids=["3 GB of memory", "no room on the disk"],
)
def test_a_limit_of_the_system_ends_in_one_line_and_leaves_nothing(pairs, monkeypatch, capfd, limit, size, told):
    if limit == resource.RLIMIT_AS:
        monkeypatch.setattr(CoarseNet, "restore", lambda *_, **__: np.ones(4 << 30, np.float32))
    assert _in_a_process(_within, limit, size, pairs[0]) == 1
    last = capfd.readouterr().err.splitlines()[-1]
    assert last.startswith("bmenet: ")
    assert told in last
    assert _names(pairs) == []


REMOVED = {"asynchat", "asyncore", "cgi", "cgitb", "crypt", "distutils", "imghdr", "imp", "pipes", "smtpd", "telnetlib"}
"""Modules of Python 3.11 that 3.12 or 3.13 no longer have."""


def test_python_and_libraries_are_bounded_from_below_alone():
    """But for one library, whose networks are known by their checksums; and nothing is used that 3.13 lacks."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [dependency.split(";")[0] for dependency in project["dependencies"]]
    assert project["requires-python"] == ">=3.11"
    assert [one.strip() for one in asked if "<" in one or "~" in one or "==" in one] == ["deepbet==1.0.2"]
    sources = [path for folder in ("bmenet", "pipelines") for path in (REPOSITORY / folder).rglob("*.py")]
    for path in sources:
        tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 11))
        names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
        names += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and not node.level]
        assert not {name.split(".")[0] for name in names} & REMOVED, path
