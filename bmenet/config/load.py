"""Read params.yaml into a validated `Config`, or stop with the key that is wrong; edit YAML with its comments."""

import io
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML, RoundTripRepresenter
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from bmenet.config.sections import Config
from bmenet.runtime.errors import ConfigError

PARAMS_FILE = Path("params.yaml")


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


def load_config(path: Path | str = PARAMS_FILE) -> Config:
    """Read and validate params.yaml.

    Raises
    ------
    ConfigError
        If the file is missing, cannot be read, is not YAML in UTF-8, or any key is unknown, missing, of the wrong
        type or out of range; the message names every offending key.
    """
    return parse_text(read_text(Path(path)), where=str(path))


def read_text(path: Path) -> str:
    """Return the text of a YAML file; a `ConfigError` says why it cannot be read."""
    try:
        return path.read_bytes().decode("utf-8").replace("\r\n", "\n")
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: no such file; run inside the project, or write one with `bmenet profile demo`"
        ) from None
    except OSError as error:
        raise ConfigError(f"{path}: expected a readable file; got: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: expected text in UTF-8; got byte {error.start} that is none") from error


@contextmanager
def yaml_errors(where: str = "") -> Iterator[None]:
    """Turn what a YAML reader raises into a `ConfigError` with the reason and the line."""
    prefix = f"{where}: " if where else ""
    try:
        yield
    except (YAMLError, ValueError, RecursionError) as error:  # the last two: dates and depths that cannot be
        reason = str(error)
        if isinstance(error, MarkedYAMLError) and error.problem_mark is not None:
            reason = f"{error.problem}, line {error.problem_mark.line + 1}"
        raise ConfigError(f"{prefix}not valid YAML: {' '.join(reason.split())}") from error


def parse_text(text: str, where: str = "params") -> Config:
    """Validate YAML 1.2 as `load_config` does; a key given twice is an error, not a silent overwrite."""
    with yaml_errors(where):
        raw = YAML(typ="safe", pure=True).load(text)
    return parse_config(raw, where)


def parse_config(raw: Any, where: str = "params") -> Config:
    """Validate a nested dict as `load_config` does; `where` opens every message."""
    try:
        return Config.model_validate_json(json.dumps(raw))
    except (TypeError, ValueError) as error:
        if not isinstance(error, ValidationError):
            raise ConfigError(f"{where}: expected plain YAML values; {error}") from error
        raise ConfigError("; ".join(f"{where}: {_explain(item)}" for item in error.errors())) from error


def with_values(config: Config, values: Mapping[str, Any], where: str = "params") -> Config:
    """Return the configuration with other values under dotted keys, validated as a whole.

    Raises
    ------
    ConfigError
        If there is no such key, or the values do not fit, alone or together.
    """
    raw = config.model_dump(mode="json")
    for key, value in values.items():
        section, name = find_key(raw, key, where)
        section[name] = value
    return parse_config(raw, where)


def find_key(section: Any, key: str, where: str = "") -> tuple[Any, str]:
    """Return the mapping that a dotted key leads to, and the name in it; or raise a `ConfigError`.

    A name may have dots itself, as those of ``tune.search_space`` have.
    """
    if (found := _find(section, key)) is None:
        raise ConfigError(f"{where}: {key}: unknown key; remove it or correct its spelling".removeprefix(": "))
    return found


def _find(section: Any, key: str) -> tuple[Any, str] | None:
    if not isinstance(section, Mapping):
        return None
    if key in section:
        return section, key
    inner = (name for name in section if key.startswith(f"{name}."))
    return next((found for name in inner if (found := _find(section[name], key.removeprefix(f"{name}.")))), None)


def _explain(item: Any) -> str:
    """Turn one pydantic error into 'key: what was expected; got value'."""
    if item["type"] == "value_error" and not item["loc"]:
        return item["msg"].removeprefix("Value error, ")  # of sections that do not agree: it names their keys itself
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in item["loc"])
    key = "".join(parts).removeprefix(".") or "(top level)"
    match item["type"]:
        case "extra_forbidden":
            return f"{key}: unknown key; remove it or correct its spelling"
        case "missing":
            return f"{key}: missing key; expected a value"
        case "too_short":
            return f"{key}: expected at least {item['ctx']['min_length']} of them; got {item['input']!r}"
        case "value_error":
            return f"{key}: {item['msg'].removeprefix('Value error, ').removeprefix('Input should be ')}"
    return f"{key}: expected {item['msg'].removeprefix('Input should be ')}; got {item['input']!r}"


def flatten(section: BaseModel, prefix: str = "") -> dict[str, Any]:
    """Return {dotted key: value}, the names under which parameters are tracked and tuned.

    A list of sections is counted from 0, as in ``data.sources.0.name``.

    Examples
    --------
    >>> from bmenet.config import GridConfig
    >>> flatten(GridConfig(spacing_mm=2), "grid")
    {'grid.spacing_mm': 2}
    """
    flat: dict[str, Any] = {}

    def walk(value: Any, key: str) -> None:
        if isinstance(value, list) and any(isinstance(child, dict) for child in value):
            value = dict(enumerate(value))
        if isinstance(value, dict) and value:
            for name, child in value.items():
                walk(child, f"{key}.{name}" if key else str(name))
        else:
            flat[key] = value

    walk(section.model_dump(mode="json"), prefix)
    return flat


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
