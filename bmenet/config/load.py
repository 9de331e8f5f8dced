"""Read params.yaml into a validated `Config`, or stop with the key that is wrong."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from bmenet.config.sections import Config
from bmenet.runtime.errors import ConfigError

PARAMS_FILE = Path("params.yaml")


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
    key = ".".join(str(part) for part in item["loc"]) or "(top level)"
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

    Examples
    --------
    >>> from bmenet.config import GridConfig
    >>> flatten(GridConfig(spacing_mm=2), "grid")
    {'grid.spacing_mm': 2}
    """
    flat: dict[str, Any] = {}

    def walk(value: Any, key: str) -> None:
        if isinstance(value, dict) and value:
            for name, child in value.items():
                walk(child, f"{key}.{name}" if key else str(name))
        else:
            flat[key] = value

    walk(section.model_dump(mode="json"), prefix)
    return flat
