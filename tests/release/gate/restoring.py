"""Validation volumes that are too dark, and models that brighten them: how well is written in their bundle."""

from dataclasses import dataclass

from bmenet.data.layout import Layout
from bmenet.imaging.volume import Volume, save_unit_volume
from bmenet.restoration.bundle import Bundle
from bmenet.runtime.files import write_json

DARKENING = 0.8
SUBJECTS = ("sub-01", "sub-02", "sub-03")


@dataclass(frozen=True)
class Brightener:
    """Multiplies by a gain: 1.25 is right."""

    gain: float

    def restore(self, volume: Volume) -> Volume:
        return volume.with_data(volume.data * self.gain)


def load_brightener(bundle: Bundle, stage: str) -> Brightener:
    """Read the gain where a real bundle has its weights."""
    return Brightener(float((bundle.folder / "weights" / "coarse" / "model.safetensors").read_text()))


def write_validation(phantom: Volume, subjects: tuple[str, ...] = SUBJECTS, codes: tuple[str, ...] = ("111",)) -> None:
    """Write a split, and clean and dark volumes of the validation subjects, each of its own brightness."""
    layout = Layout()
    write_json(layout.split, {"train": ["sub-90"], "validation": list(subjects), "test": ["sub-91"]})
    for number, subject in enumerate(subjects):
        clean = phantom.with_data(phantom.data * (1 - 0.05 * number))
        save_unit_volume(layout.clean(subject), clean)
        for code in codes:
            save_unit_volume(layout.degraded(subject, code), clean.with_data(clean.data * DARKENING))
