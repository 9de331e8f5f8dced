"""The networks as ONNX Runtime runs them, from the graphs of a bundle."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bmenet.config import CoarseConfig, SamplingConfig
from bmenet.networks.coarse import COARSE
from bmenet.networks.fine_weights import KINDS
from bmenet.networks.weights import config_of
from bmenet.restoration.bundle import Bundle, Graph
from bmenet.restoration.bundle.manifest import EXACT, Precision
from bmenet.restoration.coarse_net import CoarseNet
from bmenet.restoration.field import FieldFinder
from bmenet.restoration.fine_net import FineNet
from bmenet.restoration.providers import CACHE_VARIABLE, PROVIDERS, Provider, choose_providers, engine_folder
from bmenet.runtime.errors import BMENetError, ConfigError, WeightsError

_QUIET = 3
"""ONNX Runtime's severity of errors: its warnings are about nodes that run on the CPU on purpose."""


@dataclass(frozen=True)
class Sessions:
    """The graphs of a bundle, each opened on its first run; the constraint's gradient is float32 in either precision.

    The first of the providers that knows an operation runs it.
    """

    bundle: Bundle
    precision: Precision = "fp32"
    providers: Sequence[Provider] = ("cpu",)
    _open: dict[str, Any] = field(default_factory=dict)

    def run(self, name: str, feed: Mapping[str, Tensor]) -> list[Tensor]:
        """Return a graph's outputs, float32 on the CPU, from its inputs by name.

        Raises
        ------
        WeightsError
            If the bundle has no such graph, it is not what its checksum says, or ONNX Runtime cannot load it.
        BMENetError
            If ONNX Runtime fails to run it.
        """
        arrays = {key: np.asarray(tensor.detach().cpu().numpy(), order="C") for key, tensor in feed.items()}
        session = self.session(name, feed)
        try:
            return [torch.from_numpy(array) for array in session.run(None, arrays)]
        except Exception as error:  # ONNX Runtime's own kinds
            raise BMENetError(f"{name}: ONNX Runtime failed: {_reason(error)}") from error

    def session(self, name: str, feed: Mapping[str, Tensor]) -> Any:
        """Return the session of a graph; TensorRT's shapes are fixed and get a session each."""
        shapes = {key: tuple(tensor.shape) for key, tensor in feed.items()} if "tensorrt" in self.providers else {}
        key = f"{name} {sorted(shapes.items())}"
        if key not in self._open:
            self._open[key] = self._load(name, shapes)
        return self._open[key]

    def _load(self, name: str, shapes: dict[str, tuple[int, ...]]) -> Any:
        import onnxruntime

        precision: Precision = "fp32" if name == EXACT else self.precision
        graphs = self.bundle.manifest.graphs[precision]
        if (graph := graphs.get(name)) is None:
            raise WeightsError(f"{self.bundle.folder}: expected a graph {name!r}; got {', '.join(graphs)}")
        # Checked again now: a server may ask for a graph hours after the bundle was opened.
        content = self.bundle.read_graph(graph.path)
        options = self._options(name, graph, shapes)
        providers = self._provider_options(precision == "fp16")
        try:
            session = onnxruntime.InferenceSession(content, options, providers=providers)
        except Exception as error:  # ONNX Runtime's own kinds
            raise WeightsError(f"{graph.path}: ONNX Runtime cannot load it: {_reason(error)}") from error
        if missing := [name for name in self.providers if PROVIDERS[name] not in session.get_providers()]:
            raise BMENetError(
                f"providers: expected {', '.join(self.providers)}; ONNX Runtime could not start {', '.join(missing)}"
                " (its libraries do not fit); leave it out"
            )
        return session

    def _options(self, name: str, graph: Graph, shapes: dict[str, tuple[int, ...]]) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = _QUIET
        options.intra_op_num_threads = torch.get_num_threads()
        # Idle threads of one session would spin on the cores of the next.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        folder = (self.bundle.folder / graph.path).parent.resolve()
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder))
        # The arena keeps what whole volumes needed once: 12 GiB at 1 mm, where 9 are enough.
        options.enable_cpu_mem_arena = name.startswith("coarse")
        for tensor in graph.inputs:
            for extent, value in zip(tensor.shape, shapes.get(tensor.name, ()), strict=False):
                if isinstance(extent, str):
                    options.add_free_dimension_override_by_name(extent, value)
        return options

    def _provider_options(self, is_half: bool) -> list[tuple[str, dict[str, str]]]:
        options: dict[Provider, dict[str, str]] = {name: {} for name in self.providers}
        if "tensorrt" in options:
            engines = engine_folder(self.bundle.digest, self.precision)
            try:
                engines.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise BMENetError(
                    f"{engines}: expected a folder for engines that can be written; {error.strerror}; set"
                    f" {CACHE_VARIABLE}"
                ) from error
            options["tensorrt"] = {
                "trt_engine_cache_enable": "1",
                "trt_engine_cache_path": str(engines),
                "trt_timing_cache_enable": "1",
                "trt_timing_cache_path": str(engines),
                "trt_fp16_enable": str(int(is_half)),
                "trt_layer_norm_fp32_fallback": "1",
            }
        if "cuda" in options:
            options["cuda"] = {"use_tf32": "0"}
        return [(PROVIDERS[name], values) for name, values in options.items()]


