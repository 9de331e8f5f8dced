"""What the training stages of the second stage have in common: the setting, its fingerprint, their inputs."""

from collections.abc import Callable, Sequence

from torch import nn

from bmenet.config import Config
from bmenet.data.layout import Layout
from bmenet.networks.weights import Spec
from bmenet.runtime.files import read_json
from bmenet.training.engine.session import Trained
from bmenet.training.engine.setting import Setting
from bmenet.training.engine.stage import run_training_stage


def run_fine_stage(
    kind: str,
    config: Config,
    layout: Layout,
    *,
    signature: Callable[[Setting], str],
    train: Callable[[Setting, str], Trained],
    describe: Callable[[Setting, nn.Module], Spec],
    parents: Sequence[str] = (),
    sees_coarse: bool = False,
) -> None:
    """Run the stage ``train_<kind>`` of the second stage from its newest checkpoint to the end.

    Parameters
    ----------
    kind : str
    config : Config
    layout : Layout
    signature, train, describe : callable
        From the setting to what `run_training_stage` wants.
    parents : sequence of str
        The networks that it builds on.
    sees_coarse : bool
        Whether it is trained on coarse results.
    """
    setting = Setting(config, layout, read_json(layout.split))
    fingerprint = signature(setting)
    coarse = [layout.coarse_folder] if sees_coarse else []
    run_training_stage(
        kind,
        config,
        layout,
        fingerprint,
        [layout.registered, *coarse, layout.split, *map(layout.weights, parents)],
        lambda logger: train(setting.with_logger(logger), fingerprint),
        lambda network: describe(setting, network),
    )
