"""Where a run comes from: the pipeline execution it belongs to, the code, and the content of its inputs."""

import hashlib
import json
import os
import re
import subprocess
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import psutil
import yaml

EXECUTION_VARIABLE = "BMENET_EXECUTION"
# What a pipeline writes itself does not make the code differ from its commit.
_WRITTEN_BY_THE_PIPELINE = (":!dvc.lock", ":!reports")
_PATHS = re.compile(r"data\.sources\.\d+\.(root|mirror|covariates)|evaluate\.weights")
_PEOPLE = re.compile(r"data\.sources\.\d+\.subjects")


def execution_key() -> str:
    """Name the pipeline execution that this process belongs to.

    ``BMENET_EXECUTION`` where it is set, else the ``dvc`` process above this one, else a name of its own: a stage
    started by hand is an execution by itself.
    """
    if named := os.environ.get(EXECUTION_VARIABLE):
        return hashlib.sha256(named.encode()).hexdigest()[:16]
    for process in psutil.Process().parents():
        try:
            if any(Path(word).name == "dvc" for word in process.cmdline()[:4]):
                # Counted from boot: the wall-clock start of a process moves when the clock is set.
                since_boot = process.create_time() - psutil.boot_time()
                return hashlib.sha256(f"{process.pid} {since_boot:.2f}".encode()).hexdigest()[:16]
        except psutil.Error:
            continue
    return uuid.uuid4().hex[:16]


def code_tags() -> dict[str, str]:
    """Return the git commit and whether the tracked files differ from it; nothing outside a repository."""
    commit = _git("rev-parse", "HEAD")
    if commit is None:
        return {}
    changes = _git("status", "--porcelain", "--untracked-files=no", "--", ".", *_WRITTEN_BY_THE_PIPELINE)
    return {"mlflow.source.git.commit": commit, "git.dirty": str(bool(changes)).lower()}


def input_hashes(inputs: Iterable[Path | str], lock_file: Path = Path("dvc.lock")) -> dict[str, str]:
    """Return {path: DVC's md5} of a stage's inputs.

    The hash is read from ``dvc.lock`` where an earlier stage has just written the input and its size on disk still
    agrees, and computed otherwise. A folder's hash ends in ``.dir``, as in DVC. Missing inputs are left out.
    """
    known = _locked_outputs(lock_file)
    hashes = {}
    for path in map(Path, inputs):
        if not path.exists():
            continue
        entry = known.get(path.as_posix(), {})
        files = _files(path)
        is_current = entry.get("size") == sum(file.stat().st_size for file in files)
        is_current &= entry.get("nfiles", 1) == len(files)
        hashes[_workspace_name(path)] = entry["md5"] if is_current else dvc_md5(path)
    return hashes


def without_places_and_people(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return flat parameters fit to be shared: paths outside the workspace cut to their names, subjects counted."""
    shown = dict(params)
    for key, value in params.items():
        if value and _PATHS.fullmatch(key):
            shown[key] = _workspace_name(value)
        if isinstance(value, list) and _PEOPLE.fullmatch(key):
            shown[key] = f"{len(value)} by name"
    return shown


def dvc_md5(path: Path) -> str:
    """Return the hash that DVC gives to a file or folder."""
    if path.is_file():
        return _md5(path)
    listing = [{"md5": _md5(file), "relpath": file.relative_to(path).as_posix()} for file in _files(path)]
    listing.sort(key=lambda entry: entry["relpath"])
    return hashlib.md5(json.dumps(listing, sort_keys=True).encode(), usedforsecurity=False).hexdigest() + ".dir"


def _locked_outputs(lock_file: Path) -> dict[str, dict[str, Any]]:
    """Return {path: entry} of every stage's outputs in dvc.lock."""
    if not lock_file.is_file():
        return {}
    stages = (yaml.safe_load(lock_file.read_text(encoding="utf-8")) or {}).get("stages", {})
    return {entry["path"]: entry for stage in stages.values() for entry in stage.get("outs", []) if "md5" in entry}


def _workspace_name(place: Path | str) -> str:
    """Return a path relative to the workspace; of anything elsewhere only the name, for paths tell of people.

    Of a URL, too: its host may be a hospital's, and a password or a token may stand in it.
    """
    if "://" in str(place):
        return PurePosixPath(urlsplit(str(place)).path).name
    path = Path(place)
    relative = Path(os.path.relpath(path))
    return path.name if relative.parts[:1] == ("..",) else relative.as_posix()


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]


def _md5(path: Path) -> str:
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _git(*arguments: str) -> str | None:
    """Return what git prints, or None where there is no git or no repository."""
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
