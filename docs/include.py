"""Bring sections of reports into documents: `python -m docs.include`.

A block between ``<!-- include PATH # HEADING -->`` and ``<!-- end -->`` is replaced by the text under that heading of
that file, heading left out. So a number in a document is the number that the stage `evaluate` wrote.
`python -m docs.include --from reports` first takes over the reports of a workspace, after `bmenet profile released` and
`dvc repro evaluate`.
"""

import argparse
import re
import shutil
from pathlib import Path

DOCUMENTS = (Path("README.md"), Path("docs/results.md"))
TAKEN = (
    *("results.md", "degrade/calibration.png"),
    *(f"evaluate/{name}" for name in ("summary.json", "gains.json", "volumes.csv")),
    *(f"evaluate/{name}.png" for name in ("before_after", "subjects", "dice")),
)
"""What is kept of a folder of reports, for the documents and for who wants every volume's figures."""

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


def take_over(reports: Path, folder: Path) -> None:
    """Copy what documents show out of a folder of reports; nothing is copied if a file is missing.

    Raises
    ------
    FileNotFoundError
        If a report is missing.
    """
    if missing := [name for name in TAKEN if not (reports / name).is_file()]:
        raise FileNotFoundError(f"{reports}: expected the reports of `dvc repro evaluate`; missing: {missing}")
    for name in TAKEN:
        shutil.copyfile(reports / name, folder / Path(name).name)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Bring sections of reports into documents.")
    parser.add_argument("--from", dest="reports", type=Path, help="a folder of reports to take over first")
    parser.add_argument("--to", dest="folder", type=Path, default=Path("docs/ds002748"), help="where they are kept")
    options = parser.parse_args()
    if options.reports is not None:
        take_over(options.reports, options.folder)
    for document in DOCUMENTS:
        document.write_text(with_sections(document.read_text(encoding="utf-8"), Path()), encoding="utf-8")
