"""Scope `sampling`: the trained second stage, sampled in another way; nothing is trained."""

import hashlib
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from bmenet.config import Config
from bmenet.restoration.fine_net import FineNet, FineNetworks
from bmenet.tuning.objective import Case, Outcome, Report
from bmenet.tuning.plan import Plan

T = TypeVar("T")


class SamplingObjective:
    """Sample the second stage on every validation case, a pruned trial only on the first few."""

    def __init__(self, plan: Plan, device: torch.device) -> None:
        net = FineNet.from_folder(plan.layout.weights_folder, device)
        self.networks = RememberingNetworks(net.networks)
        self.net = replace(net, networks=self.networks)
        self.cases = [Case(plan, *case) for case in plan.cases]

    def __call__(self, config: Config, report: Report) -> Outcome:
        """Return what `config.sampling` reaches; reports the mean gain after each case."""
        outcome = Outcome()
        for number, case in enumerate(self.cases, start=1):
            restored, seconds = timed_restore(self.net, case.given.data, config)
            outcome.add(case, restored, seconds)
            report(number, float(np.mean(outcome.gains)))
        return outcome


def timed_restore(net: FineNet, coarse: np.ndarray, config: Config) -> tuple[np.ndarray, float]:
    """Return the enhanced volume and its seconds, those included that were saved because something was remembered."""
    networks = net.networks
    device = networks.device.type
    saved = networks.saved_seconds if isinstance(networks, RememberingNetworks) else 0.0
    start = clock(device)
    restored = net.restore(coarse, config.sampling, config.seed).data
    seconds = clock(device) - start
    if isinstance(networks, RememberingNetworks):
        seconds += networks.saved_seconds - saved
    return restored, seconds


def clock(device: str) -> float:
    """Return seconds: of the cores on a CPU, so that other workers do not count; of the wall clock on a GPU."""
    if device == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


class RememberingNetworks:
    """Networks that do not compute again what depends on the reference alone: E(r), E_edge(G(r)), c and D(E(r)).

    `saved_seconds` were not spent, since the first computation took so long.
    """

    def __init__(self, networks: FineNetworks) -> None:
        self._networks = networks
        self._kept: dict[tuple[str, str], tuple[Tensor, float]] = {}
        self._reference_latents: set[str] = set()
        self.saved_seconds = 0.0

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return self._networks.device

    def encode(self, volume: Tensor) -> Tensor:
        """Return E(x)."""
        latent = self._remember("encode", volume, self._networks.encode)
        self._reference_latents.add(_digest(latent))
        return latent

    def encode_edges(self, edges: Tensor) -> Tensor:
        """Return E_edge of an edge map."""
        return self._remember("encode_edges", edges, self._networks.encode_edges)

    def covariates(self, volume: Tensor) -> Tensor:
        """Return c."""
        return self._remember("covariates", volume, self._networks.covariates)

    def noises(
        self, noisy_latent: Tensor, timestep: Tensor, covariates: Tensor, hint: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Return ``epsilon_h`` and ``epsilon``, computed anew."""
        return self._networks.noises(noisy_latent, timestep, covariates, hint)

    def decode(self, latent: Tensor) -> Tensor:
        """Return D(z), remembered if z is a reference's."""
        if _digest(latent) in self._reference_latents:
            return self._remember("decode", latent, self._networks.decode)
        return self._networks.decode(latent)

    def ncc_gradient(self, latent: Tensor, base: Tensor, gain: float, reference: Tensor, window: int) -> Tensor:
        """Return ``d/dz NCC(base + gain D(z), reference)``, computed anew."""
        return self._networks.ncc_gradient(latent, base, gain, reference, window)

    def _remember(self, name: str, given: Tensor, compute: Callable[[Tensor], Tensor]) -> Tensor:
        key = name, _digest(given)
        if key in self._kept:
            result, seconds = self._kept[key]
            self.saved_seconds += seconds
        else:
            start = clock(self.device.type)
            result = compute(given)
            self._kept[key] = result, clock(self.device.type) - start
        return result.clone()


def _digest(tensor: Tensor) -> str:
    return hashlib.blake2b(tensor.detach().cpu().contiguous().numpy().tobytes(), digest_size=16).hexdigest()
