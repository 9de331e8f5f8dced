import pytest

from bmenet.training.engine.state import Schedule


@pytest.fixture
def schedule() -> Schedule:
    return Schedule(
        steps=100, learning_rate=1e-3, warmup_steps=9, weight_decay=0, gradient_clip=1, ema_decay=0.99,
        validate_every=10, patience=3, checkpoint_every=10, log_every=10,
    )  # fmt: skip


def test_rate_warms_up_linearly_to_its_peak_and_ends_near_zero(schedule: Schedule) -> None:
    rates = [schedule.rate(step) for step in range(100)]
    assert rates[0] == pytest.approx(1e-4)
    assert rates[4] == pytest.approx(5e-4)
    assert max(rates) == rates[9] == pytest.approx(1e-3)
    assert rates[9:] == sorted(rates[9:], reverse=True)
    assert 0 < rates[-1] < 1e-5


def test_averaging_is_short_sighted_at_first(schedule: Schedule) -> None:
    assert schedule.averaging(0) == pytest.approx(0.1)
    assert schedule.averaging(10_000) == 0.99
