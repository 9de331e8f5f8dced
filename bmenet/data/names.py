"""Ids of subjects across data sets: the data set's name, an underscore, the person's label in it."""


def full_id(dataset: str, label: str) -> str:
    """Return the id of a data set's subject.

    Examples
    --------
    >>> full_id("ds000011", "sub-01")
    'ds000011_sub-01'
    """
    return f"{dataset}_{label}"


def dataset_of(subject: str) -> str:
    """Return the name of a subject's data set; empty for an id that has none.

    Examples
    --------
    >>> dataset_of("ds000011_sub-01")
    'ds000011'
    """
    return subject.rpartition("_")[0]


def label_of(subject: str) -> str:
    """Return a subject's label in its data set.

    Examples
    --------
    >>> label_of("ds000011_sub-01")
    'sub-01'
    """
    return subject.rpartition("_")[2]
