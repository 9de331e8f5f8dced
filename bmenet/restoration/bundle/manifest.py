"""``bundle.json``: the content of a bundle and how its networks are run."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from bmenet.config import CoarseConfig, DiffusionConfig, FieldConfig, SamplingConfig
from bmenet.imaging.grid import standard_grid
from bmenet.networks.slab import input_channels

MANIFEST_FILE = "bundle.json"
FORMAT_VERSION = 1

SIGNATURES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "encoder": (("volume",), ("latent",)),
    "edge_encoder": (("edges",), ("latent",)),
    "covariates": (("volume",), ("covariates",)),
    "denoiser": (("noisy_latent", "timestep", "covariates", "hint"), ("steered", "noise")),
    "decoder": (("latent",), ("volume",)),
    "guidance": (("latent", "base", "gain", "reference"), ("gradient",)),
}
"""The second stage's graphs: names of inputs and outputs. A control that is not anchored has no output `noise`."""

FIELD_SIGNATURE = (("head",), ("log_field",))
"""The field network's graph, a part of the first stage: names of input and output."""

EXACT = "guidance"
"""The graph that has no float16 variant: the gradient of a mean over a volume is too small for it."""

Precision = Literal["fp32", "fp16"]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Tensor(_Part):
    """An input or an output of a graph; in its shape a name stands for an extent that is free."""

    name: str
    shape: list[int | str]
    dtype: str


class Graph(_Part):
    """One ONNX graph; its path is relative to the bundle."""

    path: str
    inputs: list[Tensor]
    outputs: list[Tensor]


class File(_Part):
    """Size and checksum of a file."""

    bytes: Annotated[int, Field(ge=0)]
    sha256: Sha256


class FineSettings(_Part):
    """Settings that the second stage was trained with, and its default sampling.

    Parameters
    ----------
    max_timestep : int
        The highest one that the control was trained for.
    reference_variance : list of float, or None
        Variance of E(r) about E(x), by latent channel: see `CleanPrediction`.
    latent_scale, latent_shift : list of float
        For the reader: the graphs of the autoencoder apply them already.
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
    bmenet : str
        The version that wrote it.
    spacing_mm, grid_shape : int, and tuple of int, (3,)
        Of the standard grid; the shape in voxels: graphs of volumes have it.
    field : FieldConfig, or None
        None: the first stage has no field network.
    fine : FineSettings, or None
        None: the bundle has the first stage alone.
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
    field: FieldConfig | None = None
    fine: FineSettings | None
    graphs: dict[Precision, dict[str, Graph]]
    files: dict[str, File]
    lineage: dict[str, str]

    @model_validator(mode="after")
    def _consistent(self) -> "Manifest":
        if self.grid_shape != standard_grid(self.spacing_mm).shape:
            raise ValueError(f"grid_shape: expected that of the {self.spacing_mm} mm grid; got {self.grid_shape}")
        if "fp32" not in self.graphs:
            raise ValueError(f"graphs: expected fp32; got {sorted(self.graphs)}")
        for precision, graphs in self.graphs.items():
            self._check_graphs(precision, graphs)
        paths = {graph.path for graphs in self.graphs.values() for graph in graphs.values()}
        if missing := sorted(paths - set(self.files)):
            raise ValueError(f"files: expected a checksum of every graph; got none of {missing}")
        if self.fine is not None and self.fine.max_timestep >= self.fine.diffusion.timesteps:
            raise ValueError(f"fine.max_timestep: expected below {self.fine.diffusion.timesteps}")
        return self

    def _check_graphs(self, precision: Precision, graphs: dict[str, Graph]) -> None:
        """Check that every graph is there, with the inputs and outputs of its name."""
        wanted = {} if self.fine is None else dict(SIGNATURES)
        if self.field is not None:
            wanted["field"] = FIELD_SIGNATURE
        if precision != "fp32":
            wanted.pop(EXACT, None)
        if "denoiser" in wanted and self.fine is not None and self.fine.reference_variance is None:
            wanted["denoiser"] = (wanted["denoiser"][0], ("steered",))
        slices = sorted(name for name in graphs if name == "coarse" or name.startswith("coarse_"))
        a_plane = sorted(f"coarse_{plane}" for plane in self.coarse.planes)
        if set(graphs) != {*wanted, *slices} or slices not in (["coarse"], a_plane):
            raise ValueError(f"graphs.{precision}: expected coarse and {sorted(wanted)}; got {sorted(graphs)}")
        for name, graph in graphs.items():
            inputs, outputs = wanted.get(name, (("slab",), ("restored",)))
            found = tuple(tuple(tensor.name for tensor in tensors) for tensors in (graph.inputs, graph.outputs))
            if found != (inputs, outputs):
                raise ValueError(f"graphs.{precision}.{name}: expected {inputs} to {outputs}; got {found}")
            if name in slices and graph.inputs[0].shape[1:2] != [input_channels(self.coarse.context_slices)]:
                raise ValueError(f"graphs.{precision}.{name}: expected slabs of coarse.context_slices and a position")
