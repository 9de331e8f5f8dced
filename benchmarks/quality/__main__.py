"""Ours against the published comparison and the classical tools: `python -m benchmarks.quality [--model MODEL]`.

Run it from a workspace with degraded subjects (profile full up to the stage degrade). It measures the test subjects;
what took long is kept in data/evaluated, so that an interrupted benchmark goes on.
"""

import argparse
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console

from benchmarks.markdown import write_tables
from benchmarks.quality.cost import cost_table, measure_costs
from benchmarks.quality.results import ModelLayout, Plan, collect
from benchmarks.quality.tables import clean_table, codes_table, published_table, rows_of
from bmenet.cli.errors import exit_on_error
from bmenet.config import Config, load_config
from bmenet.data.layout import Layout
from bmenet.data.participants import read_table
from bmenet.networks.fine_weights import KINDS
from bmenet.networks.weights import SPEC_FILE
from bmenet.release.models import Model, find_model
from bmenet.runtime.errors import BMENetError, VolumeError
from bmenet.runtime.files import read_json, write_json

_CODES = ("111", "100", "010", "001", "000")


def main() -> None:
    """Measure what is not measured yet, and print the tables."""
    arguments = _parser().parse_args()
    config = load_config()
    with find_model(arguments.model) as model:
        layout = ModelLayout(Path(), model.coarse.parent)
        plan = _plan(arguments, config, model, layout)
        rows = rows_of(collect(plan, layout), config.evaluate.bootstrap, config.seed)
        place = str(model.coarse if model.bundle is None else model.bundle.folder)
        costs = []
        if not arguments.no_cost:
            degraded = layout.case_input(plan.subjects[0], plan.codes[0])
            costs = measure_costs(place, plan.stages, degraded, _raw(plan.subjects[0], layout))
    if arguments.json:
        numbers = {"subjects": plan.subjects, "rows": [row.as_dict() for row in rows]}
        write_json(arguments.json, numbers | {"costs": [cost.as_dict() for cost in costs]})
    console = Console(width=150)
    tables = [published_table(rows, plan.stages), codes_table(rows), clean_table(rows), cost_table(costs)]
    if arguments.markdown:
        write_tables(arguments.markdown, "Beside classical tools and what was published", _introduction(plan), tables)
    for table in tables:
        if table.row_count:
            console.print(table)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="bundle, weights folder, models:/NAME@ALIAS; by default the released weights")
    parser.add_argument("--subjects", type=int, metavar="N", help="the first so many test subjects; by default all")
    parser.add_argument("--codes", nargs="+", default=_CODES, metavar="CODE", help="motion, noise, bias; 000: clean")
    parser.add_argument("--bm4d", type=int, metavar="N", help="the first so many subjects go through BM4D; all")
    parser.add_argument("--coarse", action="store_true", help="the first stage alone")
    parser.add_argument("--no-cost", action="store_true", help="leave out time and memory")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers there, too")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables there, too")
    return parser


def _introduction(plan: Plan) -> str:
    """Return what was measured, for the head of the Markdown file."""
    return (
        f"Written by `python -m benchmarks.quality`: {len(plan.subjects)} unseen test subjects, codes "
        f"{', '.join(f'`{code}`' for code in plan.codes)} (motion, noise, bias), seed {plan.seed}. Means, and 95 % "
        "bootstrap intervals over subjects."
    )


def _plan(arguments: argparse.Namespace, config: Config, model: Model, layout: ModelLayout) -> Plan:
    """Return what is measured, once it is known that all of it is there."""
    if not layout.split.exists():
        raise BMENetError(f"{layout.split}: expected the split of a workspace; got no such file; run the stage split")
    subjects = tuple(read_json(layout.split)["test"][: arguments.subjects])
    codes = tuple(code for code in _CODES if code in arguments.codes)
    codes += tuple(code for code in arguments.codes if code not in _CODES)
    for subject in subjects:
        for code in codes:
            if not (path := layout.case_input(subject, code)).exists():
                raise VolumeError(f"{path}: expected every test subject under code {code}; run the stage degrade")
    has_fine = all((layout.weights_folder / kind / SPEC_FILE).exists() for kind in KINDS)
    stages = ("coarse", "fine") if has_fine and not arguments.coarse else ("coarse",)
    fine = None if model.bundle is None else model.bundle.manifest.fine
    limit = len(subjects) if arguments.bm4d is None else arguments.bm4d
    is_installed = find_spec("bm4d") is not None
    sampling = config.sampling if fine is None else fine.sampling
    return Plan(subjects, codes, limit if is_installed else 0, stages, sampling, config.seed)


def _raw(subject: str, layout: Layout) -> Path | None:
    """Return the raw scan of a subject, if it is there."""
    paths = (layout.raw / scan.file for scan in read_table(layout) if scan.id == subject)
    return next((path for path in paths if path.exists()), None)


if __name__ == "__main__":
    with exit_on_error():
        main()
