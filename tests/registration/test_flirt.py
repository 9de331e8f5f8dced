import os
from pathlib import Path

import numpy as np
import pytest

from bmenet.imaging.grid import Grid, standard_grid
from bmenet.registration import flirt, register, rigid
from bmenet.registration.start import Start
from bmenet.runtime.errors import RegistrationError

# x to the right (determinant positive), 2 mm; and x to the left (determinant negative), 1 x 1 x 3 mm.
RIGHT = Grid((10, 20, 30), np.array([[2, 0, 0, -9], [0, 2, 0, -20], [0, 0, 2, 5], [0, 0, 0, 1.0]]))
LEFT = Grid((16, 16, 8), np.array([[-1, 0, 0, 7], [0, 1, 0, -8], [0, 0, 3, -12], [0, 0, 0, 1.0]]))


@pytest.fixture
def fake_flirt(tmp_path, monkeypatch):
    """Return a function that puts a program named flirt, written in sh, alone on PATH."""

    def install(script: str) -> Path:
        program = tmp_path / "bin" / "flirt"
        program.parent.mkdir()
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", os.pathsep.join([str(program.parent), "/bin", "/usr/bin"]))
        return program

    return install


def test_scaled_voxels_flips_x_only_when_the_determinant_is_positive():
    np.testing.assert_allclose(flirt.scaled_voxels(RIGHT) @ [0, 1, 2, 1], [18, 2, 4, 1])
    np.testing.assert_allclose(flirt.scaled_voxels(LEFT) @ [0, 1, 2, 1], [0, 1, 6, 1])


def test_from_fsl_of_the_identity_lays_the_fsl_origins_on_one_another():
    # By hand: FSL's origin is voxel (9, 0, 0) of RIGHT, at x = -9 + 18 = 9, (9, -20, 5) mm; and voxel (0, 0, 0) of
    # LEFT, at (7, -8, -12) mm. Both have x_fsl growing to the left, so the axes agree.
    moving2fixed = flirt.from_fsl(np.eye(4), moving=LEFT, fixed=RIGHT)
    np.testing.assert_allclose(moving2fixed @ [7, -8, -12, 1], [9, -20, 5, 1])
    np.testing.assert_allclose(moving2fixed[:3, :3], np.eye(3))
    shift = np.eye(4)
    shift[0, 3] = 5  # mm along x_fsl, which is to the left
    np.testing.assert_allclose(flirt.from_fsl(shift, RIGHT, RIGHT)[:3, 3], [-5, 0, 0], atol=1e-12)


@pytest.mark.parametrize("moving", [RIGHT, LEFT])
def test_to_fsl_is_undone_by_from_fsl(moving, generator):
    moving2fixed = np.eye(4)
    moving2fixed[:3] += generator.normal(size=(3, 4))
    matrix = flirt.to_fsl(moving2fixed, moving, standard_grid(2))
    np.testing.assert_allclose(flirt.from_fsl(matrix, moving, standard_grid(2)), moving2fixed, atol=1e-9)


def test_register_with_flirt_hands_over_the_start_and_checks_what_flirt_found(
    fake_flirt, moved_head, config, monkeypatch
):
    fake_flirt('test -s "$2" && test -s "$4" && cp "$6" "$8"')  # the result is the start
    monkeypatch.setattr(rigid, "find_start", lambda moving: Start(moved_head.moving2fixed, size=1.0))
    registration = register(moved_head.volume, config.model_copy(update={"backend": "flirt"}))
    np.testing.assert_allclose(registration.moving2fixed, moved_head.moving2fixed, atol=1e-6)
    assert (registration.backend, registration.similarity > 0.9) == ("flirt", True)


def test_estimate_tells_the_command_and_its_last_words_when_flirt_fails(fake_flirt, moved_head):
    fake_flirt("for i in 1 2 3 4 5 6 7; do echo line $i >&2; done; exit 3")
    with pytest.raises(RegistrationError, match=r"flirt -in .*-dof 6 -nosearch` ended with 3: line 3 \| .*line 7$"):
        flirt.estimate(moved_head.volume, moved_head.volume, np.eye(4))


def test_find_flirt_looks_in_fsldir_and_says_what_to_do_without(fake_flirt, monkeypatch, tmp_path):
    program = fake_flirt("true")
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("FSLDIR", str(tmp_path))
    assert flirt.find_flirt() == str(program)
    monkeypatch.delenv("FSLDIR")
    with pytest.raises(RegistrationError, match="install FSL or set the backend to ants"):
        flirt.find_flirt()
