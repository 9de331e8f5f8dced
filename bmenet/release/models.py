"""Find the model of a name: released weights, a bundle, a weights folder, or an entry of the model registry."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bmenet.networks.weights import SPEC_FILE
from bmenet.release.released import Released, default_model, released_bundles, released_model
from bmenet.restoration.bundle import Bundle, find_bundle, open_bundle
from bmenet.restoration.bundle.manifest import Precision
from bmenet.restoration.enhancer import Enhancer, Runtime
from bmenet.runtime.errors import WeightsError

REGISTRY_PREFIX = "models:/"
_WEIGHTS_PLACES = ("", "coarse/", "artifacts/*/", "artifacts/*/coarse/")


@dataclass(frozen=True)
class Model:
    """A model that was found.

    `coarse` is the folder of the Coarse-net's weights; those of the second stage are beside it. `bundle` holds them and
    is checked; None is a bare weights folder, which only torch can run. `name` is what it was found by, of released
    weights, which came with the package, always their own.
    """

    coarse: Path
    bundle: Bundle | None = None
    name: str = ""
    is_released: bool = False

    def runtime(self, wanted: Runtime | None = None) -> Runtime:
        """Return the runtime: the wanted one, else the model's default.

        Bare weights are run by torch; so are released ones, for on a CPU with bfloat16 it takes half the time. Any
        other bundle is run by ONNX Runtime, as the server runs it, so that both answer alike.
        """
        return wanted or ("torch" if self.bundle is None or self.is_released else "onnx")

    def enhancer(
        self,
        stage: Literal["coarse", "fine"] = "coarse",
        runtime: Runtime | None = None,
        device: str = "auto",
        providers: Sequence[str] | None = None,
        precision: Precision = "fp32",
    ) -> Enhancer:
        """Load the networks: see `Enhancer.from_bundle`; without a runtime that of `runtime`.

        Raises
        ------
        WeightsError
            If weights are missing or damaged, or ONNX Runtime is asked for and there is no bundle.
        """
        if self.bundle is not None:
            return Enhancer.from_bundle(self.bundle, stage, self.runtime(runtime), device, providers, precision)
        if runtime == "onnx":
            raise WeightsError(
                f"{self.coarse}: expected a bundle with graphs for the runtime onnx; got weights alone; run"
                " `bmenet export` and name the bundle (--model)"
            )
        enhancer = Enhancer.from_folder(self.coarse, device)
        return enhancer if stage == "coarse" else enhancer.with_fine(self.coarse.parent)


@contextmanager
def find_model(model: str | None) -> Iterator[Model]:
    """Yield the model of a name; a fetched one is removed when the block ends.

    A name is a bundle, a Coarse-net's weights folder or a folder that holds one; the name of released weights; or
    ``models:/NAME@ALIAS`` or ``models:/NAME/VERSION``, which is fetched from the MLflow registry. A folder comes before
    released weights of the same name. None stands for the released weights.

    Raises
    ------
    WeightsError
        If there is no such model, it holds no weights, or its bundle is not what it says.
    """
    if model is None:
        yield _open(default_model())
    elif model.startswith(REGISTRY_PREFIX):
        from bmenet.release.registry import fetch_model

        with tempfile.TemporaryDirectory(prefix="bmenet-model-") as folder:
            yield _search(fetch_model(model, Path(folder)), model)
    elif (released := released_model(model)) is not None and not Path(model).exists():
        yield _open(released)
    else:
        yield _search(Path(model), model)


def _open(released: Released) -> Model:
    """Return released weights, checked."""
    bundle = open_bundle(released.folder)
    return Model(bundle.weights / "coarse", bundle, released.name, is_released=True)


def _search(folder: Path, model: str) -> Model:
    """Return the bundle in a folder, or else the first weights."""
    try:
        bundle_folder = find_bundle(folder)
        specs = [spec for place in _WEIGHTS_PLACES for spec in sorted(folder.glob(f"{place}{SPEC_FILE}"))]
    except OSError as error:
        raise WeightsError(f"{model}: cannot be read ({error.strerror})") from error
    if bundle_folder is not None:
        for released in released_bundles():
            if released.folder.samefile(bundle_folder):
                return _open(released)
        bundle = open_bundle(bundle_folder)
        return Model(bundle.weights / "coarse", bundle, model)
    if specs:
        return Model(specs[0].parent, name=model)
    names = ", ".join(released.name for released in released_bundles()) or "none installed"
    raise WeightsError(
        f"{model}: expected a folder with {SPEC_FILE} and its weights, a bundle, or the name of released weights"
        f" ({names}); got none; train first (`dvc repro train_coarse`), or name another one (--model, BMENET_MODEL)"
    )
