import os
import signal
import threading

import pytest

from bmenet.cli.errors import exit_on_error, run_stage
from bmenet.runtime.errors import BMENetError
from bmenet.runtime.files import atomic_path


@pytest.fixture
def call(monkeypatch):
    """Run a stage under a command line."""
    for variable in ("BMENET_SCHEDULER", "BMENET_WORKERS"):
        monkeypatch.setenv(variable, "restored after the test")
        monkeypatch.delenv(variable)

    def call(main, *arguments):
        monkeypatch.setattr("sys.argv", ["stage", *arguments])
        run_stage(main)

    return call


def test_options_reach_the_parallel_work(call):
    seen = {}
    call(lambda: seen.update(os.environ))
    assert "BMENET_SCHEDULER" not in seen
    call(lambda: seen.update(os.environ), "--scheduler", "tcp://127.0.0.1:8786", "--workers", "3")
    assert (seen["BMENET_SCHEDULER"], seen["BMENET_WORKERS"]) == ("tcp://127.0.0.1:8786", "3")
    with pytest.raises(SystemExit, match="2"):
        call(lambda: None, "--sheduler", "tcp://127.0.0.1:8786")


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (BMENetError("two\nlines"), 1, "bmenet: two lines\n"),
        (MemoryError("Unable to allocate 9 GiB"), 1, "bmenet: not enough memory: a head of 1 mm voxels takes 4 GiB"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), 1, "bmenet: not enough memory"),
        (KeyboardInterrupt(), 130, "bmenet: interrupted"),
    ],
)
def test_an_expected_error_and_ctrl_c_are_one_line_and_an_exit_code(call, capsys, error, code, told):
    def main():
        raise error

    with pytest.raises(SystemExit, match=str(code)):
        call(main)
    line = capsys.readouterr().err
    assert line.startswith(told)
    assert line.count("\n") == 1


def test_a_bug_is_shown(call):
    def main():
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        call(main)


def test_sigterm_removes_what_is_half_written_and_exits_with_143(call, tmp_path):
    def main():
        with atomic_path(tmp_path / "a.txt") as temporary:
            temporary.write_text("half")
            os.kill(os.getpid(), signal.SIGTERM)

    def ignore(*_):
        pass

    before = signal.signal(signal.SIGTERM, ignore)
    try:
        with pytest.raises(SystemExit, match="143"):
            call(main)
        assert signal.getsignal(signal.SIGTERM) is ignore
    finally:
        signal.signal(signal.SIGTERM, before)
    assert list(tmp_path.iterdir()) == []


def test_outside_the_main_thread_errors_are_caught_all_the_same():
    codes = []

    def work():
        try:
            with exit_on_error():
                raise BMENetError("no")
        except SystemExit as stop:
            codes.append(stop.code)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert codes == [1]


def test_an_unknown_option_of_a_stage_is_wrong_use(call):
    with pytest.raises(SystemExit, match="2"):
        call(lambda: None, "--sheduler", "tcp://127.0.0.1:8786")
