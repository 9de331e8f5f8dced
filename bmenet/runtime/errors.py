"""Errors a user can act on: what was expected, what was got, where, and what to do."""


class BMENetError(Exception):
    """Base of every error that BMENet raises on purpose; the CLI prints it on one line and exits with 1."""


class ConfigError(BMENetError):
    """A key of params.yaml is unknown, missing, of the wrong type or out of range."""


class VolumeError(BMENetError):
    """A file is not a readable 3D T1-weighted volume."""


class GridMismatchError(BMENetError):
    """Two volumes that must share one grid do not."""


class SourceError(BMENetError):
    """A data source cannot yield its subjects: a download failed, a folder is missing, a table is wrong."""


class RegistrationError(BMENetError):
    """Rigid registration failed or its result does not resemble the template."""


class TrackingError(BMENetError):
    """The tracking store does not take records that must be sent now."""


class WeightsError(BMENetError):
    """A weights folder is incomplete, corrupt, or of a version this code cannot read."""


class TrainingError(BMENetError):
    """A training cannot go on: its loss is not finite, or it was asked to stop."""
