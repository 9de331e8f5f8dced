"""Candidate and champion restore the same validation volumes; what cannot be compared is left to people."""

from dataclasses import replace

import pytest

from bmenet.config import load_config
from bmenet.data.layout import Layout
from bmenet.release.contest import Contest, measure_validation, volumes_hash
from bmenet.runtime.errors import ConfigError, VolumeError, WeightsError
from tests.release.published import SUBJECTS, Brightener, load_brightener, make_bundle, write_validation


@pytest.fixture
def contest(workspace, phantom):
    write_validation(phantom)
    bundle = make_bundle(workspace / "candidate", "1.2")
    return Contest(bundle, SUBJECTS, load_config().publish, 200, 0, Layout(), load_brightener)


def _against(contest, champion):
    return contest.against(champion.digest, champion)


def test_the_values_are_those_of_restored_validation_volumes(contest):
    assert set(contest.values) == set(SUBJECTS)
    # 0.8 x 1.2 leaves 4 % of the intensity missing: 20 log10(1 / (0.04 rms)).
    assert all(26 < of_subject["psnr_brain"] < 33 for of_subject in contest.values.values())
    darker = measure_validation(Brightener(1.0), SUBJECTS, ["111"], Layout(), "measure")
    assert all(darker[subject]["psnr"] < contest.values[subject]["psnr"] for subject in SUBJECTS)
    # Of several codes the value is their mean.
    both, clean, dark = (
        measure_validation(Brightener(1.1), ["sub-01"], codes, Layout(), "measure")["sub-01"]["psnr"]
        for codes in (["000", "111"], ["000"], ["111"])
    )
    assert both == pytest.approx((clean + dark) / 2)
    assert clean != pytest.approx(dark)


def test_the_better_one_is_promoted_and_the_verdict_says_on_what_evidence(contest, workspace):
    assert contest.against(None, None).is_promoted, "there was no champion"
    verdict = _against(contest, make_bundle(workspace / "champion", "1.1"))
    assert verdict.is_promoted
    assert (verdict.metric, verdict.stage, verdict.codes, verdict.subjects) == ("psnr_brain", "coarse", ("111",), 3)
    assert verdict.candidate - verdict.champion == pytest.approx(verdict.gain.mean)
    assert verdict.gain.low > 0
    assert not any(subject in str(verdict) for subject in SUBJECTS)
    assert len(verdict.reasons) == 1
    other = _against(contest, make_bundle(workspace / "other", "1.1", split="3" * 32))
    assert other.is_promoted
    assert "another split: it may have seen these volumes" in other.reasons[1]


def test_a_worse_one_or_the_same_leaves_the_champion(contest, workspace):
    worse = _against(contest, make_bundle(workspace / "champion", "1.24"))
    assert worse.gain.high < 0
    same = contest.against(contest.bundle.digest, None)  # which is not measured again
    assert "nothing new" in same.reasons[0]
    assert (worse.is_promoted, same.is_promoted) == (False, False)


def test_what_cannot_be_measured_is_refused_at_once(contest):
    with pytest.raises(ConfigError, match=r"split\.validation: expected at least one subject"):
        replace(contest, subjects=())
    with pytest.raises(ConfigError, match=r"publish\.stage: expected a stage of the bundle"):
        replace(contest, config=contest.config.model_copy(update={"stage": "fine"}))
    Layout().degraded("sub-03", "111").unlink()
    with pytest.raises(VolumeError, match=r"sub-03.*expected the volumes of every validation subject under the codes"):
        replace(contest)


def test_what_cannot_be_compared_is_left_to_people(contest, workspace):
    fine = contest.config.model_copy(update={"stage": "fine"})
    both = replace(contest, bundle=make_bundle(workspace / "both", "1.2", has_fine=True), config=fine)
    damaged = WeightsError("bundle.json: expected format_version 1; got 9")
    for verdict, reason in (
        (_against(contest, make_bundle(workspace / "grid", "1.0", spacing_mm=2)), "another grid, 2 mm"),
        (contest.against("another", damaged), "cannot be compared: bundle.json: expected format_version 1; got 9"),
        (_against(both, make_bundle(workspace / "coarse_only", "1.0")), "ends with the Coarse-net"),
    ):
        assert (verdict.is_promoted, verdict.gain) == (False, None)
        assert reason in verdict.reasons[0]
        assert "bmenet registry promote" in verdict.reasons[1]


def test_the_hash_of_the_volumes_knows_their_content_and_not_their_names(workspace, phantom):
    layout = Layout()
    write_validation(phantom)
    before = volumes_hash(SUBJECTS, ["111"], layout)
    assert before == volumes_hash(SUBJECTS[::-1], ["111"], layout)
    for path in (layout.clean("sub-01"), layout.degraded("sub-01", "111")):
        path.rename(path.with_name(path.name.replace("sub-01", "sub-77")))
    assert volumes_hash(("sub-77", *SUBJECTS[1:]), ["111"], layout) == before
    assert volumes_hash(SUBJECTS[1:], ["111"], layout) != before
