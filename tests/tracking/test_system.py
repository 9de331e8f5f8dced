from bmenet.tracking.system import SystemSampler


def test_sampler_takes_a_last_sample_however_short_the_stage():
    samples = []
    sampler = SystemSampler(lambda values, step: samples.append((step, values)), first_step=4)
    sampler.start()
    sampler.close()
    ((step, values),) = samples
    assert step == 4
    assert values["system/process_memory_megabytes"] > 10
    assert 0 <= values["system/cpu_utilization_percentage"] <= 100
    assert 0 < values["system/system_memory_usage_percentage"] < 100


def test_sampler_outlives_a_measurement_that_fails(monkeypatch):
    outcomes = iter([OSError("hidden"), {"cpu": 1.0}])

    def measure():
        outcome = next(outcomes)
        if isinstance(outcome, OSError):
            raise outcome
        return outcome

    samples = []
    monkeypatch.setattr("bmenet.tracking.system._INTERVAL_S", 0.01)
    monkeypatch.setattr("bmenet.tracking.system._measure", measure)
    sampler = SystemSampler(lambda values, step: samples.append((step, values)), first_step=0)
    sampler.start()
    sampler.join(0.2)
    sampler.close()
    assert samples == [(0, {"system/cpu": 1.0})]
