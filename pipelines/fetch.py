"""Stage `fetch`: bring the source's scans into data/raw, free of header text, with a table of subjects."""

from bmenet.cli.errors import exit_on_error
from bmenet.config import load_config
from bmenet.data.fetch import fetch_subjects
from bmenet.data.layout import Layout
from bmenet.data.participants import read_table
from bmenet.data.sources import SOURCES, select
from bmenet.runtime.errors import SourceError
from bmenet.runtime.files import write_json


def main() -> None:
    """Fetch the subjects that are not there yet."""
    config, layout = load_config(), Layout()
    source = SOURCES[config.data.source](config, layout.downloads)
    subjects = select(source.subjects(), config.data.subjects)
    failures = fetch_subjects(source, config.data.source, subjects, layout)

    scans = read_table(layout)
    size = sum((layout.raw / scan.file).stat().st_size for scan in scans)
    metrics = {"subjects": len(scans), "failed": len(failures), "bytes": size}
    write_json(layout.report("fetch") / "metrics.json", metrics)
    if failures:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in failures.items())
        raise SourceError(f"fetch: {len(failures)} of {len(subjects)} subjects failed: {reasons}")


if __name__ == "__main__":
    with exit_on_error():
        main()
