import pytest
import yaml

from bmenet.data.layout import Layout
from bmenet.data.participants import read_table
from bmenet.runtime.errors import SourceError
from bmenet.runtime.files import read_json
from pipelines import fetch


@pytest.fixture
def mirrors(workspace, write_scan):
    """Mirrors of two data sets, both with a sub-01, as params.yaml has them."""
    sources = []
    for dataset, people in (("ds002748", ("sub-01", "sub-02")), ("ds000011", ("sub-01",))):
        root = workspace / dataset
        for name in people:
            write_scan(root / name / "anat" / f"{name}_T1w.nii.gz")
        rows = "".join(f"{name}\t{len(people)}\n" for name in people)
        (root / "participants.tsv").write_text(f"participant_id\tage\n{rows}")
        sources.append({"source": "openneuro", "dataset": dataset, "mirror": dataset})
    write_sources(sources)
    return sources


def write_sources(sources):
    with open("params.yaml") as file:
        params = yaml.safe_load(file)
    params["data"]["sources"] = sources
    with open("params.yaml", "w") as file:
        yaml.safe_dump(params, file)


def test_fetch_brings_people_of_two_data_sets_and_removes_those_who_are_gone(mirrors):
    fetch.main()
    rows = [(row.id, row.dataset, row.age) for row in read_table(Layout())]
    assert rows == [
        ("ds000011_sub-01", "ds000011", 1.0),
        ("ds002748_sub-01", "ds002748", 2.0),
        ("ds002748_sub-02", "ds002748", 2.0),
    ]
    assert read_json("reports/fetch/metrics.json")["subjects"] == 3
    write_sources(mirrors[1:])
    fetch.main()
    assert [path.name for path in Layout().raw.glob("*.nii.gz")] == ["ds000011_sub-01_T1w.nii.gz"]


def test_fetch_names_all_that_a_mirror_lacks_and_ends_badly(workspace, mirrors):
    for path in (workspace / "ds002748").rglob("*.nii.gz"):
        path.unlink()
    with pytest.raises(
        SourceError, match=r"2 of 3 subjects failed: ds002748_sub-01: .*ds002748_sub-02: .*complete the copy"
    ):
        fetch.main()
    assert read_json("reports/fetch/metrics.json")["failed"] == 2
    assert [row.id for row in read_table(Layout())] == ["ds000011_sub-01"]
