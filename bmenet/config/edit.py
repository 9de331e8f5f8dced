"""YAML with its comments, order, quoting and layout: read, laid over one another, written again."""

import io
import sys
from collections.abc import Mapping
from typing import Any

from ruamel.yaml import YAML, RoundTripRepresenter
from ruamel.yaml.comments import CommentedMap

from bmenet.config.load import yaml_errors
from bmenet.runtime.errors import ConfigError


class _Representer(RoundTripRepresenter):
    """Writes new values so that YAML 1.1 (PyYAML) and 1.2 (ruamel.yaml, DVC) read the same; lists in brackets."""

    def represent_null(self, _value: None) -> Any:
        return self.represent_scalar("tag:yaml.org,2002:null", "null")

    def represent_brackets(self, values: list) -> Any:
        return self.represent_sequence("tag:yaml.org,2002:seq", values, flow_style=True)

    def represent_exponent(self, value: float) -> Any:
        """Write a point before an exponent: without one, 1e-05 is a text in YAML 1.1."""
        mantissa, exponent, power = repr(value).partition("e")
        if not exponent or "." in mantissa:
            return self.represent_float(value)
        return self.represent_scalar("tag:yaml.org,2002:float", f"{mantissa}.0e{power}")


_Representer.add_representer(type(None), _Representer.represent_null)
_Representer.add_representer(list, _Representer.represent_brackets)
_Representer.add_representer(float, _Representer.represent_exponent)


def load_text(text: str) -> CommentedMap:
    """Return YAML as a mapping that keeps its comments and layout; a `ConfigError` says that it is none."""
    with yaml_errors():
        data = _yaml().load(text)
    if not isinstance(data, CommentedMap):
        raise ConfigError(f"expected sections of keys and values; got {data!r}")
    return data


def dump_text(data: CommentedMap) -> str:
    """Return a mapping as YAML; what was not changed is as it was, each comment in its column if the value allows."""
    stream = io.StringIO()
    _yaml().dump(data, stream)
    return stream.getvalue()


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
    """Return a reader and writer that give a profile back as it is laid out."""
    yaml = YAML()
    yaml.Representer = _Representer
    yaml.preserve_quotes = True
    yaml.width = sys.maxsize
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml
