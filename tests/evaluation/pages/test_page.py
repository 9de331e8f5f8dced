import os
import re
from dataclasses import replace

import pytest

from bmenet.evaluation.pages import Page, Table, write_page
from bmenet.evaluation.pages import page as module
from bmenet.evaluation.pages.markup import inline_script
from bmenet.evaluation.pages.niivue import Niivue, load_niivue
from bmenet.runtime.errors import BMENetError


@pytest.fixture
def written(page, tmp_path):
    write_page(tmp_path / "page.html", page)
    return (tmp_path / "page.html").read_text(encoding="utf-8")


def test_a_page_shows_all_it_was_given_and_escapes_it(written, tmp_path):
    for shown in ("Two &amp; a half &lt;scans&gt;", "subtitle", "a &lt; b", "A note.", "A caption.", "Mind the gap."):
        assert shown in written
    assert "<scans>" not in written
    assert os.listdir(tmp_path) == ["page.html"]


def test_a_page_says_that_it_is_no_medical_device(written):
    assert "Research use only." in written
    assert "Not a medical device" in written


def test_a_page_credits_the_viewer_with_its_licence(written):
    assert f"niivue {load_niivue().version}" in written
    assert re.search(r"\d+\.\d+\.\d+", load_niivue().version)
    assert "BSD 2-Clause License" in written


def test_a_page_may_not_reach_the_network(written):
    policy = re.search(r'http-equiv="Content-Security-Policy"\s+content="([^"]*)"', written).group(1)
    assert "default-src 'none'" in policy
    assert "http" not in policy
    shell = re.sub(r"<script.*?</script>", "", written, flags=re.DOTALL)
    assert not re.search(r"""(src|href)=["'](?!data:)""", shell)


def test_a_page_without_volumes_needs_no_viewer(page, tmp_path):
    write_page(tmp_path / "page.html", replace(page, layers=[]))
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "A caption." in text
    assert "<canvas" not in text
    assert len(text) < 50_000


def test_the_same_page_gives_the_same_bytes(page, written, tmp_path):
    write_page(tmp_path / "again.html", page)
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == written


@pytest.mark.parametrize("inside", ["</script>", "</SCRIPT >", "<!-- a", "<script src=x>"])
def test_a_script_cannot_end_early(inside):
    assert "<" not in inline_script(f'"{inside}"')
    assert inline_script('a < b; "</div>"') == 'a < b; "</div>"'


def test_every_script_of_a_page_ends_where_it_should(written, monkeypatch, page, tmp_path):
    scripts = written.count("<script")
    monkeypatch.setattr(module, "load_niivue", lambda: Niivue('"</script><script>alert(1)</script>"', "0.0.0"))
    write_page(tmp_path / "evil.html", replace(page, title="</script><script>alert(2)</script>"))
    evil = (tmp_path / "evil.html").read_text(encoding="utf-8")
    assert evil.count("<script") == evil.count("</script") == scripts
    assert written.count("</script") == scripts


def test_a_table_whose_rows_do_not_fit_is_refused(tmp_path):
    page = Page("t", tables=[Table("Table", ["a", "b"], [["1"]])])
    with pytest.raises(BMENetError, match=r"table 'Table': expected rows of 2 cells; got \['1'\]"):
        write_page(tmp_path / "page.html", page)
    assert os.listdir(tmp_path) == []


def test_a_place_that_takes_no_file_is_told(tmp_path):
    with pytest.raises(BMENetError, match="cannot be written"):
        write_page(tmp_path / ("n" * 255 + ".html"), Page("t"))


def test_a_nilearn_without_the_viewer_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr("bmenet.evaluation.pages.niivue.resources.files", lambda package: tmp_path)
    with pytest.raises(BMENetError, match=r"expected nilearn to ship the viewer niivue .*; nilearn \d+\.\d+"):
        load_niivue()
