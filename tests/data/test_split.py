from itertools import chain

import pytest

from bmenet.config import SourceConfig, SplitConfig, SubsetsConfig
from bmenet.config.profiles import load_profile
from bmenet.data.split import split_dataset, split_subjects
from bmenet.runtime.errors import ConfigError

IDS = [f"sub-{number:02d}" for number in range(1, 49)]


def split(ids, train, validation, test, seed=0):
    return split_dataset(ids, SubsetsConfig(train=train, validation=validation, test=test), seed, "ds")


def sizes(subsets):
    return tuple(len(subsets[name]) for name in ("train", "validation", "test"))


@pytest.mark.parametrize(
    ("ids", "numbers", "expected"),
    [
        (IDS, (40, 4, 4), (40, 4, 4)),
        (IDS, (8, 4, 4), (40, 4, 4)),
        (IDS, (1, 0, 2), (46, 0, 2)),
        (IDS, (0, 5, 8), (0, 5, 43)),
        (IDS, (0, 0, 1.0), (0, 0, 48)),
        (IDS, (0, 24, 24), (0, 24, 24)),
        (IDS[:1], (1, 0, 0), (1, 0, 0)),
        (IDS, (0.7, 0.15, 0.15), (34, 7, 7)),
        (IDS, (1.0, 0, 0), (48, 0, 0)),
        (IDS[:4], (0.8, 0.1, 0.1), (2, 1, 1)),
        ([f"{number:03d}-S-{number:04d}" for number in range(211)], (146, 31, 31), (149, 31, 31)),
    ],
)
def test_split_dataset_honours_counts_and_fractions_and_gives_the_rest_to_train(ids, numbers, expected):
    subsets = split(ids, *numbers)
    assert sizes(subsets) == expected
    assert sorted(chain(*subsets.values())) == ids


def test_split_dataset_depends_on_the_seed_alone_and_moves_few_when_others_join():
    assert split(IDS, 40, 4, 4, seed=1) == split(IDS[::-1], 40, 4, 4, seed=1)
    assert split(IDS, 40, 4, 4, seed=1)["test"] != split(IDS, 40, 4, 4, seed=2)["test"]
    before, after = split(IDS[:40], 30, 4, 6)["test"], split(IDS, 30, 4, 6)["test"]
    assert len(set(after) - set(before)) == len(set(after) - set(IDS[:40]))


@pytest.mark.parametrize("numbers", [(45, 4, 4), (0, 24, 25), (0.001, 0.5, 0.499)])
def test_split_dataset_refuses_more_than_there_is(numbers):
    with pytest.raises(ConfigError, match=r"split: expected subsets that fit the 48 subjects of ds; .* of its own in"):
        split(IDS, *numbers)


@pytest.mark.parametrize("numbers", [(0.8, 4, 4), (10.5, 4, 4), (0.8, 0.2, 0.2)])
def test_split_config_refuses_a_mixture_of_counts_and_fractions(numbers):
    with pytest.raises(ValueError, match="three whole numbers, or three fractions with a sum of at most 1"):
        split(IDS, *numbers)


SCANNERS = [SourceConfig(source="folder", name=name) for name in ("one", "two")]
PEOPLE = [f"{source.name}_{name}" for source in SCANNERS for name in IDS[:10]]


def labels(names, dataset):
    return [name.removeprefix(f"{dataset}_") for name in names if name.startswith(f"{dataset}_")]


def test_split_subjects_divides_every_data_set_as_if_it_were_alone():
    config = SplitConfig(train=6, validation=1, test=3)
    subsets, alone = split_subjects(PEOPLE, SCANNERS, config, 1), split(IDS[:10], 6, 1, 3, seed=1)
    for source in SCANNERS:
        assert {name: labels(members, source.name) for name, members in subsets.items()} == alone
    assert sorted(chain(*subsets.values())) == sorted(PEOPLE)
    assert all(members == sorted(members) for members in subsets.values())


def test_split_subjects_gives_a_data_set_its_own_split():
    own = SourceConfig(source="folder", name="two", split=SubsetsConfig(train=0, validation=0, test=1))
    config = SplitConfig(train=6, validation=1, test=3)
    subsets = split_subjects(PEOPLE, [SCANNERS[0], own], config, 1)
    assert sizes(subsets) == (6, 1, 13)
    assert labels(subsets["test"], "two") == IDS[:10]


def test_split_subjects_keeps_a_left_out_data_set_for_the_test():
    config = SplitConfig(train=6, validation=1, test=3, leave_out=["one"])
    subsets = split_subjects(PEOPLE, SCANNERS, config, 1)
    assert sizes(subsets) == (6, 1, 13)
    assert labels(subsets["test"], "one") == IDS[:10]
    assert labels(subsets["test"], "two") == split(IDS[:10], 6, 1, 3, seed=1)["test"]


@pytest.mark.parametrize(
    ("config", "subset"),
    [
        (SplitConfig(train=0, validation=1, test=3), "train"),
        (SplitConfig(train=6, validation=0, test=3), "validation"),
        (SplitConfig(train=6, validation=1, test=3, leave_out=["one", "two"]), "train"),
    ],
)
def test_split_subjects_refuses_to_leave_nobody_to_train_or_to_validate(config, subset):
    with pytest.raises(ConfigError, match=rf"split\.{subset}: expected at least one subject over all data sets; got"):
        split_subjects(PEOPLE, SCANNERS, config, 1)


def test_split_subjects_refuses_a_subject_of_no_data_set():
    for name in ("three_sub-01", "sub-01"):
        with pytest.raises(ConfigError, match=rf"^{name}: expected .*data\.sources \(one, two\)"):
            split_subjects([*PEOPLE, name], SCANNERS, SplitConfig(train=6, validation=1, test=3), 1)


def test_split_of_ds002748_in_the_profile_full_is_that_of_the_released_networks():
    config = load_profile("full")
    others = [f"ds000011_sub-{number:02d}" for number in (1, 2, 3, 5, 6, 7, 8, 9, 10, 12)]
    ids = [f"ds002748_{name}" for name in IDS] + others
    subsets = split_subjects(ids, config.data.sources, config.split, config.seed)
    assert sizes(subsets) == (41, 6, 11)
    for subset, numbers in {"validation": (3, 16, 25, 38, 48), "test": (11, 19, 27, 32, 37, 39, 40, 45)}.items():
        assert labels(subsets[subset], "ds002748") == [f"sub-{number:02d}" for number in numbers]
    assert [len(labels(subsets[subset], "ds000011")) for subset in ("train", "validation", "test")] == [6, 1, 3]
