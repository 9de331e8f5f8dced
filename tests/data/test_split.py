from itertools import chain

import pytest

from bmenet.config import SplitConfig
from bmenet.data.split import split_subjects
from bmenet.runtime.errors import ConfigError

IDS = [f"sub-{number:02d}" for number in range(1, 49)]


def split(ids, train, validation, test, seed=0):
    return split_subjects(ids, SplitConfig(train=train, validation=validation, test=test), seed)


def sizes(subsets):
    return tuple(len(subsets[name]) for name in ("train", "validation", "test"))


@pytest.mark.parametrize(
    ("ids", "numbers", "expected"),
    [
        (IDS, (40, 4, 4), (40, 4, 4)),
        (IDS, (8, 4, 4), (40, 4, 4)),
        (IDS, (0, 0, 2), (46, 0, 2)),
        (IDS, (0.7, 0.15, 0.15), (34, 7, 7)),
        (IDS, (1.0, 0, 0), (48, 0, 0)),
        (IDS[:4], (0.8, 0.1, 0.1), (2, 1, 1)),
        ([f"{number:03d}-S-{number:04d}" for number in range(211)], (146, 31, 31), (149, 31, 31)),
    ],
)
def test_split_subjects_honours_counts_and_fractions_and_gives_the_rest_to_train(ids, numbers, expected):
    subsets = split(ids, *numbers)
    assert sizes(subsets) == expected
    assert sorted(chain(*subsets.values())) == ids


def test_split_subjects_depends_on_the_seed_alone_and_moves_few_when_others_join():
    assert split(IDS, 40, 4, 4, seed=1) == split(IDS[::-1], 40, 4, 4, seed=1)
    assert split(IDS, 40, 4, 4, seed=1)["test"] != split(IDS, 40, 4, 4, seed=2)["test"]
    before, after = split(IDS[:40], 30, 4, 6)["test"], split(IDS, 30, 4, 6)["test"]
    assert len(set(after) - set(before)) == len(set(after) - set(IDS[:40]))


@pytest.mark.parametrize("numbers", [(45, 4, 4), (0, 24, 24), (0, 0, 1.0), (0, 0.5, 0.5)])
def test_split_subjects_refuses_more_than_there_is(numbers):
    with pytest.raises(ConfigError, match="split: expected subsets that fit 48 subjects and leave one to train on"):
        split(IDS, *numbers)


@pytest.mark.parametrize("numbers", [(0.8, 4, 4), (10.5, 4, 4), (0.8, 0.2, 0.2)])
def test_split_config_refuses_a_mixture_of_counts_and_fractions(numbers):
    with pytest.raises(ValueError, match="three whole numbers, or three fractions with a sum of at most 1"):
        split(IDS, *numbers)
