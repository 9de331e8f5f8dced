"""Divide subjects, never volumes, into train, validation and test."""

from collections.abc import Iterable

from bmenet.config import SplitConfig
from bmenet.runtime.errors import ConfigError
from bmenet.runtime.seeding import derive_seed


def split_subjects(ids: Iterable[str], config: SplitConfig, seed: int) -> dict[str, list[str]]:
    """Assign each subject to one subset.

    Every id has its own place in a random order that depends on the seed and the id alone: the input's order does not
    matter, and a subject added later pushes few others. Test takes the first places, then validation, then train;
    what is left over goes to train.

    A fraction above zero gives at least one subject; halves are rounded up. The answer leads from ``train``,
    ``validation`` and ``test`` to sorted lists of ids.

    Raises
    ------
    ConfigError
        If more subjects are asked for than there are, or none would be left to train on.
    """
    order = sorted(set(ids), key=lambda name: (derive_seed(seed, name, "split"), name))
    validation, test = (_count(value, len(order), config) for value in (config.validation, config.test))
    train = max(1, 0 if config.are_fractions else int(config.train))
    if train + validation + test > len(order):
        raise ConfigError(
            f"params.yaml: split: expected subsets that fit {len(order)} subjects and leave one to train on; "
            f"got train {config.train:g}, validation {config.validation:g}, test {config.test:g}"
        )
    subsets = {"train": order[test + validation :], "validation": order[test : test + validation], "test": order[:test]}
    return {name: sorted(members) for name, members in subsets.items()}


def _count(value: float, total: int, config: SplitConfig) -> int:
    """Turn a count or a fraction into a number of subjects."""
    if not config.are_fractions:
        return int(value)
    return max(int(value * total + 0.5), 1) if value > 0 else 0
