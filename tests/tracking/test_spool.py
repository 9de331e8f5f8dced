import json

import pytest

from bmenet.tracking.spool import Spool, idle_spools


@pytest.fixture
def spool(tmp_path):
    return Spool.create(tmp_path, "train_coarse", "bmenet", None)


def kinds(spool, offset=0):
    return [record["kind"] for record, _ in spool.records(offset)]


def test_records_come_back_in_order_and_from_any_mark(spool):
    for kind in ("start", "tags", "end"):
        spool.append(kind)
    after_first = next(spool.records())[1]
    assert kinds(spool) == ["start", "tags", "end"]
    assert kinds(spool, after_first) == ["tags", "end"]


def test_records_wait_for_the_end_of_a_line_that_is_being_written(spool):
    spool.append("start")
    with open(spool.folder / "records.jsonl", "a") as handle:
        handle.write('{"kind": "ta')
    assert kinds(spool) == ["start"]


def test_records_leave_out_a_torn_line(spool):
    with open(spool.folder / "records.jsonl", "a") as handle:
        handle.write('{"kind": "ta\n')
    spool.append("end")
    assert kinds(spool) == ["end"]


def test_batches_join_neighbouring_metrics_only(spool):
    spool.append("metrics", values={"loss": 3.0, "lr": 0.1}, step=1)
    spool.append("metrics", values={"loss": 2.0}, step=2)
    spool.append("tags", values={})
    spool.append("metrics", values={"loss": 1.0}, step=3)
    batches = list(spool.batches(0))
    assert [batch["kind"] for batch, _ in batches] == ["metrics", "tags", "metrics"]
    assert [(key, value, step) for key, value, _, step in batches[0][0]["values"]] == [
        ("loss", 3.0, 1),
        ("lr", 0.1, 1),
        ("loss", 2.0, 2),
    ]


def test_batches_end_where_the_next_one_begins_and_stay_small(spool):
    for step in range(2500):
        spool.append("metrics", values={"loss": float(step)}, step=step)
    spool.append("end")
    batches = list(spool.batches(0))
    assert [len(batch.get("values", ())) for batch, _ in batches] == [1000, 1000, 500, 0]
    for number, (_, offset) in enumerate(batches):
        assert list(spool.batches(offset)) == batches[number + 1 :]


def test_mark_counts_for_one_store_only(spool):
    spool.append("end")
    spool.mark_sent("here", "run", next(spool.records())[1])
    assert spool.is_sent("here")
    assert not spool.is_sent("elsewhere")
    assert spool.sent("elsewhere") == (None, 0)


def test_idle_spools_are_those_that_no_living_process_owns(spool, tmp_path):
    assert idle_spools(tmp_path) == []
    header = spool.folder / "run.json"
    header.write_text(json.dumps(json.loads(header.read_text()) | {"process_started": 0.0}))  # its number was reused
    assert [idle.folder for idle in idle_spools(tmp_path)] == [spool.folder]
    spool.own()
    assert idle_spools(tmp_path) == []
    spool.release()
    assert [idle.folder for idle in idle_spools(tmp_path)] == [spool.folder]
