"""Stage `code`: the hash of every stage's code, a parameter of that stage; it always runs, and takes a second."""

from pathlib import Path

from bmenet.runtime.code import code_hash
from bmenet.runtime.files import write_json

CODE_FILE = Path("code.json")


def main() -> None:
    """Hash the code behind each file of `pipelines`."""
    stages = sorted(path.stem for path in Path("pipelines").glob("[a-z]*.py"))
    write_json(CODE_FILE, {stage: code_hash(f"pipelines.{stage}") for stage in stages if stage != Path(__file__).stem})


if __name__ == "__main__":
    main()
