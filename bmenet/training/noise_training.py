"""Train whatever is trained by the noise it predicts, or helps to predict: prior, covariate encoder, ControlNet."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from bmenet.config import StepsConfig
from bmenet.training.engine.loader import batch_loader
from bmenet.training.engine.loop import Validation
from bmenet.training.engine.session import Task, Trained, train_network
from bmenet.training.engine.setting import Setting
from bmenet.training.noise_batches import NoiseBatches
from bmenet.training.noise_validation import BatchLoss, NoiseValidation

Examples = Sequence[Mapping[str, Tensor]]


def train_on_noise(
    name: str,
    setting: Setting,
    signature: str,
    *,
    steps: StepsConfig,
    examples: Examples,
    held_out: Examples,
    timesteps: int,
    build: Callable[[], nn.Module],
    objective: Callable[[torch.dtype], BatchLoss],
    validation: Callable[[NoiseValidation, torch.dtype], Validation],
    chances: Sequence[float] | None = None,
) -> Trained:
    """Train a network on noised latents.

    Parameters
    ----------
    name : str
        Of the network, its stage and its checkpoints.
    setting : Setting
    signature : str
        Fingerprint of all that decides the trained weights.
    steps : StepsConfig
    examples, held_out : sequence of mapping
        Of training and of validation: as of `NoiseBatches`.
    timesteps : int
        Drawn from [0, timesteps).
    build : callable
        Returns the network before its first step, on the CPU.
    objective : callable
        From the number format of the forward pass to the loss.
    validation : callable
        From the losses on `held_out` and the number format to the validation.
    chances : sequence of float, optional
        Of drawing each example; by default all are as likely.
    """
    config = setting.config
    batches = NoiseBatches(
        examples,
        chances or [1.0] * len(examples),
        crop=config.prior.crop,
        batch_size=steps.batch_size,
        timesteps=timesteps,
        seed=config.seed,
        key=name,
    )

    def losses(dtype: torch.dtype) -> NoiseValidation:
        return NoiseValidation(held_out, objective(dtype), timesteps, config.seed, dtype)

    return train_network(
        Task(
            name=name,
            build=build,
            load_batches=lambda start, accelerator: batch_loader(
                batches, start, steps.steps, config.training.workers, accelerator
            ),
            objective=objective,
            validation=lambda dtype: validation(losses(dtype), dtype),
        ),
        setting.schedule(steps),
        config.training.precision,
        config.seed,
        setting.checkpoints(name, signature),
        setting.logger,
    )
