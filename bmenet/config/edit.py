"""Change values in the text of a params.yaml; comments, order, quoting and layout stay."""

import io
import sys
from collections.abc import Mapping
from typing import Any

from ruamel.yaml import YAML, RoundTripRepresenter
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from bmenet.config.load import find_key, yaml_errors
from bmenet.runtime.errors import ConfigError


class _Representer(RoundTripRepresenter):
    """Writes values that mean the same in YAML 1.1 (PyYAML) and 1.2 (ruamel.yaml, DVC)."""

    def represent_none(self, _value: None) -> Any:
        """Write ``null`` rather than nothing."""
        return self.represent_scalar("tag:yaml.org,2002:null", "null")

    def represent_exponent(self, value: float) -> Any:
        """Write a point before an exponent: without one, 1e-05 is a text in YAML 1.1."""
        mantissa, exponent, power = repr(value).partition("e")
        if not exponent or "." in mantissa:
            return self.represent_float(value)
        return self.represent_scalar("tag:yaml.org,2002:float", f"{mantissa}.0e{power}")


_Representer.add_representer(type(None), _Representer.represent_none)
_Representer.add_representer(float, _Representer.represent_exponent)


def load_text(text: str) -> CommentedMap:
    """Return YAML as a mapping that keeps its comments and layout.

    Raises
    ------
    ConfigError
        If the text is not YAML, or no mapping.
    """
    with yaml_errors():
        data = _yaml().load(text)
    if not isinstance(data, CommentedMap):
        raise ConfigError(f"expected sections of keys and values; got {data!r}")
    return data


def dump_text(data: CommentedMap) -> str:
    """Return a mapping as YAML, each comment in its column as long as the value leaves it a space."""
    stream = io.StringIO()
    _yaml().dump(data, stream)
    return stream.getvalue()


def edit_values(text: str, values: Mapping[str, Any]) -> str:
    r"""Return the text of a params.yaml with other values under dotted keys.

    A value that is there already keeps its text, be it ``2`` or ``2.0``.

    Parameters
    ----------
    text : str
        YAML.
    values : mapping
        Dotted key to a number, a text, a truth value, None, or a list of these.

    Raises
    ------
    ConfigError
        If the text is not YAML, there is no such key, or a section would be replaced, or be the new value.

    Examples
    --------
    >>> edit_values("sampling:\n  guidance: {scale: 0.02}     # longest step\n", {"sampling.guidance.scale": 1e-5})
    'sampling:\n  guidance: {scale: 1.0e-05}  # longest step\n'
    """
    data = load_text(text)
    for key, value in values.items():
        section, name = find_key(data, key)
        old = section[name]
        if isinstance(old, Mapping) or isinstance(value, Mapping):
            raise ConfigError(f"{key}: expected a value, or a list of values, to replace another; got a section")
        if not _same(old, value):
            section[name] = _listed(value) if isinstance(value, list | tuple) else value
    return dump_text(data)


def merge(base: CommentedMap, overlay: Mapping[str, Any]) -> None:
    """Lay an overlay over a mapping, in place: a JSON Merge Patch (RFC 7386) that keeps the comments of `base`.

    Sections are merged key by key, anything else is replaced, and null takes away a key that is not null in `base`.
    """
    for name, value in overlay.items():
        old = base.get(name)
        if isinstance(value, Mapping) and isinstance(old, CommentedMap):
            merge(old, value)
        elif value is None and old is not None:
            del base[name]
        else:
            base[name] = value


def _yaml() -> YAML:
    """Return a reader and writer whose writing of what it read is the text itself, as profiles are laid out."""
    yaml = YAML()
    yaml.Representer = _Representer
    yaml.preserve_quotes = True
    yaml.width = sys.maxsize
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml


def _same(old: Any, new: Any) -> bool:
    """Return whether two values are equal; True is not 1, and a list may be a tuple."""
    if isinstance(old, list) and isinstance(new, list | tuple):
        return len(old) == len(new) and all(map(_same, old, new))
    return isinstance(old, bool) == isinstance(new, bool) and bool(old == new)


def _listed(values: list | tuple) -> CommentedSeq:
    """Return a list that is written in brackets."""
    listed = CommentedSeq(values)
    listed.fa.set_flow_style()
    return listed
