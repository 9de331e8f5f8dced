"""Replace values in the text of a params.yaml; comments, order, quoting and every other byte stay."""

import re
import sys
from collections.abc import Mapping
from typing import Any

import yaml

from bmenet.runtime.errors import ConfigError

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_+./-]*")
"""Text that may stand without quotes, also between brackets."""

_LOADER: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The same places in the text from either; libyaml's is fifteen times as fast."""

_BYTE_ORDER_MARK = "\ufeff"

_TRUTH = ("y", "n")
"""Letters that are truth values in YAML 1.1, though PyYAML reads them as text; it knows yes, no, on and off itself."""

_GAP = re.compile(r" +(?=#)")
_LEAST_GAP = 2

_Edit = tuple[int, int, str]
"""From where to where in the text, and what comes there."""


def edit_values(text: str, values: Mapping[str, Any]) -> str:
    r"""Return the text of a params.yaml with other values under dotted keys.

    A value that is there already keeps its text, be it ``2`` or ``2.0``. A comment behind a value stays in its column
    as long as the value leaves a space before it.

    Parameters
    ----------
    text : str
        YAML.
    values : mapping
        Dotted key to a number, a text, a truth value, None, or a list of these.

    Raises
    ------
    ConfigError
        If the text is not YAML, there is no such key, or its value cannot be replaced: a mapping, a block over several
        lines, or a value with a YAML anchor, alias or tag.

    Examples
    --------
    >>> edit_values("sampling:\n  guidance: {scale: 0.02}     # longest step\n", {"sampling.guidance.scale": 1e-5})
    'sampling:\n  guidance: {scale: 1.0e-05}  # longest step\n'
    """
    if text.startswith(_BYTE_ORDER_MARK):  # libyaml counts places from behind it
        return _BYTE_ORDER_MARK + edit_values(text.removeprefix(_BYTE_ORDER_MARK), values)
    try:
        root = yaml.compose(text, Loader=_LOADER)
        ends = _line_ends(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"not valid YAML: {' '.join(str(error).split())}") from error
    edits: list[_Edit] = []
    growth: dict[int, int] = {}
    for key, value in values.items():
        node = _find(root, key, text)
        if node is None:
            raise ConfigError(f"{key}: unknown key; remove it or correct its spelling")
        if _same(_read(node), value):
            continue
        if not _on_its_own(node):
            raise ConfigError(f"{key}: expected one value, or a list in brackets, to replace; got a block")
        start, end = node.start_mark, node.end_mark
        written = _write(key, value)
        if start.index == end.index:  # nothing behind the colon
            written = f" {written}"
        edits.append((start.index, end.index, written))
        growth[end.line] = growth.get(end.line, 0) + start.column + len(written) - end.column
    for line, by in growth.items():
        if gap := _GAP.match(text, ends[line]):
            room = len(gap[0]) - by
            edits.append((*gap.span(), " " * (room if room > 0 else _LEAST_GAP)))
    for first, last, written in sorted(edits, reverse=True):
        text = text[:first] + written + text[last:]
    return text


def _line_ends(text: str) -> dict[int, int]:
    """Return where what is no comment ends, line by line."""
    ends: dict[int, int] = {}
    for token in yaml.scan(text, Loader=_LOADER):
        if token.end_mark.index > token.start_mark.index:  # the end of a block is of no width, and may follow a comment
            ends[token.end_mark.line] = token.end_mark.index
    return ends


def _find(node: yaml.Node | None, key: str, text: str) -> yaml.Node | None:
    """Return the node of a dotted key; a name of the file may have dots itself, as in ``tune.search_space``."""
    if not isinstance(node, yaml.MappingNode):
        return None
    for name_node, child in node.value:
        name = name_node.value
        if name != key and not key.startswith(f"{name}."):
            continue
        found = child if name == key else _find(child, key.removeprefix(f"{name}."), text)
        if found is None:
            continue
        # An alias stands before its key, where its anchor is: an edit would change the value there as well.
        if child.start_mark.index < name_node.end_mark.index or text[child.start_mark.index :][:1] in ("&", "!"):
            raise ConfigError(f"{name}: expected no YAML anchor, alias or tag at a value to replace")
        return found
    return None


def _on_its_own(node: yaml.Node) -> bool:
    """Return whether a node ends where its text ends: blocks reach to the next key."""
    if isinstance(node, yaml.ScalarNode):
        return node.style not in ("|", ">")
    return isinstance(node, yaml.SequenceNode) and bool(node.flow_style)


def _read(node: yaml.Node) -> Any:
    """Return the value of a node."""
    loader = yaml.SafeLoader("")
    try:
        return loader.construct_object(node, deep=True)
    finally:
        loader.dispose()


def _same(old: Any, new: Any) -> bool:
    """Return whether two values are equal; True is not 1, and a list may be a tuple."""
    if isinstance(old, list) and isinstance(new, list | tuple):
        return len(old) == len(new) and all(map(_same, old, new))
    return isinstance(old, bool) == isinstance(new, bool) and bool(old == new)


def _write(key: str, value: Any) -> str:
    """Return a value as YAML that means the same in versions 1.1 (PyYAML) and 1.2 (ruamel, which DVC uses)."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case int():
            return int.__repr__(value)
        case float():
            return _write_float(value)
        case str():
            return _write_text(value)
        case list() | tuple():
            return f"[{', '.join(_write(key, item) for item in value)}]"
    raise ConfigError(f"{key}: expected a number, a text, true, false, null or a list of these; got {value!r}")


def _write_float(value: float) -> str:
    """Return a number with a point even before an exponent: without, 1e-05 is a text in YAML 1.1."""
    if value != value or abs(value) == float("inf"):
        return f"{'-' if value < 0 else ''}.{'inf' if value == value else 'nan'}"
    mantissa, exponent, power = float.__repr__(value).partition("e")
    return f"{mantissa if '.' in mantissa else f'{mantissa}.0'}{exponent}{power}"


def _write_text(value: str) -> str:
    """Return a text without quotes where nobody can take it for anything else."""
    if _PLAIN.fullmatch(value) and value.lower() not in _TRUTH and yaml.safe_load(value) == value:
        return value
    return yaml.safe_dump(value, default_style='"', allow_unicode=True, width=sys.maxsize).rstrip("\n")
