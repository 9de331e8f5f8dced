"""Divide subjects, never volumes, into train, validation and test: each data set for itself."""

from collections.abc import Iterable, Sequence

from bmenet.config import SourceConfig, SplitConfig, SubsetsConfig
from bmenet.data.names import dataset_of, label_of
from bmenet.runtime.errors import ConfigError
from bmenet.runtime.seeding import derive_seed

Subsets = dict[str, list[str]]
"""Sorted ids of ``train``, ``validation`` and ``test``."""


def split_subjects(ids: Iterable[str], sources: Sequence[SourceConfig], config: SplitConfig, seed: int) -> Subsets:
    """Assign each subject to one subset, within its data set; data sets that are left out go to test.

    Raises
    ------
    ConfigError
        If a data set has too few subjects for its subsets, nobody would be left to train on or to validate with, or a
        subject is of no data set of `sources`.
    """
    members: dict[str, list[str]] = {source.name: [] for source in sources}
    for name in ids:
        if dataset_of(name) not in members:
            raise ConfigError(
                f"{name}: expected a subject of a data set in data.sources ({', '.join(members)}); got none of them;"
                " run `dvc repro`"
            )
        members[dataset_of(name)].append(name)
    total: Subsets = {"train": [], "validation": [], "test": []}
    for source in sources:
        if source.name in config.leave_out:
            subsets: Subsets = {"test": members[source.name]}
        else:
            subsets = split_dataset(members[source.name], source.split or config, seed, source.name)
        for subset, names in subsets.items():
            total[subset] = sorted([*total[subset], *names])
    for subset in ("train", "validation"):
        if not total[subset]:
            counts = ", ".join(f"{name} {len(names)}" for name, names in total.items())
            raise ConfigError(
                f"params.yaml: split.{subset}: expected at least one subject over all data sets; got {counts}; see"
                " split, the splits in data.sources, and split.leave_out"
            )
    return total


def split_dataset(ids: Iterable[str], config: SubsetsConfig, seed: int, dataset: str) -> Subsets:
    """Assign each subject of one data set to one subset.

    Every subject has its own place in a random order that depends on the seed and its label alone: the input's order
    does not matter, and a subject added later pushes few others. Test takes the first places, then validation, then
    train; what is left over goes to train, or to test where train is 0.

    A fraction above zero gives at least one subject; halves are rounded up.

    Raises
    ------
    ConfigError
        If more subjects are asked for than there are.
    """
    order = sorted(set(ids), key=lambda name: (derive_seed(seed, label_of(name), "split"), name))
    numbers = (config.train, config.validation, config.test)
    train, validation, test = (_count(value, len(order), config) for value in numbers)
    if config.are_fractions:
        train = min(train, 1)  # it takes what the others leave
    if train + validation + test > len(order):
        raise ConfigError(
            f"params.yaml: split: expected subsets that fit the {len(order)} subjects of {dataset}; got train"
            f" {config.train:g}, validation {config.validation:g}, test {config.test:g}; give the data set a split of"
            " its own in data.sources"
        )
    if train == 0:
        test = len(order) - validation
    subsets = {"train": order[test + validation :], "validation": order[test : test + validation], "test": order[:test]}
    return {name: sorted(members) for name, members in subsets.items()}


def _count(value: float, total: int, config: SubsetsConfig) -> int:
    """Turn a count or a fraction into a number of subjects."""
    if not config.are_fractions:
        return int(value)
    return max(int(value * total + 0.5), 1) if value > 0 else 0