class OnnxCoarse(nn.Module):
    """The Coarse-net: slabs (B, C, H, W) to restored slices (B, 1, H, W), as of the network it was made from."""

    def __init__(self, sessions: Sessions) -> None:
        super().__init__()
        self.sessions = sessions
        # Its device is where inputs are expected, as of any module.
        self.place = nn.Parameter(torch.empty(0), requires_grad=False)

    def forward(self, slab: Tensor) -> Tensor:
        """Return the restored central slices."""
        return self.sessions.run(self._graph(slab), {"slab": slab})[0]

    def _graph(self, slab: Tensor) -> str:
        """Return the one graph of slices, or the one of this shape of slices."""
        graphs = self.sessions.bundle.manifest.graphs["fp32"]
        if "coarse" in graphs:
            return "coarse"
        shape = list(slab.shape[-2:])
        for name, graph in graphs.items():
            if name.startswith("coarse_") and graph.inputs[0].shape[2:] == shape:
                return name
        raise WeightsError(f"{self.sessions.bundle.folder}: expected a graph for slices of {shape}; got {list(graphs)}")


class OnnxField(nn.Module):
    """The field network: heads (1, 1, X, Y, Z) at 4 mm to log-fields; ONNX Runtime brings them to its device itself."""

    def __init__(self, sessions: Sessions) -> None:
        super().__init__()
        self.sessions = sessions

    def forward(self, head: Tensor) -> Tensor:
        """Return the log-field."""
        return self.sessions.run("field", {"head": head})[0]


@dataclass(frozen=True)
class OnnxNetworks:
    """The networks of the second stage, see `FineNetworks`; `window` is that of the constraint's graph."""

    sessions: Sessions
    window: int

    @property
    def device(self) -> torch.device:
        """Tensors come and go by the CPU; ONNX Runtime brings them to its device itself."""
        return torch.device("cpu")

    def encode(self, volume: Tensor) -> Tensor:
        """Return E(x)."""
        return self.sessions.run("encoder", {"volume": volume})[0]

    def encode_edges(self, edges: Tensor) -> Tensor:
        """Return E_edge of an edge map."""
        return self.sessions.run("edge_encoder", {"edges": edges})[0]

    def covariates(self, volume: Tensor) -> Tensor:
        """Return c, shape (1, 4)."""
        return self.sessions.run("covariates", {"volume": volume})[0]

    def noises(
        self, noisy_latent: Tensor, timestep: Tensor, covariates: Tensor, hint: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Return ``epsilon_h``, and ``epsilon`` where the graph gives it."""
        feed = {"noisy_latent": noisy_latent, "timestep": timestep, "covariates": covariates, "hint": hint}
        steered, *others = self.sessions.run("denoiser", feed)
        return steered, others[0] if others else None

    def decode(self, latent: Tensor) -> Tensor:
        """Return D(z)."""
        return self.sessions.run("decoder", {"latent": latent})[0]

    def ncc_gradient(self, latent: Tensor, base: Tensor, gain: float, reference: Tensor, window: int) -> Tensor:
        """Return ``d/dz NCC(base + gain D(z), reference)``; ConfigError if the graph is of another window."""
        if window != self.window:
            raise ConfigError(
                f"sampling.guidance.window: expected {self.window}, which the bundle's graph was exported with; got"
                f" {window}; export again, or use the runtime torch"
            )
        feed = {"latent": latent, "base": base, "gain": torch.tensor(gain), "reference": reference}
        return self.sessions.run("guidance", feed)[0]


def open_sessions(
    bundle: Bundle, precision: Precision, providers: Sequence[str] | None = None, device: str = "auto"
) -> Sessions:
    """Return the sessions of a bundle on the providers that are wanted and work here, in the order of preference.

    By default they are those of `device`: of ``auto`` cuda and cpu, of ``cpu`` or ``cuda`` that one.

    Raises
    ------
    WeightsError
        If the bundle was not exported in this number format.
    BMENetError
        If none of the providers works here.
    """
    if precision not in bundle.manifest.graphs:
        raise WeightsError(
            f"{bundle.folder}: expected graphs in {precision}; got {', '.join(bundle.manifest.graphs)}; add it to"
            " export.precisions and export again"
        )
    wanted = providers or {"auto": ("cuda", "cpu"), "cuda": ("cuda",), "cpu": ("cpu",)}[device]
    return Sessions(bundle, precision, choose_providers(wanted))


def onnx_coarse_net(sessions: Sessions) -> CoarseNet:
    """Return the first stage with ONNX Runtime's networks."""
    spec = sessions.bundle.spec(COARSE)
    finder = FieldFinder(OnnxField(sessions)) if sessions.bundle.has_field else None
    return CoarseNet(OnnxCoarse(sessions), config_of(spec, CoarseConfig), spec["spacing_mm"], torch.float32, finder)


def onnx_fine_net(sessions: Sessions, sampling: SamplingConfig) -> FineNet:
    """Return the second stage with ONNX Runtime's networks."""
    specs = {kind: sessions.bundle.spec(kind) for kind in KINDS}
    return FineNet.of(OnnxNetworks(sessions, sampling.guidance.window), specs)


def _reason(error: Exception) -> str:
    """Return an error's text on one line."""
    return " ".join(str(error).split())[:300]
