"""Stage `tune`: search the values of params.yaml that do best on validation volumes; nothing is changed by it."""

from bmenet.cli.errors import run_stage
from bmenet.config import load_config
from bmenet.data.layout import Layout
from bmenet.runtime.parallel import default_workers
from bmenet.tuning.run import tune


def main() -> None:
    """Run the study or go on with it, and report it; `bmenet tune --apply` writes what it found."""
    tune(load_config(), Layout(), default_workers())


if __name__ == "__main__":
    run_stage(main)
