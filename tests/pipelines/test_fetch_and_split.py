import json
from itertools import chain

import pytest
import yaml

from bmenet.data.layout import Layout
from bmenet.data.participants import read_table
from bmenet.runtime.errors import BMENetError, SourceError
from bmenet.runtime.files import read_json, write_json
from pipelines import fetch, split


def change(workspace, **data):
    """Change keys of the section `data`."""
    params = yaml.safe_load((workspace / "params.yaml").read_text())
    params["data"] |= data
    (workspace / "params.yaml").write_text(yaml.safe_dump(params))


def test_fetch_makes_the_sample_without_a_network(workspace, monkeypatch):
    monkeypatch.setattr("requests.get", None)
    fetch.main()
    table = read_table(Layout())
    wanted = yaml.safe_load((workspace / "params.yaml").read_text())["data"]["sample"]["subjects"]
    assert read_json("reports/fetch/metrics.json") == {
        "subjects": wanted,
        "failed": 0,
        "bytes": sum((Layout().raw / row.file).stat().st_size for row in table),
    }


def test_fetch_names_all_that_a_mirror_lacks_and_ends_badly(workspace):
    mirror = workspace / "mirror"
    mirror.mkdir()
    (mirror / "participants.tsv").write_text("participant_id\nsub-01\nsub-02\n")
    change(workspace, source="openneuro", mirror=str(mirror))
    with pytest.raises(SourceError, match=r"2 of 2 subjects failed: sub-01: .*sub-02: .*complete the copy"):
        fetch.main()
    assert read_json("reports/fetch/metrics.json")["failed"] == 2


def test_split_divides_the_registered_subjects_with_their_covariates(workspace):
    layout = Layout()
    for number in range(6):
        write_json(layout.transform(f"sub-{number}"), {"age": 60.0 + number, "sex": None})
    split.main()
    written = read_json(layout.split)
    covariates = written.pop("covariates")
    assert sorted(chain(*written.values())) == [f"sub-{number}" for number in range(6)]
    assert covariates["sub-4"] == {"age": 64.0, "sex": None}
    assert read_json("reports/split/metrics.json") == {name: len(members) for name, members in written.items()}
    first = json.dumps(written)
    split.main()
    assert json.dumps({name: read_json(layout.split)[name] for name in written}) == first


def test_split_of_no_subject_is_an_error(workspace):
    with pytest.raises(BMENetError, match="data/registered: expected registered subjects; got none"):
        split.main()
    assert not Layout().split.exists()
