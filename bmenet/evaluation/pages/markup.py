"""Pieces of HTML: every text is escaped here."""

import re
from collections.abc import Collection, Mapping, Sequence
from html import escape as text

__all__ = ["colours", "credit", "facts", "inline_script", "notes", "options", "picture", "table", "text"]

_MEANINGS = {
    "image": (
        "grey",
        "Image",
        "Dark to bright over the window, which is one and the same for every image: what looks brighter is brighter.",
    ),
    "difference": (
        "diverging",
        "Difference",
        "Black where nothing differs; orange where the value went up, blue where it went down. The subtraction is "
        "spelled out in the layer's name.",
    ),
    "uncertainty": (
        "magma",
        "Uncertainty",
        "Black where all samples of the second stage agree; the brighter, the further apart they lie (standard "
        "deviation). It tells how sure the model is of itself, not how right it is.",
    ),
}
"""Kind of layer to its swatch, its name and what its colours say."""

_ENDS_A_SCRIPT = re.compile(r"<(?=/script|script|!--)", re.IGNORECASE)


_WITH_INTERVAL = re.compile(r"(\S+) (\[.+\])")


def inline_script(source: str) -> str:
    r"""Return JavaScript or JSON that an HTML parser does not end early.

    ``</script``, ``<script`` and ``<!--`` can only stand in strings, templates, patterns and comments, where ``\u003c``
    means the same.
    """
    return _ENDS_A_SCRIPT.sub(r"\\u003c", source)


def notes(sentences: Sequence[str]) -> str:
    """Return what a reader must know first, as a list."""
    if not sentences:
        return ""
    return f'<ul class="notes">{"".join(f"<li>{text(sentence)}</li>" for sentence in sentences)}</ul>'


def options(names: Sequence[str]) -> str:
    """Return the entries of a drop-down list; their values count from 0."""
    return "".join(f'<option value="{number}">{text(name)}</option>' for number, name in enumerate(names))


def picture(title: str, base64_png: str, caption: str) -> str:
    """Return a still picture with its title and caption."""
    return (
        f'<figure><h2>{text(title)}</h2><img alt="{text(title)}" src="data:image/png;base64,{base64_png}">'
        f"<figcaption>{text(caption)}</figcaption></figure>"
    )


def table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]], note: str) -> str:
    """Return a table; the first column names the rows."""
    head = "".join(f'<th scope="col">{text(cell)}</th>' for cell in header)
    body = "".join(
        f'<tr><th scope="row">{text(first)}</th>{"".join(f"<td>{_number(cell)}</td>" for cell in others)}</tr>'
        for first, *others in rows
    )
    below = f'<p class="note">{text(note)}</p>' if note else ""
    return (
        f'<section><h2>{text(title)}</h2><div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>{below}</section>"
    )


def _number(cell: str) -> str:
    """Return a cell; an interval behind a number stays on one line, below it where there is no room."""
    found = _WITH_INTERVAL.fullmatch(cell)
    return f"{text(found[1])} <small>{text(found[2])}</small>" if found else text(cell)


def facts(title: str, values: Mapping[str, str]) -> str:
    """Return names and their values."""
    items = "".join(f"<div><dt>{text(name)}</dt><dd>{text(value)}</dd></div>" for name, value in values.items())
    return f"<section><h2>{text(title)}</h2><dl>{items}</dl></section>"


def colours(kinds: Collection[str]) -> str:
    """Return what the colours of the kinds of layers mean."""
    items = "".join(
        f'<div><dt><span class="swatch {swatch}"></span>{name}</dt><dd>{meaning}</dd></div>'
        for kind, (swatch, name, meaning) in _MEANINGS.items()
        if kind in kinds
    )
    return f'<section><h2>What the colours mean</h2><dl class="colours">{items}</dl></section>' if items else ""


def credit(version: str, licence: str) -> str:
    """Return whose viewer it is."""
    return (
        f"<details><summary>Viewer: niivue {text(version)}, BSD-2-Clause licence, as shipped by nilearn</summary>"
        f"<pre>{text(licence)}</pre></details>"
    )
