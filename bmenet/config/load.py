"""Read params.yaml into a validated `Config`, or stop with the key that is wrong."""

import json
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from bmenet.config.sections import Config
from bmenet.runtime.errors import ConfigError

PARAMS_FILE = Path("params.yaml")


class _UniqueKeyLoader(yaml.SafeLoader):
    """YAML in which a key given twice is an error, not a silent overwrite."""


def _mapping(loader: _UniqueKeyLoader, node: yaml.MappingNode) -> dict:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, Hashable):
            raise yaml.MarkedYAMLError(problem=f"expected a word as key; got {key!r}", problem_mark=key_node.start_mark)
        if key in seen:
            raise yaml.MarkedYAMLError(problem=f"key {key!r} is given twice", problem_mark=key_node.start_mark)
        seen.add(key)
    return yaml.SafeLoader.construct_mapping(loader, node, deep=True)


_UniqueKeyLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def load_config(path: Path | str = PARAMS_FILE) -> Config:
    """Read and validate params.yaml.

    Raises
    ------
    ConfigError
        If the file is missing, cannot be read, is not YAML in UTF-8, or any key is unknown, missing, of the wrong
        type or out of range; the message names every offending key.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: no such file; run inside the project, or write one with `bmenet profile demo`"
        ) from None
    except OSError as error:
        raise ConfigError(f"{path}: expected a readable file; got: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: expected text in UTF-8; got byte {error.start} that is none") from error
    try:
        raw = yaml.load(text, Loader=_UniqueKeyLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # the last two: dates and depths that cannot be
        raise ConfigError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    return parse_config(raw, where=str(path))


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
        *sections, name = key.split(".")
        section = raw
        for part in sections:
            section = section.get(part, {}) if isinstance(section, dict) else {}
        if not isinstance(section, dict) or name not in section:
            raise ConfigError(f"{where}: {key}: unknown key; remove it or correct its spelling")
        section[name] = value
    return parse_config(raw, where)


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
    message = item["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    got = "" if item["type"] == "value_error" else f"; got {item['input']!r}"
    expected = message if item["type"] == "value_error" else f"expected {message}"
    return f"{key}: {expected}{got}"


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
