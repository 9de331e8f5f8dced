import pytest

from bmenet.data.mr_art import MR_ART_BUCKET, MatchedPair, MrArt
from bmenet.runtime.errors import SourceError

LABELS = ("standard", "headmotion1", "headmotion2")


def location(subject, label):
    return f"{subject}/anat/{subject}_acq-{label}_T1w.nii.gz"


@pytest.fixture
def mirror(tmp_path):
    """Three people: one with everything, one without headmotion1, one without a still scan."""
    root = tmp_path / "mirror"
    people = {"sub-000103": LABELS, "sub-000148": (LABELS[0], LABELS[2]), "sub-000149": LABELS[1:]}
    for subject, labels in people.items():
        for label in labels:
            path = root / location(subject, label)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"scan")
    (root / "participants.tsv").write_text(
        "participant_id\tsex\tage\nsub-000103\tM\t24.45\nsub-000148\tF\t25.01\nsub-000149\tF\t44.32\n"
    )
    scores = "".join(f"anat/sub-000103_acq-{label}_T1w.nii.gz\t{score}\n" for score, label in enumerate(LABELS, 1))
    (root / "sub-000103" / "sub-000103_scans.tsv").write_text(f"filename\tscore\n{scores}")
    return root


@pytest.fixture
def remote(mirror, server, tmp_path):
    server.is_s3 = True
    for path in (path for path in mirror.rglob("*") if path.is_file()):
        server.files[f"ds004173/{path.relative_to(mirror)}"] = path.read_bytes()
    return MrArt.at(f"{server.url}/ds004173/", tmp_path / "downloads")


@pytest.fixture(params=["folder", "url"])
def source(request, mirror, remote, tmp_path):
    return remote if request.param == "url" else MrArt.at(str(mirror), tmp_path / "downloads")


def test_find_pairs_matches_every_moved_scan_with_the_still_one_and_tells_what_is_missing(source):
    assert source.subjects() == ["sub-000103", "sub-000148", "sub-000149"]
    found = source.find_pairs("sub-000103")
    assert found.missing == ()
    still = location("sub-000103", "standard")
    assert found.pairs == tuple(
        MatchedPair("sub-000103", still, location("sub-000103", label), label, score)
        for score, label in ((2, "headmotion1"), (3, "headmotion2"))
    )
    one_moved, no_still = source.find_pairs("sub-000148"), source.find_pairs("sub-000149")
    assert [(pair.acquisition, pair.score) for pair in one_moved.pairs] == [("headmotion2", None)]
    assert one_moved.missing == ("headmotion1",)
    assert (no_still.pairs, no_still.missing) == ((), ("standard",))


def test_a_table_of_scans_may_lack_scores_and_must_be_readable(mirror, tmp_path):
    data_set, table = MrArt.at(str(mirror), tmp_path), mirror / "sub-000103" / "sub-000103_scans.tsv"
    for without in ("filename\nanat/x.nii.gz\n", "filename\tscore\nanat/x.nii.gz\tn/a\n"):
        table.write_text(without)
        assert [pair.score for pair in data_set.find_pairs("sub-000103").pairs] == [None, None]
    for wrong in ("filename\tscore\nanat/x.nii.gz\tbad\n", "score\n1\n"):
        table.write_text(wrong)
        with pytest.raises(SourceError, match=r"sub-000103_scans\.tsv: expected the columns filename and score"):
            data_set.find_pairs("sub-000103")


def test_the_public_bucket_is_the_default_and_a_folder_must_be_there(tmp_path):
    assert MrArt.at(None, tmp_path).base == MR_ART_BUCKET
    with pytest.raises(SourceError, match=r"expected a folder or a URL with participants\.tsv .*; got 'nowhere'"):
        MrArt.at("nowhere", tmp_path)
