"""A study as one page for the browser, a file on its own."""

import base64
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from plotly.offline import get_plotlyjs

from bmenet.evaluation.pages import markup
from bmenet.runtime.files import write_text

_READ = {
    "history": (
        "History",
        "A point is a trial, the line the best value so far: where it is flat, the search found nothing better.",
    ),
    "pareto": (
        "Pareto front",
        "The front, red here and a line in the still picture, are trials that no other beats in both objectives: pick "
        "by how long a volume may take.",
    ),
    "importance": (
        "Importance",
        "How much of the difference between trials each parameter explains (fANOVA): short bars need no care.",
    ),
    "slice": ("Slices", "The value of each trial over one parameter at a time; darker points are later trials."),
    "contour": (
        "Contour",
        "The value over the two most important parameters that are numbers, interpolated between trials: to be trusted "
        "only where points are dense.",
    ),
    "parallel": (
        "Parallel coordinates",
        "A line is a trial, through its value and its parameters; drag along an axis to keep only the lines through "
        "that range.",
    ),
    "intermediate": ("Values on the way", "A line is a trial as it went on; those that end early were pruned."),
    "timeline": ("Timeline", "When each trial ran, and how it ended."),
}
"""Name of a plot to its heading, and how to read it."""

_STYLE = """
.parts { display: flex; flex-wrap: wrap; gap: 6px 16px; margin-top: 14px; font-size: 13px; }
.parts a { color: var(--accent); text-decoration: none; }
.parts a:hover, .parts a:focus-visible { text-decoration: underline; }
.how { margin: -6px 0 10px; color: var(--soft); font-size: 13px; }
.plot { overflow-x: auto; }
.plot > div { min-height: 430px; min-width: 560px; }
figure img { background: #fff; }
section, figure { scroll-margin-top: 12px; }
.stills figure { margin: 0 0 20px; }
@media print { .parts, .plots { display: none; } }
"""

_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:; "
    "base-uri 'none'; form-action 'none'"
)
"""The browser loads nothing from anywhere; plotly compiles the shaders of its parallel coordinates itself."""


def write_page(
    path: Path | str,
    title: str,
    facts: Mapping[str, str],
    tables: Mapping[str, list[Mapping[str, str]]],
    parts: Mapping[str, str],
    pictures: Mapping[str, Path],
) -> None:
    """Write a study as one HTML file, atomically: no other file, no network and no server are needed to read it.

    Parameters
    ----------
    path : Path or str
    title : str
    facts : mapping
        Name to value: what was searched, how, and what came out.
    tables : mapping
        Title to rows, each a mapping of column to cell. A table without rows is left out.
    parts : mapping
        Name to a plotly fragment, or a sentence why there is none, as of `plotly_parts`. Fragments go into the page as
        they are; every other text is escaped.
    pictures : mapping
        Name to a PNG: what is seen on paper.
    """
    sections: dict[str, tuple[str, str]] = {}
    if facts:
        sections["summary"] = ("Summary", markup.facts("Summary", facts))
    for number, (name, rows) in enumerate(tables.items()):
        if rows:
            sections[f"table-{number}"] = (name, _table(name, rows))
    plots = {f"plot-{number}": (_heading(name), _plot(name, part)) for number, (name, part) in enumerate(parts.items())}
    stills = "".join(_picture(name, file) for name, file in pictures.items())
    links = {anchor: heading for anchor, (heading, _) in (sections | plots).items()}
    if stills:
        links["stills"] = "Still pictures"
    write_text(
        path,
        f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<title>{markup.text(title)}</title>
<style>
{_report_style()}{_STYLE}</style>
<script>{markup.inline_script(get_plotlyjs())}</script>
</head>
<body>
<header>
<p class="brand">BMENet</p>
<h1>{markup.text(title)}</h1>
<nav class="parts">{"".join(f'<a href="#{anchor}">{markup.text(text)}</a>' for anchor, text in links.items())}</nav>
</header>
<main>
{"".join(f'<div id="{anchor}">{section}</div>' for anchor, (_, section) in sections.items())}
{"".join(f'<div id="{anchor}" class="plots">{section}</div>' for anchor, (_, section) in plots.items())}
{f'<div id="stills" class="stills">{stills}</div>' if stills else ""}
</main>
<footer><p>This page holds everything it shows, and asks the network for nothing.</p></footer>
</body>
</html>
""",
    )


def _report_style() -> str:
    """Return the style of the report's pages."""
    return resources.files("bmenet.evaluation.pages").joinpath("report.css").read_text(encoding="utf-8")


def _heading(name: str) -> str:
    """Return the heading of a plot; a name that is not known is its own."""
    return _READ[name][0] if name in _READ else name


def _table(title: str, rows: list[Mapping[str, str]]) -> str:
    """Return a table with the columns of all rows, in the order in which they first come."""
    header = list(dict.fromkeys(column for row in rows for column in row))
    return markup.table(title, header, [[row.get(column, "") for column in header] for row in rows], "")


def _plot(name: str, part: str) -> str:
    """Return a plotly fragment with its heading and how to read it, or the sentence in its place."""
    heading = f"<h2>{markup.text(_heading(name))}</h2>"
    if not part.lstrip().startswith("<"):
        return f'<section>{heading}<p class="how">{markup.text(part)}</p></section>'
    return f'<section>{heading}<p class="how">{markup.text(_how(name))}</p><div class="plot">{part}</div></section>'


def _picture(name: str, file: Path) -> str:
    """Return a still picture."""
    return markup.picture(_heading(name), base64.b64encode(file.read_bytes()).decode("ascii"), _how(name))


def _how(name: str) -> str:
    """Return how to read a plot."""
    return _READ[name][1] if name in _READ else ""
