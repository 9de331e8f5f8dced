"""ONNX Runtime sessions of a bundle's graphs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bmenet.bundle import Bundle
from bmenet.bundle.external_data import check_external_data
from bmenet.bundle.manifest import Precision
from bmenet.errors import BMENetError, WeightsError
from bmenet.inference.providers import PROVIDERS, Provider

_QUIET = 3
"""ONNX Runtime's severity of errors: its warnings are about nodes that run on the CPU on purpose."""


@dataclass(frozen=True)
class Sessions:
    """Open the graphs of a bundle when they are first asked for.

    Parameters
    ----------
    bundle : Bundle
    precision : {"fp32", "fp16"}
        A graph that a bundle does not have in float16 is taken in float32.
    providers : sequence of str
        Those to use, the first one that knows an operation runs it.
    engines : Path, optional
        Where TensorRT keeps its engines.
    """

    bundle: Bundle
    precision: Precision = "fp32"
    providers: Sequence[Provider] = ("cpu",)
    engines: Path | None = None
    _open: dict[str, Any] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """Names of the graphs that there are."""
        return list(self.bundle.manifest.graphs["fp32"])

    def run(self, name: str, feed: Mapping[str, Tensor]) -> list[Tensor]:
        """Return a graph's outputs, float32 on the CPU, from its inputs by name.

        Raises
        ------
        WeightsError
            If the bundle has no such graph, or ONNX Runtime cannot load it.
        """
        arrays = {key: np.asarray(tensor.detach().cpu().numpy(), order="C") for key, tensor in feed.items()}
        return [torch.from_numpy(array) for array in self.session(name, feed).run(None, arrays)]

    def session(self, name: str, feed: Mapping[str, Tensor]) -> Any:
        """Return the session of a graph; TensorRT gets one for each shape of the inputs, for its shapes are fixed."""
        is_fixed = "tensorrt" in self.providers
        shapes = {key: tuple(tensor.shape) for key, tensor in feed.items()}
        key = f"{name} {sorted(shapes.items())}" if is_fixed else name
        if key not in self._open:
            self._open[key] = self._load(name, shapes if is_fixed else {})
        return self._open[key]

    def _load(self, name: str, shapes: dict[str, tuple[int, ...]]) -> Any:
        import onnxruntime

        graphs = self.bundle.manifest.graphs
        graph = graphs.get(self.precision, {}).get(name) or graphs["fp32"].get(name)
        if graph is None:
            raise WeightsError(f"{self.bundle.folder}: expected a graph {name!r}; got {', '.join(self.names)}")
        path = self.bundle.folder / graph.path
        check_external_data(path, self.bundle)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _QUIET
        options.intra_op_num_threads = torch.get_num_threads()
        # Idle threads of one session would spin on the cores of the next.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # The arena keeps what whole volumes needed once: 12 GiB at 1 mm, where 9 are enough.
        options.enable_cpu_mem_arena = name.startswith("coarse")
        for tensor in graph.inputs:
            for extent, value in zip(tensor.shape, shapes.get(tensor.name, ()), strict=False):
                if isinstance(extent, str):
                    options.add_free_dimension_override_by_name(extent, value)
        try:
            session = onnxruntime.InferenceSession(str(path), options, providers=self._provider_options())
        except Exception as error:  # of many kinds, all of ONNX Runtime's own
            raise WeightsError(f"{path}: ONNX Runtime cannot load it: {' '.join(str(error).split())[:300]}") from error
        missing = [name for name in self.providers if PROVIDERS[name] not in session.get_providers()]
        if missing:
            raise BMENetError(
                f"providers: expected {', '.join(self.providers)}; ONNX Runtime could not start {', '.join(missing)}"
                " (its libraries do not fit); leave it out"
            )
        return session

    def _provider_options(self) -> list[tuple[str, dict[str, str]]]:
        options: dict[Provider, dict[str, str]] = {name: {} for name in self.providers}
        if "tensorrt" in options and self.engines is not None:
            self.engines.mkdir(parents=True, exist_ok=True)
            options["tensorrt"] = {
                "trt_engine_cache_enable": "1",
                "trt_engine_cache_path": str(self.engines),
                "trt_timing_cache_enable": "1",
                "trt_timing_cache_path": str(self.engines),
                # The float16 graphs say themselves which layers are half.
                "trt_fp16_enable": str(int(self.precision == "fp16")),
                "trt_layer_norm_fp32_fallback": "1",
            }
        if "cuda" in options:
            options["cuda"] = {"use_tf32": "0"}
        return [(PROVIDERS[name], values) for name, values in options.items()]
