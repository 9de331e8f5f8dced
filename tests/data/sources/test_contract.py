"""What every source in the table promises; a new source needs a line in `make_ready`."""

import re
from pathlib import Path

import numpy as np
import pytest

from bmenet.config import SourceConfig, load_config
from bmenet.data.sources import SOURCES, Entry, open_datasets, select
from bmenet.data.sources.base import Subject, subject_id
from bmenet.runtime.errors import SourceError

SUBJECTS = [Subject(f"sub-{number:02d}", "") for number in range(1, 6)]


def make_ready(name, folder, write_scan):
    """Lay out two subjects for a source and return the keys of its entry that point to them."""
    root = folder / "there"
    for subject in ("sub-01", "sub-02"):
        write_scan(root / subject / "anat" / f"{subject}_T1w.nii.gz")
    (root / "participants.tsv").write_text("participant_id\tage\tsex\nsub-01\t39\tF\nsub-02\tn/a\tM\n")
    return {
        "sample": {},
        "openneuro": {"dataset": "ds002748", "mirror": str(root)},
        "bids": {"root": str(root)},
        "folder": {"root": str(root)},
    }[name]


@pytest.fixture(params=SOURCES)
def source(request, workspace, write_scan):
    settings = SourceConfig(source=request.param, **make_ready(request.param, workspace, write_scan))
    return SOURCES[request.param](Entry(settings, "data.sources[0]", load_config(), workspace / "downloads"))


def test_source_lists_distinct_safe_subjects_the_same_way_each_time(source):
    subjects = source.subjects()
    assert select(subjects, 2) == subjects[:2]
    assert all(re.fullmatch("[A-Za-z0-9-]+", subject.id) for subject in subjects)
    assert source.subjects() == subjects


def test_source_reads_the_same_scan_each_time_and_tells_scans_apart(source):
    first, second = source.subjects()[:2]
    assert source.fingerprint(first) == source.fingerprint(first) != source.fingerprint(second)
    scan = source.read(first, print)
    assert scan.volume.data.ndim == 3
    assert scan.volume.data.max() > scan.volume.data.min()
    assert np.array_equal(scan.volume.data, source.read(first, print).volume.data)
    assert not np.array_equal(scan.volume.data, source.read(second, print).volume.data)


@pytest.mark.parametrize("name", ["bids", "folder"])
def test_source_needs_its_root(name, workspace):
    for root in (None, "nowhere"):
        with pytest.raises(
            SourceError, match=rf"data\.sources\[1\]\.root: expected the folder with the scans of source {name}; got"
        ):
            open_datasets(with_sources({"source": "sample"}, {"source": name, "root": root}), workspace)


def with_sources(*sources):
    """The profile smoke with other data sets."""
    config = load_config()
    data = config.data.model_copy(update={"sources": [SourceConfig(**source) for source in sources]})
    return config.model_copy(update={"data": data})


def test_data_sets_have_their_own_subjects_and_downloads(workspace, write_scan):
    keys = make_ready("openneuro", workspace, write_scan)
    first, second = (
        {"source": "openneuro", "name": "first", **keys, "subjects": ["sub-02"]},
        {"source": "openneuro", **keys, "dataset": "ds000011"},
    )
    found = open_datasets(with_sources(first, second, {"source": "sample"}), Path("downloads"))
    assert [(dataset.name, dataset.kind, len(dataset.subjects)) for dataset in found] == [
        ("first", "openneuro", 1),
        ("ds000011", "openneuro", 2),
        ("sample", "sample", 4),
    ]
    assert [dataset.source.bucket.downloads for dataset in found[:2]] == [
        Path("downloads/first"),
        Path("downloads/ds000011"),
    ]
    with pytest.raises(SourceError, match=r"params\.yaml: data\.sources\[1\]\.subjects: expected at most all 2; got 9"):
        open_datasets(with_sources(first, second | {"subjects": 9}), workspace)


@pytest.mark.parametrize(
    ("label", "expected"), [("002_S_0295", "002-S-0295"), ("../a b", "a-b"), ("sub-01", "sub-01"), ("Zoë^K", "Zo-K")]
)
def test_subject_id_is_safe_in_file_names(label, expected):
    assert subject_id(label) == expected


def test_select_takes_all_the_first_or_the_named():
    assert select(SUBJECTS, None) == SUBJECTS
    assert select(SUBJECTS, 2) == SUBJECTS[:2]
    assert select(SUBJECTS, ["sub-04", "sub_01", "sub-04"]) == [SUBJECTS[3], SUBJECTS[0]]


@pytest.mark.parametrize(
    ("subjects", "wanted", "message"),
    [
        ([], None, "expected a source with T1w scans"),
        (SUBJECTS, 6, "at most all 5; got 6"),
        (SUBJECTS, ["sub-02", "sub-77", "sub-78"], "such as 'sub-01'; got sub-77, sub-78"),
        ([*SUBJECTS, SUBJECTS[2]], None, "got several for sub-03"),
    ],
)
def test_select_refuses_what_the_source_cannot_give(subjects, wanted, message):
    with pytest.raises(SourceError, match=message):
        select(subjects, wanted)
