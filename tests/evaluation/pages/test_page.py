import os
import re
from dataclasses import replace

import pandas as pd
import pytest

from bmenet.evaluation.pages import Page, Picture, Table, write_page
from bmenet.evaluation.pages import page as module
from bmenet.evaluation.pages.page import load_niivue
from bmenet.runtime.errors import BMENetError

EVIL = "</script><script>alert(1)</script>\"'<b>"


@pytest.fixture
def write(tmp_path):
    def _write(page: Page, name: str = "page.html") -> str:
        write_page(tmp_path / name, page)
        return (tmp_path / name).read_text(encoding="utf-8")

    return _write


@pytest.fixture
def written(page, write) -> str:
    return write(page)


def test_a_page_is_one_file_that_shows_all_it_was_given(written, tmp_path):
    for shown in ("Two &amp; a half &lt;scans&gt;", "subtitle", "a &lt; b", "A note.", "A caption.", "Mind the gap."):
        assert shown in written
    _, version = load_niivue()
    for told in ("1.5 <small>", "Not a medical device", f"niivue {version}", "BSD 2-Clause License"):
        assert told in written
    assert os.listdir(tmp_path) == ["page.html"]


def test_no_text_becomes_markup(page, written, write, png):
    evil = Page(
        EVIL,
        EVIL,
        [replace(layer, name=f"{EVIL}{number}", unit=EVIL) for number, layer in enumerate(page.layers)],
        [Table(EVIL, pd.DataFrame([[EVIL, EVIL]], columns=[EVIL, f"{EVIL}2"]), EVIL)],
        [Picture(EVIL, png, EVIL)],
        {EVIL: EVIL},
        {EVIL: EVIL},
        [EVIL],
    )
    text = write(evil)
    assert "alert(1)</script>" not in text
    assert "<b>" not in text
    assert text.count("<script") == text.count("</script") == written.count("<script") == written.count("</script")


def test_a_script_of_the_viewer_cannot_end_early(page, written, write, monkeypatch):
    ends = ("</script>", "</SCRIPT >", "<!-- a", "<script src=x>")
    monkeypatch.setattr(module, "load_niivue", lambda: (f"a < b; '</div>'; {' '.join(ends)}", "0.0.0"))
    text = write(page)
    assert "a < b; '</div>'" in text
    assert text.count("<script") == text.count("</script") == written.count("<script")


def test_a_page_may_not_reach_the_network(written):
    policy = re.search(r'http-equiv="Content-Security-Policy"\s+content="([^"]*)"', written).group(1)
    assert "default-src 'none'" in policy
    assert "http" not in policy
    shell = re.sub(r"<script.*?</script>", "", written, flags=re.DOTALL)
    assert not re.search(r"""(src|href)=["'](?!data:)""", shell)


def test_a_page_without_volumes_needs_no_viewer(page, write):
    text = write(replace(page, layers=[]))
    assert "A caption." in text
    assert "<canvas" not in text
    assert len(text) < 50_000


def test_the_same_page_gives_the_same_bytes(page, written, write):
    assert write(page, "again.html") == written


def test_a_place_that_takes_no_file_is_told(tmp_path):
    with pytest.raises(BMENetError, match="cannot be written"):
        write_page(tmp_path / ("n" * 255 + ".html"), Page("t"))


def test_a_nilearn_without_the_viewer_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(module.resources, "files", lambda package: tmp_path)
    with pytest.raises(BMENetError, match=r"expected nilearn to ship the viewer niivue .*; nilearn \d+\.\d+"):
        load_niivue()
