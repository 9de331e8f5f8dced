"""ONNX Runtime sessions of a bundle's graphs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bmenet.restoration.bundle import Bundle, Graph
from bmenet.restoration.bundle.manifest import EXACT, Precision
from bmenet.restoration.onnx.providers import CACHE_VARIABLE, PROVIDERS, Provider, choose_providers, engine_folder
from bmenet.runtime.errors import BMENetError, WeightsError

_QUIET = 3
"""ONNX Runtime's severity of errors: its warnings are about nodes that run on the CPU on purpose."""


@dataclass(frozen=True)
class Sessions:
    """The graphs of a bundle, each opened on its first run.

    Parameters
    ----------
    precision : {"fp32", "fp16"}
        The constraint's gradient is float32 in both.
    providers : sequence of str
        The first one that knows an operation runs it.
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
        is_fixed = "tensorrt" in self.providers
        shapes = {key: tuple(tensor.shape) for key, tensor in feed.items()}
        key = f"{name} {sorted(shapes.items())}" if is_fixed else name
        if key not in self._open:
            self._open[key] = self._load(name, shapes if is_fixed else {})
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
        missing = [name for name in self.providers if PROVIDERS[name] not in session.get_providers()]
        if missing:
            raise BMENetError(
                f"providers: expected {', '.join(self.providers)}; ONNX Runtime could not start {', '.join(missing)}"
                " (its libraries do not fit); leave it out"
            )
        return session

    def _options(self, name: str, graph: Graph, shapes: dict[str, tuple[int, ...]]) -> Any:
        """Return a session's options."""
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


def open_sessions(
    bundle: Bundle, precision: Precision, providers: Sequence[str] | None = None, device: str = "auto"
) -> Sessions:
    """Return the sessions of a bundle on the providers that are wanted and work here.

    Parameters
    ----------
    precision : {"fp32", "fp16"}
    providers : sequence of str, optional
        In the order of preference; by default those of `device`: cuda and cpu, cpu, or cuda.
    device : {"auto", "cpu", "cuda"}

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


def _reason(error: Exception) -> str:
    """Return an error's text on one line."""
    return " ".join(str(error).split())[:300]
