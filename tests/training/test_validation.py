import torch

from bmenet.config import Config
from bmenet.data.layout import Layout
from bmenet.networks.coarse import build_coarse
from bmenet.tracking import NullLogger
from bmenet.training.validation import CoarseValidation


def test_only_the_first_validation_volumes_count(config: Config, layout: Layout) -> None:
    def validate(subjects: list[str], volumes: int) -> dict[str, float]:
        coarse = config.coarse.model_copy(update={"validation_volumes": volumes})
        validation = CoarseValidation(coarse, layout, subjects, torch.float32, NullLogger())
        return validation(build_coarse(coarse).eval(), 1)[1]

    first = validate(["sub-01"], 1)
    assert validate(["sub-01", "sub-02"], 1) == first
    assert validate(["sub-01", "sub-02"], 2) != first
