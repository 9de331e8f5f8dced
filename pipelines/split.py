"""Stage `split`: divide the registered subjects into train, validation and test."""

from bmenet.cli.errors import exit_on_error
from bmenet.config import load_config
from bmenet.data.layout import Layout
from bmenet.data.split import split_subjects
from bmenet.runtime.files import read_json, write_json


def main() -> None:
    """Write data/split.json: the subsets, and the covariates of every subject in them."""
    config, layout = load_config(), Layout()
    subsets = split_subjects(layout.registered_subjects(), config.data.sources, config.split, config.seed)
    covariates = {}
    for name in layout.registered_subjects():
        sidecar = read_json(layout.transform(name))
        covariates[name] = {"age": sidecar["age"], "sex": sidecar["sex"]}
    write_json(layout.split, subsets | {"covariates": covariates})
    write_json(layout.report("split") / "metrics.json", {name: len(subset) for name, subset in subsets.items()})


if __name__ == "__main__":
    with exit_on_error():
        main()
