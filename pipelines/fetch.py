"""Stage `fetch`: bring the scans of every data set into data/raw, free of header text, with a table of subjects."""

from bmenet.cli.errors import exit_on_error
from bmenet.config import load_config
from bmenet.data.fetch import fetch_subjects
from bmenet.data.layout import Layout
from bmenet.data.participants import read_table
from bmenet.data.sources import open_datasets
from bmenet.runtime.errors import SourceError
from bmenet.runtime.files import write_json


def main() -> None:
    """Fetch the subjects that are not there yet."""
    config, layout = load_config(), Layout()
    datasets = open_datasets(config, layout.downloads)
    failures = fetch_subjects(datasets, layout)

    scans = read_table(layout)
    size = sum((layout.raw / scan.file).stat().st_size for scan in scans)
    metrics = {"subjects": len(scans), "failed": len(failures), "bytes": size}
    write_json(layout.report("fetch") / "metrics.json", metrics)
    if failures:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in failures.items())
        wanted = sum(len(dataset.subjects) for dataset in datasets)
        raise SourceError(f"fetch: {len(failures)} of {wanted} subjects failed: {reasons}")


if __name__ == "__main__":
    with exit_on_error():
        main()
