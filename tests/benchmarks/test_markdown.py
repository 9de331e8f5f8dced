from rich.table import Table

from benchmarks.markdown import write_tables


def test_tables_are_written_without_markup_and_empty_ones_left_out(tmp_path):
    table = Table(title="Cost", caption="BM4D: left out")
    table.add_column("stage")
    table.add_column("s")
    table.add_row("coarse", "[green]+1.5[/]\n\\[1.0, 2.0]")
    write_tables(tmp_path / "cost.md", "Costs", "Of two stages.", [table, Table(title="Nothing")])
    text = (tmp_path / "cost.md").read_text()
    assert text.startswith("# Costs\n\nOf two stages.\n")
    assert "## Cost\n\n| stage | s |\n| --- | ---: |\n| coarse | +1.5 [1.0, 2.0] |\n" in text
    assert "BM4D: left out" in text
    assert "Nothing" not in text
