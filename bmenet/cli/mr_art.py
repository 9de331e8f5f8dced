"""`bmenet mr-art`: real motion instead of a simulated one."""

import json
from pathlib import Path
from typing import Annotated, Literal, get_args

import typer

from bmenet.cli.arguments import ModelOption, sampling_with
from bmenet.cli.errors import exit_on_error
from bmenet.config.evaluate import Baseline
from bmenet.data.layout import Layout
from bmenet.runtime.errors import BMENetError

_BASELINES = get_args(Baseline)
_REPORT = Layout().report("mr_art")


def mr_art(
    root: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER|URL",
            help="The data set or a mirror of it: participants.tsv and sub-*/anat/sub-*_acq-*_T1w.nii.gz. "
            "By default OpenNeuro's public bucket, from which each scan is downloaded when its turn comes.",
        ),
    ] = None,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where the report goes.")] = _REPORT,
    subjects: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Only the first N people.", show_default="all")
    ] = None,
    baselines: Annotated[
        str, typer.Option(metavar="LIST", help=f"Compared with, comma-separated: of {', '.join(_BASELINES)}, or none.")
    ] = "n4,n4_nlm",
    stage: Annotated[
        Literal["coarse", "fine"],
        typer.Option(help="How far to go: the 2D network alone, or 3D diffusion after it too."),
    ] = "coarse",
    model: ModelOption = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap, and of the second stage's noise.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print metrics.json instead of the report's path.")] = False,
) -> None:
    """Evaluate on people who really moved: MR-ART, matched still and moved scans of 148 healthy adults.

    The still scan of a person is the reference; the moved scans (headmotion1: slight, headmotion2: stronger) are what
    the network and the baselines restore, brought onto the still scan by a rigid registration. The still scan is
    restored as well, and should come out as it went in. Nothing of this is simulated.

    Data: OpenNeuro ds004173, CC0 (Narai et al. 2022, doi:10.1038/s41597-022-01694-8), 436 whole heads without faces,
    192 x 256 x 256 voxels of 1 mm: about 10 MB each, 4 to 5 GB in all. A download is not kept; the brains on the
    network's grid are, in data/matched, so that other weights or methods start from these. Try --subjects 5 first.

    Writes results.md, metrics.json, volumes.csv and before_after.png. What is finished is kept: after an interruption,
    run the same command again. If some scans fail, the report covers the others, stderr says why, and the exit code
    is 1. BMENET_WORKERS sets the number of processes.
    """
    compared = _parse(baselines)
    with exit_on_error():
        from bmenet.data.mr_art import MrArt
        from bmenet.evaluation.baselines import require_package
        from bmenet.evaluation.matched.person import MatchedEvaluation
        from bmenet.evaluation.matched.report import evaluate_people
        from bmenet.evaluation.methods import method_names
        from bmenet.release.models import find_model

        if "n4_bm4d" in compared:
            require_package()
        layout = Layout()
        source = MrArt.at(root, layout.downloads / "mr_art")
        with find_model(model) as found:
            methods = method_names(compared, ["fine"] if stage == "fine" else [])
            own = found.bundle.manifest.fine if found.bundle else None
            sampling = sampling_with({}, None, own.sampling if own else None)
            evaluation = MatchedEvaluation.of_weights(source, methods, found.coarse, layout, sampling, seed)
            people = source.subjects()[:subjects]
            typer.echo(f"model: {found.name}", err=True)
            record = evaluate_people(people, evaluation, out)
        typer.echo(json.dumps(record, indent=2) if as_json else out / "results.md")
        if record["failures"]:
            listed = "; ".join(f"{name} ({reason})" for name, reason in record["failures"].items())
            raise BMENetError(f"mr-art: {len(record['failures'])} failed, and the report is about the others: {listed}")


def _parse(baselines: str) -> list[str]:
    """Split the names of the baselines; refuse unknown and repeated ones as wrong use."""
    names = [] if baselines == "none" else [name.strip() for name in baselines.split(",")]
    if set(names) - set(_BASELINES) or len(set(names)) < len(names):
        raise typer.BadParameter(
            f"expected 'none' or distinct names of {', '.join(_BASELINES)} with commas between; got {baselines!r}",
            param_hint="--baselines",
        )
    return names
