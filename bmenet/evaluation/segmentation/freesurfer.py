"""FreeSurfer's labels: their names, and the nine regions that Dice overlaps are published for.

The publication names its regions but not the labels in them: the assignment in ``freesurfer_labels.csv`` is this
project's own. Names are those of FreeSurfer's colour table; the table covers aseg, the cortical areas of the
Desikan-Killiany and DKT atlases, and all that FastSurfer finds. The choices that could be made otherwise:

- the cerebral cortex has all of the ribbon, cingulate, entorhinal and parahippocampal areas too; the limbic system has
  hippocampus and amygdala;
- white-matter hypointensities are cerebral white matter; the corpus callosum is not;
- thalamus and ventral diencephalon are neither basal ganglia nor brain stem: they are with the others, as are the CSF
  outside the ventricles, choroid plexus, vessels and the optic chiasm.
"""

from functools import cache
from pathlib import Path

import pandas as pd

from bmenet.runtime.files import sha256

_TABLE = Path(__file__).with_name("freesurfer_labels.csv")

REGIONS = (
    "cerebral cortex",
    "cerebral white matter",
    "ventricles",
    "cerebellum",
    "basal ganglia",
    "limbic system",
    "brain stem",
    "corpus callosum",
    "others",
)
"""In the order of the publication."""


@cache
def freesurfer_names() -> dict[int, str]:
    """Return the name of every label."""
    return _table()["name"].to_dict()


@cache
def freesurfer_regions() -> dict[str, tuple[int, ...]]:
    """Return the labels of every region; each label is in exactly one."""
    groups = _table().groupby("region").groups
    return {region: tuple(map(int, groups[region])) for region in REGIONS}


def table_sha256() -> str:
    """Return the checksum of the table that names and groups the labels."""
    return sha256(_TABLE)


def _table() -> pd.DataFrame:
    """Return name and region by label."""
    return pd.read_csv(_TABLE, index_col="label")
