"""Hash the code behind a module: a stage or a cached case is done again when what it runs has changed, and only then.

The one scheme of invalidation for code. `pipelines/code.py` writes the hash of every stage, of which dvc.yaml makes a
parameter of that stage; caches of single cases ask `code_hash` for the modules that make them.
"""

import ast
import hashlib
from functools import cache
from pathlib import Path

from bmenet.runtime.files import sha256

_ROOT = Path(__file__).parents[2]
_OURS = ("bmenet", "pipelines", "benchmarks")
_DATA = (".css", ".csv", ".html", ".js", ".md")

CANNOT_CHANGE_A_RESULT = (
    *("bmenet.cli", "bmenet.config", "bmenet.tracking", "bmenet.data.layout"),
    *("bmenet.imaging.figures", "bmenet.evaluation.panel"),
    *(f"bmenet.runtime.{name}" for name in ("cache", "code", "errors", "files")),
    *(f"bmenet.runtime.{name}" for name in ("logger", "parallel", "progress", "threads")),
)
"""What names, moves, shows or records results; values of params.yaml are parameters of the stages that read them."""


@cache
def code_hash(*modules: str, root: Path = _ROOT) -> str:
    """Hash the modules and all that they import from this project, directly or not.

    Comments, docstrings and layout do not count, nor do the modules of `CANNOT_CHANGE_A_RESULT`. The ``__init__.py``
    above an imported module is left out: it holds names and tables, which the module does not use. Data files beside a
    module, such as tables and templates of pages, count with it.

    Modules are given by dotted names below `root`, such as ``"bmenet.imaging.resample"`` or ``"pipelines.register"``.

    Raises
    ------
    ModuleNotFoundError
        If there is no such module.

    Examples
    --------
    >>> code_hash("bmenet.imaging.grid") == code_hash("bmenet.imaging.grid")
    True
    >>> code_hash("bmenet.imaging.grid") == code_hash("bmenet.imaging.volume")
    False
    """
    files = reached_files(*modules, root=root)
    beside = (path for folder in {file.parent for file in files} for path in folder.iterdir())
    data = {path for path in beside if path.suffix in _DATA and path.is_file()}
    digests = sorted([*(_normal_form(path)[0] for path in files), *map(sha256, data)])
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()[:16]


def reached_files(*modules: str, root: Path = _ROOT) -> set[Path]:
    """Return the files that modules import from this project, directly or not, their own included.

    Raises
    ------
    ModuleNotFoundError
        If there is no such module.
    """
    reached: set[Path] = set()
    todo = list(modules)
    for name in modules:
        if module_file(name, root) is None:
            raise ModuleNotFoundError(f"{name}: expected a module below {root}; got none", name=name)
    while todo:
        name = todo.pop()
        path = module_file(name, root)
        if "." not in name or path is None or path in reached or _is_within(name, CANNOT_CHANGE_A_RESULT):
            continue
        reached.add(path)
        for imported in _normal_form(path)[1]:
            # `from package import name`: a module of that name, or what the package itself defines.
            if imported.partition(".")[0] in _OURS:
                todo.append(imported if module_file(imported, root) else imported.rpartition(".")[0])
    return reached


def module_file(name: str, root: Path = _ROOT) -> Path | None:
    """Return the file of a module or package of this project, None where there is none."""
    base = root.joinpath(*name.split("."))
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)


@cache
def _normal_form(path: Path) -> tuple[str, tuple[str, ...]]:
    """Return the hash of a file's code, and every name that it may import: of modules, and of what is in them."""
    tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    for node in ast.walk(tree):  # without its docstrings
        body = getattr(node, "body", None)
        if isinstance(body, list):
            body[:] = [child for child in body if not _is_text(child)] or [ast.Pass()]
    return hashlib.sha256(ast.unparse(tree).encode()).hexdigest(), tuple(names)


def _is_text(node: ast.stmt) -> bool:
    """Tell whether a statement is a string that nobody uses: a docstring of a module, class, function or constant."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _is_within(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)
