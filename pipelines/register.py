"""Stage `register`: every fetched scan to the standard grid; one failure does not stop the others."""

import sys

from bmenet.cli.errors import exit_on_error
from bmenet.config import load_config
from bmenet.files import read_json, write_json
from bmenet.layout import Layout
from bmenet.parallel import run_parallel
from bmenet.progress import console
from bmenet.registration.subject import Subject, is_done, register_subject


def main() -> None:
    """Register the subjects that are not done yet, and drop the files of subjects that are gone."""
    config, layout = load_config(), Layout()
    subjects = [Subject(**row) for row in read_json(layout.subjects_table)]
    wanted = {path for subject in subjects for path in (layout.clean(subject.id), layout.transform(subject.id))}
    layout.registered.mkdir(parents=True, exist_ok=True)
    for path in set(layout.registered.iterdir()) - wanted:
        path.unlink()

    todo = [subject for subject in subjects if not is_done(subject, config, layout)]
    for subject in todo:
        layout.transform(subject.id).unlink(missing_ok=True)
    console.print(f"register: {len(subjects) - len(todo)} of {len(subjects)} subjects are done already")
    _, failures = run_parallel(
        register_subject, [(subject.id, (subject, config, layout)) for subject in todo], description="register"
    )

    done = [read_json(layout.transform(subject.id)) for subject in subjects if layout.transform(subject.id).exists()]
    report = {
        "subjects": len(done),
        "failed": {failure.name: failure.reason for failure in failures},
        "similarity": {sidecar["subject"]: sidecar["similarity"] for sidecar in done},
    }
    write_json(layout.report("register") / "metrics.json", report)
    for failure in failures:
        print(f"bmenet: {failure.name}: {failure.reason}", file=sys.stderr)
    if failures:
        raise SystemExit(1)


if __name__ == "__main__":
    with exit_on_error():
        main()
