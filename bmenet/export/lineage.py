"""What a bundle tells about where it comes from."""

from collections.abc import Iterable
from pathlib import Path

from bmenet.config import Config
from bmenet.tracking.lineage import code_tags, input_hashes


def bundle_lineage(config: Config, inputs: Iterable[Path]) -> dict[str, str]:
    """Return profile, data source, git commit and the DVC hashes of data and weights; no paths of a machine, no people.

    Parameters
    ----------
    config : Config
    inputs : iterable of Path
        Of the workspace.
    """
    commit = code_tags()
    return {
        "profile": config.profile,
        "data.source": config.data.source,
        "degradation.severity": config.degradation.severity,
        "seed": str(config.seed),
        **({"git.commit": commit["mlflow.source.git.commit"], "git.dirty": commit["git.dirty"]} if commit else {}),
        **{f"dvc.md5.{path}": md5 for path, md5 in input_hashes(inputs).items()},
    }
