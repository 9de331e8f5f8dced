"""Profiles: one complete default, and overlays of what others change; one of them is written to params.yaml."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

from bmenet.config.load import (
    PARAMS_FILE,
    dump_text,
    find_key,
    flatten,
    load_config,
    load_text,
    merge,
    parse_text,
    read_text,
)
from bmenet.config.sections import Config
from bmenet.runtime.errors import ConfigError
from bmenet.runtime.files import atomic_path, write_text

DEFAULT = "demo"
"""The profile that is complete; the others say what they change in it."""

_SHIPPED = Path(__file__).parent / "profiles"
_PARENT = "extends"
"""The key of an overlay that names the profile it changes, if that is not the default."""


@dataclass(frozen=True)
class Change:
    """One dotted key whose value differs between two parameter files; None where the key is absent."""

    key: str
    old: Any
    new: Any


@dataclass(frozen=True)
class Profiles:
    """The profiles that come with the package and those of a workspace, and the workspace's active parameters.

    A workspace's own profiles lie in its folder ``params``. Each is an overlay, or a complete parameter file, such as
    a params.yaml that was edited and saved there; it goes before a shipped one of the same name.
    """

    root: Path = Path()

    @property
    def params(self) -> Path:
        """The active parameters."""
        return self.root / PARAMS_FILE

    def names(self) -> list[str]:
        """Return the names of all profiles, sorted."""
        return sorted(self._files())

    def text(self, name: str) -> str:
        """Return profile `name` as a complete params.yaml, with the comments of the default.

        Raises
        ------
        ConfigError
            If there is no such profile, its file is no overlay, or it extends itself.
        """
        texts: dict[str, str] = {}
        parent: str | None = name
        while parent is not None:
            path = self._file(parent)
            if parent in texts:
                raise ConfigError(f"{path}: {_PARENT}: expected no profile that extends itself; got {list(texts)}")
            texts[parent] = read_text(path)
            try:
                parent = _parent(texts[parent])
            except ConfigError as error:
                raise ConfigError(f"{path}: {error}") from error
        return _composed(name, *reversed(texts.values()))

    def load(self, name: str) -> Config:
        """Return profile `name`, validated."""
        return parse_text(self.text(name), where=str(self._file(name)))

    def active(self) -> str | None:
        """Return the profile that params.yaml is an exact copy of; None where it is edited or missing."""
        if not self.params.is_file():
            return None
        content = self.params.read_bytes()
        for name in self.names():
            with suppress(ConfigError):  # a broken file is no reason to keep another from being chosen
                if self.text(name).encode() == content:
                    return name
        return None

    def changes(self, name: str) -> list[Change]:
        """Return what switching from params.yaml to profile `name` changes, key by key; both must be valid."""
        return _difference(load_config(self.params), self.load(name))

    def edits(self) -> list[Change]:
        """Return what params.yaml changes in the profile that it names, key by key; both must be valid."""
        params = load_config(self.params)
        return _difference(self.load(params.profile), params)

    def switch(self, name: str, force: bool = False) -> Path | None:
        """Make profile `name` the active parameters, comments included.

        With `force` even a params.yaml with edits of its own is replaced; the answer is where a copy of it was saved.

        Raises
        ------
        ConfigError
            If the profile is unknown or invalid, or edits would be lost and `force` is not set.
        """
        self.load(name)
        backup = None
        if self.params.exists() and self.active() is None:
            if not force:
                raise ConfigError(
                    f"{self.params}: expected an exact copy of a profile; got edits ({self._describe_edits()}), which "
                    f"would be lost: save the file as params/<name>.yaml, or use --force, which keeps a copy"
                )
            candidates = (self.params.with_name(f"{self.params.name}.bak{number or ''}") for number in count())
            backup = next(path for path in candidates if not path.exists())
            if self.params.is_dir():
                self.params.rename(backup)
            else:
                with atomic_path(backup) as temporary:
                    temporary.write_bytes(self.params.read_bytes())
        write_text(self.params, self.text(name))
        return backup

    def apply(self, values: Mapping[str, Any]) -> list[Change]:
        """Replace values in params.yaml by dotted keys, and return what is different now; comments and layout stay.

        A value is a number, a text, a truth value, None, or a list of these. Nothing to change writes nothing.

        Raises
        ------
        ConfigError
            If params.yaml cannot be read as a configuration, there is no such key, others would change with it, or the
            values do not fit, alone or together: then nothing is written.
        """
        before, where = load_config(self.params), str(self.params)
        old, data = flatten(before), load_text(read_text(self.params))
        for key, value in values.items():
            section, name = find_key(data, key, where)
            if value != old.get(key):
                section[name] = value
        edited = dump_text(data)
        changes = _difference(before, parse_text(edited, where))
        if tied := sorted({change.key for change in changes} - set(values)):
            raise ConfigError(f"{self.params}: expected values of their own; got YAML anchors that tie {tied} to them")
        if changes:
            write_text(self.params, edited)
        return changes

    def _files(self) -> dict[str, Path]:
        """Return name to file."""
        folders = (_SHIPPED, self.root / "params")
        return {path.stem: path for folder in folders for path in folder.glob("*.yaml")}

    def _file(self, name: str) -> Path:
        if (path := self._files().get(name)) is None:
            raise ConfigError(f"profile: expected one of {', '.join(self.names())}; got {name!r}")
        return path

    def _describe_edits(self) -> str:
        """Name the edited keys on one line."""
        try:
            return ", ".join(change.key for change in self.edits()) or "comments or layout only"
        except ConfigError:
            return "not even a valid configuration"


@cache
def load_profile(name: str = DEFAULT) -> Config:
    """Return a profile that comes with the package, wherever the current folder is."""
    return Profiles(_SHIPPED).load(name)


@cache
def _parent(text: str) -> str | None:
    """Return the profile that an overlay changes; None where every section is there: such a file stands by itself."""
    overlay = load_text(text)
    parent = overlay.get(_PARENT, DEFAULT)
    if not isinstance(parent, str):
        raise ConfigError(f"{_PARENT}: expected the name of a profile; got {parent!r}")
    return None if overlay.keys() >= Config.model_fields.keys() else parent


@cache
def _composed(name: str, complete: str, *overlays: str) -> str:
    """Return overlays laid over a complete text, under the last one's name and its first comment."""
    if not overlays:
        return complete
    base = load_text(complete)
    for overlay in map(load_text, overlays):
        overlay.pop(_PARENT, None)
        merge(base, overlay)
        base.ca.comment = overlay.ca.comment or base.ca.comment
    base["profile"] = name
    return dump_text(base)


def _difference(old: Config, new: Config) -> list[Change]:
    """Compare two configurations key by key."""
    before, after = flatten(old), flatten(new)
    keys = dict.fromkeys([*before, *after])
    return [Change(key, before.get(key), after.get(key)) for key in keys if before.get(key) != after.get(key)]
