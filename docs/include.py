"""Bring sections of reports into documents: `python -m docs.include`.

A block between ``<!-- include PATH # HEADING -->`` and ``<!-- end -->`` is replaced by the text under that heading of
that file, heading left out. So a number in a document is the number that the stage `evaluate` wrote.
"""

import re
from pathlib import Path

DOCUMENTS = (Path("README.md"), Path("docs/results.md"))

_BLOCK = re.compile(r"(<!-- include (?P<path>\S+) # (?P<heading>.+?) -->\n).*?(<!-- end -->)", re.DOTALL)
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def with_sections(text: str, root: Path) -> str:
    """Return a text with every block filled from the files below `root`.

    Raises
    ------
    ValueError
        If a file has no such heading.
    """
    return _BLOCK.sub(
        lambda found: f"{found[1]}\n{_section(root / found['path'], found['heading'])}\n\n{found[4]}",
        text,
    )


def _section(path: Path, heading: str) -> str:
    """Return the text between a heading and the next one."""
    text = path.read_text(encoding="utf-8")
    headings = list(_HEADING.finditer(text))
    for number, found in enumerate(headings):
        if found[1] == heading:
            end = headings[number + 1].start() if number + 1 < len(headings) else len(text)
            return text[found.end() : end].strip()
    raise ValueError(f"{path}: expected the heading {heading!r}; got {[found[1] for found in headings]}")


if __name__ == "__main__":
    for document in DOCUMENTS:
        document.write_text(with_sections(document.read_text(encoding="utf-8"), Path()), encoding="utf-8")
