from pathlib import Path

import pytest

from bmenet.data.participants import Covariates, dataset_of, read_covariates
from bmenet.runtime.errors import SourceError


def write(folder: Path, text: str, name: str = "table.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (
            "participant_id\tage\tgender\tgroup\nsub-02\t39\tm\tdepr\nsub-01\t50.5\tFemale\tcontrol\n",
            {"sub-02": Covariates(39.0, "M"), "sub-01": Covariates(50.5, "F")},
        ),
        (
            '\ufeff"Image Data ID","Subject","Group","Sex","Age"\n"I1","002_S_0295","CN","M","85"\n',
            {"002_S_0295": Covariates(85.0, "M")},
        ),
        ("subject\na\n\nb\n", {"a": Covariates(), "b": Covariates()}),
        ("subject,age\na,89+\n", {"a": Covariates(89.0)}),
        ("subject,age,sex\na,,\nb,n/a,N/A\nc,,other\n", dict.fromkeys("abc", Covariates())),
    ],
    ids=["BIDS", "ADNI", "names alone", "capped age", "unknown"],
)
def test_read_covariates_understands_tables_of_both_kinds_in_their_order(tmp_path, table, expected):
    read = read_covariates(write(tmp_path, table, "participants.tsv" if "\t" in table else "table.csv"))
    assert list(read.items()) == list(expected.items())


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("", "expected a column participant_id or subject; got none"),
        ("name,age\na,1\n", "expected a column participant_id or subject; got name, age"),
        ("subject,age\na,old\n", "line 2: age: expected years .* got 'old'"),
        ("subject,age\na,inf\n", "age: expected years"),
        ("subject,sex\na,m\nb,1\n", "line 3: sex: expected f, m, .* got '1'"),
        ("subject,sex\na,m\na,f\n", "listed once; got 'a'"),
    ],
)
def test_read_covariates_refuses_a_table_it_cannot_trust(tmp_path, table, message):
    with pytest.raises(SourceError, match=message):
        read_covariates(write(tmp_path, table))
    with pytest.raises(SourceError, match=r"nowhere\.csv: expected a readable table"):
        read_covariates(tmp_path / "nowhere.csv")


def test_dataset_of_is_what_stands_before_the_last_underscore_of_an_id():
    ids = {"ds000011_sub-01": "ds000011", "ixi_2mm_sub-IXI002": "ixi_2mm", "sub-01": ""}
    assert {name: dataset_of(name) for name in ids} == ids
