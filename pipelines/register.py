"""Stage `register`: every fetched scan to the standard grid; one failure does not stop the others."""

from bmenet.cli.errors import run_stage
from bmenet.config import load_config
from bmenet.data.layout import Layout
from bmenet.data.participants import read_table
from bmenet.registration.subject import failure_picture, is_done, register_subject
from bmenet.runtime.errors import BMENetError, RegistrationError
from bmenet.runtime.files import read_json, write_json
from bmenet.runtime.parallel import run_parallel


def main() -> None:
    """Register the subjects that are not done yet, and drop the files of subjects that are gone."""
    config, layout = load_config(), Layout()
    subjects = read_table(layout)
    if not subjects:
        raise BMENetError(f"{layout.raw}: expected fetched subjects; got none; run `dvc repro fetch`")
    layout.registered.mkdir(parents=True, exist_ok=True)
    kept = {path for subject in subjects for path in layout.registered_files(subject.id)}
    for path in set(layout.registered.iterdir()) - kept:
        path.unlink()

    todo = [subject for subject in subjects if not is_done(subject, config, layout)]
    for subject in todo:
        layout.transform(subject.id).unlink(missing_ok=True)
    # Whoever failed is tried again; pictures of subjects that are gone are pictures of people.
    pictures = failure_picture("*", layout).parent
    for path in pictures.glob("*.png"):
        path.unlink()
    items = [(subject.id, (subject, config, layout)) for subject in todo]
    _, failures = run_parallel(register_subject, items, description="register")

    failed = {failure.name for failure in failures}
    done = [read_json(layout.transform(subject.id)) for subject in subjects if subject.id not in failed]
    similarity = {sidecar["subject"]: round(sidecar["similarity"], 4) for sidecar in done}
    write_json(
        layout.report("register") / "metrics.json",
        {"subjects": len(done), "failed": len(failed), "similarity": similarity},
    )
    if failures:
        reasons = "; ".join(f"{failure.name} ({failure.reason})" for failure in failures)
        raise RegistrationError(
            f"register: {len(failures)} of {len(subjects)} subjects failed: {reasons}; pictures are in {pictures}"
        )


if __name__ == "__main__":
    run_stage(main)
