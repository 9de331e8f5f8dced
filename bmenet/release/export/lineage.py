"""What a bundle tells about where it comes from."""

from pathlib import Path

from bmenet.config import Config
from bmenet.data.layout import Layout
from bmenet.networks.fine_weights import KINDS
from bmenet.tracking.lineage import code_tags, input_hashes


def bundle_inputs(layout: Layout) -> list[Path]:
    """Return the files and folders of a workspace that a bundle comes from."""
    data = [layout.registered, layout.degraded_folder, layout.split]
    return [*data, *(layout.weights(kind) for kind in ("coarse", *KINDS))]


def bundle_lineage(config: Config, layout: Layout) -> dict[str, str]:
    """Return profile, data source, git commit and the DVC hashes of data and weights; no paths of a machine, no people.

    Parameters
    ----------
    config : Config
    layout : Layout
    """
    commit = code_tags()
    return {
        "profile": config.profile,
        "data.source": config.data.source,
        "degradation.severity": config.degradation.severity,
        "seed": str(config.seed),
        **({"git.commit": commit["mlflow.source.git.commit"], "git.dirty": commit["git.dirty"]} if commit else {}),
        **{f"dvc.md5.{path}": md5 for path, md5 in input_hashes(bundle_inputs(layout)).items()},
    }
