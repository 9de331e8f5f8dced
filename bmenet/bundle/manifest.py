"""``bundle.json``: what a bundle holds and how it is to be run."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from bmenet.config import CoarseConfig, DiffusionConfig, SamplingConfig

MANIFEST_FILE = "bundle.json"
FORMAT_VERSION = 1

Precision = Literal["fp32", "fp16"]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Tensor(_Part):
    """An input or an output of a graph.

    Parameters
    ----------
    name : str
    shape : list
        Extents; a name stands for one that is free.
    dtype : str
    """

    name: str
    shape: list[int | str]
    dtype: str


class Graph(_Part):
    """One ONNX graph.

    Parameters
    ----------
    path : str
        Relative to the bundle.
    inputs, outputs : list of Tensor
    """

    path: str
    inputs: list[Tensor]
    outputs: list[Tensor]


class File(_Part):
    """Size and checksum of a file."""

    bytes: Annotated[int, Field(ge=0)]
    sha256: Sha256


class FineSettings(_Part):
    """What the second stage was trained with.

    Parameters
    ----------
    diffusion : DiffusionConfig
        The noise schedule.
    max_timestep : int
        The highest one that the control was trained for.
    reference_variance : list of float, or None
        Of E(r) about E(x), a latent channel: see `CleanPrediction`.
    latent_scale, latent_shift : list of float
        Inside the graphs of the autoencoder already; here to be read.
    sampling : SamplingConfig
        How it is run where nobody says otherwise.
    """

    diffusion: DiffusionConfig
    max_timestep: int
    reference_variance: list[float] | None
    latent_scale: list[float]
    latent_shift: list[float]
    sampling: SamplingConfig


class Manifest(_Part):
    """All of ``bundle.json``.

    Parameters
    ----------
    format_version : int
    bmenet : str
        The version that wrote it.
    spacing_mm : int
        Of the standard grid.
    grid_shape : tuple of int, (3,)
        Of the standard grid, voxels: graphs of volumes have this shape.
    opset : int
    coarse : CoarseConfig
    fine : FineSettings, or None
        None: the bundle ends with the Coarse-net.
    graphs : dict
        Number format to graph's name to graph.
    files : dict
        Path relative to the bundle to size and checksum: every file but ``bundle.json``.
    lineage : dict
        Where the weights come from: commit, DVC hashes of the data, the checksum of each network's ``model.json``.
    """

    format_version: Literal[1]
    bmenet: str
    spacing_mm: Literal[1, 2, 4]
    grid_shape: tuple[int, int, int]
    opset: int
    coarse: CoarseConfig
    fine: FineSettings | None
    graphs: dict[Precision, dict[str, Graph]]
    files: dict[str, File]
    lineage: dict[str, str]
