"""The numbers in the documents are those that were measured, and their links lead somewhere."""

import re
from pathlib import Path

import pytest

from docs.include import DOCUMENTS, TAKEN, take_over, with_sections

REPOSITORY = Path(__file__).parents[1]
ALL = sorted(path.relative_to(REPOSITORY) for path in [*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/*.md")])


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_included_sections_are_those_of_the_reports(document):
    text = (REPOSITORY / document).read_text(encoding="utf-8")
    assert "<!-- include " in text
    assert with_sections(text, REPOSITORY) == text, "run `python -m docs.include`"


@pytest.mark.parametrize("document", ALL, ids=str)
def test_every_relative_link_leads_to_a_file_and_the_readme_can_be_read_at_one_go(document):
    text = (REPOSITORY / document).read_text(encoding="utf-8")
    assert document.name != "README.md" or document.parent.name or len(text.encode()) <= 10_000
    targets = re.findall(r"\]\((?!https?://|#)([^)#\s]+)", text)
    assert [target for target in targets if not (REPOSITORY / document.parent / target).exists()] == []


def test_a_section_ends_at_the_next_heading(tmp_path):
    (tmp_path / "a.md").write_text("# A\n\nfirst\n\n## B\n\n| x |\n\n### C\n\nlast\n")
    text = "before\n<!-- include a.md # B -->\nold\n<!-- end -->\nafter\n"
    assert with_sections(text, tmp_path) == "before\n<!-- include a.md # B -->\n\n| x |\n\n<!-- end -->\nafter\n"
    with pytest.raises(ValueError, match="expected the heading 'D'; got"):
        with_sections(text.replace("# B", "# D"), tmp_path)


def test_reports_are_taken_over_whole_or_not_at_all(tmp_path):
    reports, kept = tmp_path / "reports", tmp_path / "kept"
    kept.mkdir()
    for name in TAKEN:
        with pytest.raises(FileNotFoundError, match=name):
            take_over(reports, kept)
        assert list(kept.iterdir()) == []
        (reports / name).parent.mkdir(parents=True, exist_ok=True)
        (reports / name).write_text(name)
    take_over(reports, kept)
    assert {path.read_text() for path in kept.iterdir()} == set(TAKEN)
