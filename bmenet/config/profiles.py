"""Profiles: complete parameter files in ``params/``, one of which is copied to params.yaml."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import yaml

from bmenet.config import PARAMS_FILE, Config, flatten, load_config, parse_config
from bmenet.config.edit import edit_values
from bmenet.runtime.errors import ConfigError
from bmenet.runtime.files import atomic_path, write_text


@dataclass(frozen=True)
class Change:
    """One dotted key whose value differs between two parameter files; None where the key is absent."""

    key: str
    old: Any
    new: Any


@dataclass(frozen=True)
class Profiles:
    """The profiles of a workspace and its active parameters.

    Parameters
    ----------
    root : Path
        The workspace, by default the current folder.
    """

    root: Path = Path()

    @property
    def params(self) -> Path:
        """The active parameters."""
        return self.root / PARAMS_FILE

    def names(self) -> list[str]:
        """Return the names of all profiles, sorted.

        Raises
        ------
        ConfigError
            If the workspace has none.
        """
        names = sorted(path.stem for path in (self.root / "params").glob("*.yaml"))
        if not names:
            raise ConfigError(f"{self.root / 'params'}: expected a folder with profiles; run inside the project")
        return names

    def path(self, name: str) -> Path:
        """Return the file of profile `name`.

        Raises
        ------
        ConfigError
            If there is no such profile.
        """
        if name not in (names := self.names()):
            raise ConfigError(f"profile: expected one of {', '.join(names)}; got {name!r}")
        return self.root / "params" / f"{name}.yaml"

    def active(self) -> str | None:
        """Return the profile that params.yaml is an exact copy of; None where it is edited or missing."""
        if not self.params.is_file():
            return None
        text = self.params.read_bytes()
        return next((name for name in self.names() if self.path(name).read_bytes() == text), None)

    def changes(self, name: str) -> list[Change]:
        """Return what switching from params.yaml to profile `name` changes, key by key.

        Raises
        ------
        ConfigError
            If either file cannot be read as a configuration.
        """
        return _difference(load_config(self.params), load_config(self.path(name)))

    def edits(self) -> list[Change]:
        """Return what params.yaml changes in the profile that it names, key by key.

        Raises
        ------
        ConfigError
            If either file cannot be read as a configuration.
        """
        params = load_config(self.params)
        return _difference(load_config(self.path(params.profile)), params)

    def switch(self, name: str, force: bool = False) -> Path | None:
        """Make profile `name` the active parameters, comments included.

        Parameters
        ----------
        name : str
            The profile.
        force : bool
            Replace even a params.yaml with edits of its own, after saving it.

        Returns
        -------
        Path or None
            Where the edited params.yaml was saved, if it was.

        Raises
        ------
        ConfigError
            If the profile is unknown or invalid, or edits would be lost and `force` is not set.
        """
        profile = self.path(name)
        load_config(profile)
        backup = None
        if self.params.exists() and self.active() is None:
            if not force:
                raise ConfigError(
                    f"{self.params}: expected an exact copy of a profile; got edits ({self._describe_edits()}), which "
                    f"would be lost: save the file as params/<name>.yaml, or use --force, which keeps a copy"
                )
            backup = self._free_backup()
            if self.params.is_dir():
                self.params.rename(backup)
            else:
                _copy(self.params, backup)
        _copy(profile, self.params)
        return backup

    def apply(self, values: Mapping[str, Any]) -> list[Change]:
        """Replace values in params.yaml, key by key; comments and layout stay. Nothing to change writes nothing.

        Parameters
        ----------
        values : mapping
            Dotted key to value, as `edit_values` takes them.

        Returns
        -------
        list of Change
            What is different now.

        Raises
        ------
        ConfigError
            If params.yaml cannot be read as a configuration, a key cannot be replaced, or the values do not fit, alone
            or together: then nothing is written.
        """
        before = load_config(self.params)
        text = self.params.read_bytes().decode("utf-8")
        try:
            edited = edit_values(text, values)
        except ConfigError as error:
            raise ConfigError(f"{self.params}: {error}") from error
        if edited == text:
            return []
        after = parse_config(yaml.safe_load(edited), where=str(self.params))
        write_text(self.params, edited)
        return _difference(before, after)

    def _describe_edits(self) -> str:
        """Name the edited keys on one line."""
        try:
            return ", ".join(change.key for change in self.edits()) or "comments or layout only"
        except ConfigError:
            return "not even a valid configuration"

    def _free_backup(self) -> Path:
        """Return the first unused name among params.yaml.bak, params.yaml.bak1, ..."""
        candidates = (self.params.with_name(f"{self.params.name}.bak{number or ''}") for number in count())
        return next(path for path in candidates if not path.exists())


def _difference(old: Config, new: Config) -> list[Change]:
    """Compare two configurations key by key."""
    before, after = flatten(old), flatten(new)
    keys = dict.fromkeys([*before, *after])
    return [Change(key, before.get(key), after.get(key)) for key in keys if before.get(key) != after.get(key)]


def _copy(source: Path, target: Path) -> None:
    """Copy a file byte for byte, atomically."""
    with atomic_path(target) as temporary:
        temporary.write_bytes(source.read_bytes())
