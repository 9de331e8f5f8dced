"""`bmenet tune`: find better values on validation volumes, and write them into params.yaml if asked to."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bmenet.cli.errors import exit_on_error
from bmenet.config import Config, flatten, load_config, with_values
from bmenet.config.profiles import Profiles
from bmenet.data.layout import Layout
from bmenet.runtime.errors import ConfigError

if TYPE_CHECKING:
    from bmenet.tuning.report import Found


def tune(
    scope: Annotated[
        Literal["sampling", "training"] | None,
        typer.Option(help="sampling: the trained networks, sampled otherwise; training: short trainings."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes of this call; by default BMENET_WORKERS, else one a core.")
    ] = None,
    trials: Annotated[int | None, typer.Option(min=0, help="Of the whole study; 0 runs none and reports.")] = None,
    timeout: Annotated[float | None, typer.Option(metavar="SECONDS", min=1, help="No trial begins after that.")] = None,
    objective: Annotated[
        list[str] | None, typer.Option(help="A composite of tune.composites, or seconds; give it twice for a front.")
    ] = None,
    sampler: Annotated[str | None, typer.Option(help="tpe, gp, cmaes, nsga2 or random.")] = None,
    pruner: Annotated[
        str | None, typer.Option(help="none, median, percentile, hyperband, successive_halving or patient.")
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="A database that several machines share; by default BMENET_STUDIES, else a file of the workspace.",
        ),
    ] = None,
    trial: Annotated[
        int | None, typer.Option(min=0, help="Take this trial for the best, such as one of a front.")
    ] = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Write the best values into params.yaml; comments and layout stay.")
    ] = False,
) -> None:
    """Search the values of `tune.search_space` that do best on validation volumes; test volumes are never read.

    Options take the place of the section `tune` of params.yaml for this call. A study is named after its volumes,
    weights and ranges: the same call goes on with it, in other terminals and on other machines too (with `--storage`),
    until all of them together have run `--trials`. Ctrl-C puts the running trials back. The report, with plots, is
    reports/tune/study.html.

    Examples: `bmenet tune --workers 4`, `bmenet tune --objective quality --objective seconds --pruner none`,
    `bmenet tune --apply`, then `dvc repro`.
    """
    with exit_on_error():
        from bmenet.runtime.parallel import default_workers
        from bmenet.tuning.run import tune as run

        given = {
            "scope": scope,
            "trials": trials,
            "timeout_s": timeout,
            "objectives": objective or None,
            "sampler": sampler,
            "pruner": pruner,
        }
        changes = {f"tune.{name}": value for name, value in given.items() if value is not None}
        config = with_values(load_config(), changes, "tune")
        found = run(config, Layout(), workers or default_workers(), trial, storage)
        _print(found, flatten(config))
        if apply:
            _apply(found, config, trial)


def _print(found: "Found", present: dict[str, Any]) -> None:
    """Print the best values beside the present ones on stdout, and what they are worth."""
    from bmenet.tuning.report import gain_table

    assert found.best is not None  # `run` raises where there is none
    table = Table("key", "params.yaml", f"trial {found.best.number}")
    for key, value in found.values.items():
        table.add_row(key, Text(str(present.get(key))), Text(str(value)))
    Console().print(table)
    gains = Table("gain over the values before, on validation subjects", "mean", "95 % interval")
    for row in gain_table(found).itertuples(index=False):
        gains.add_row(*row)
    if gains.row_count:
        Console().print(gains)


def _apply(found: "Found", config: "Config", trial: int | None) -> None:
    """Write the best values into params.yaml, and show what changed."""
    from bmenet.cli.profile import print_changes

    if len(config.tune.objectives) > 1 and trial is None:
        raise ConfigError(
            "--apply: expected --trial NUMBER with several objectives, of whose front a person chooses; got none: look"
            " at reports/tune/study.html"
        )
    changes = Profiles().apply(found.values)
    if not changes:
        typer.echo("params.yaml has the best values already")
        return
    print_changes(changes, "before", "now")
    typer.echo("params.yaml is changed; `dvc repro` runs what depends on these keys")
    if found.gains and not any(gain.low > 0 for gain in found.gains.values()):
        typer.echo("no metric is better beyond chance (its interval holds 0)", err=True)
