import pytest
import yaml

from bmenet.runtime.errors import SourceError
from bmenet.runtime.files import read_json
from pipelines import fetch


def test_fetch_names_all_that_a_mirror_lacks_and_ends_badly(workspace):
    mirror = workspace / "mirror"
    mirror.mkdir()
    (mirror / "participants.tsv").write_text("participant_id\nsub-01\nsub-02\n")
    params = yaml.safe_load((workspace / "params.yaml").read_text())
    params["data"] |= {"source": "openneuro", "mirror": str(mirror)}
    (workspace / "params.yaml").write_text(yaml.safe_dump(params))
    with pytest.raises(SourceError, match=r"2 of 2 subjects failed: sub-01: .*sub-02: .*complete the copy"):
        fetch.main()
    assert read_json("reports/fetch/metrics.json")["failed"] == 2
