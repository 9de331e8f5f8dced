"""What a server takes on, from the environment: sizes, times, who may ask."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from bmenet.imaging.scan.header import MAX_VOXELS
from bmenet.runtime.errors import ConfigError

_MB = 1_000_000
_DAY_S = 86_400
_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True)
class Limits:
    """Limits of one server.

    Parameters
    ----------
    body_bytes : int
        Of a request.
    decompressed_bytes : int
        Of the voxels of one volume, as its header gives them.
    voxels : int
        Of one volume.
    waiting : int
        Jobs that may wait while one runs; each may hold a body in memory.
    body_timeout_s : int
        For a request to arrive whole.
    job_timeout_s : int
        For a request to wait and to be worked on: what ``mlflow models serve -t`` sets.
    token : str, optional
        Clients must send it; without it the server answers only on loopback addresses.
    hosts : frozenset of str
        What a request may name as its host, without a port, in lower case.
    """

    body_bytes: int = 256 * _MB
    decompressed_bytes: int = 1024 * _MB
    voxels: int = MAX_VOXELS
    waiting: int = 8
    body_timeout_s: int = 60
    job_timeout_s: int = 60
    token: str | None = field(default=None, repr=False)
    hosts: frozenset[str] = frozenset(_LOOPBACK_NAMES)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> "Limits":
        """Read the variables; one that is not set, or empty, has its default.

        Raises
        ------
        ConfigError
            If a variable makes no sense; its name is told, and no secret.
        """

        def number(name: str, default: int, least: int, most: int) -> int:
            text = environ.get(name, "").strip()
            try:
                value = int(text) if text else default
            except ValueError:
                value = least - 1
            if not least <= value <= most:
                raise ConfigError(
                    f"{name}: expected a whole number from {least} to {most}; got {text[:20]!r}; change or unset the"
                    " environment variable"
                )
            return value

        return cls(
            body_bytes=number("BMENET_MAX_BODY_MB", cls.body_bytes // _MB, 1, 4096) * _MB,
            decompressed_bytes=number("BMENET_MAX_DECOMPRESSED_MB", cls.decompressed_bytes // _MB, 1, 4096) * _MB,
            voxels=number("BMENET_MAX_VOXELS", cls.voxels, 1, MAX_VOXELS),
            waiting=number("BMENET_MAX_WAITING", cls.waiting, 0, 1000),
            body_timeout_s=number("BMENET_BODY_TIMEOUT_S", cls.body_timeout_s, 1, _DAY_S),
            job_timeout_s=number("MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT", cls.job_timeout_s, 1, 7 * _DAY_S),
            token=_token(environ.get("BMENET_TOKEN", "")),
            hosts=cls.hosts | _hosts(environ.get("BMENET_ALLOWED_HOSTS", "")),
        )


def _token(text: str) -> str | None:
    """Return the token, None where there is none."""
    if text and not (text.isascii() and text.isprintable() and " " not in text):
        raise ConfigError(
            "BMENET_TOKEN: expected printable ASCII without spaces, as a header can carry it; got something else;"
            " make one with `openssl rand -hex 32`"
        )
    return text or None


def _hosts(text: str) -> frozenset[str]:
    """Return the names of a comma list."""
    names = frozenset(name.strip().lower() for name in text.split(",") if name.strip())
    for name in names:
        has_port = ":" in name and not (name.startswith("[") and name.endswith("]"))
        if has_port or "/" in name or "*" in name or not name.isascii() or " " in name:
            raise ConfigError(
                "BMENET_ALLOWED_HOSTS: expected names or addresses with commas between, without scheme, port or *"
                f" (IPv6 in brackets); got {name[:40]!r}"
            )
    return names
