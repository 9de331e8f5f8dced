import json
from itertools import chain

import pytest

from bmenet.data.layout import Layout
from bmenet.runtime.errors import BMENetError
from bmenet.runtime.files import read_json, write_json
from pipelines import split


def test_split_divides_the_registered_subjects_with_their_covariates(workspace):
    layout = Layout()
    for number in range(6):
        write_json(layout.transform(f"sample_sub-{number}"), {"age": 60.0 + number, "sex": None})
    split.main()
    written = read_json(layout.split)
    covariates = written.pop("covariates")
    assert sorted(chain(*written.values())) == [f"sample_sub-{number}" for number in range(6)]
    assert covariates["sample_sub-4"] == {"age": 64.0, "sex": None}
    assert read_json("reports/split/metrics.json") == {name: len(members) for name, members in written.items()}
    first = json.dumps(written)
    split.main()
    assert json.dumps({name: read_json(layout.split)[name] for name in written}) == first


def test_split_of_no_subject_is_an_error(workspace):
    with pytest.raises(BMENetError, match="data/registered: expected registered subjects; got none"):
        split.main()
    assert not Layout().split.exists()
