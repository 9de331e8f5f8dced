"""What a server takes on, who may ask, and what runs the networks: from the environment."""

import ipaddress
import os
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator, model_validator

from bmenet.imaging.scan.nifti import MAX_VOXELS
from bmenet.runtime.errors import ConfigError

MB = 1_000_000
_DAY_S = 86_400
_Host = Annotated[str, StringConstraints(to_lower=True, pattern=r"^([^\s:/*]+|[0-9a-fA-F:.]+)$")]
_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


class Settings(BaseModel):
    """Settings of one server.

    Parameters
    ----------
    max_body_mb, max_decompressed_mb : int
        Of a request, and of the voxels of one volume as its header gives them; 1 MB is 10^6 bytes.
    max_voxels : int
        Of one volume.
    max_waiting : int
        Jobs that may wait while one runs; each may hold a body in memory.
    body_timeout_s, job_timeout_s : int
        For a request to arrive whole; to wait and to be worked on, what ``mlflow models serve -t`` sets.
    token : str, optional
        Clients must send it: printable ASCII without spaces, as a header can carry it.
    hosts : frozenset of str
        Host names of requests, without a port, in lower case, beside those of this machine.
    runtime, device, precision : str
        What runs the networks; no precision is fp32.
    providers : tuple of str, optional
        With onnx, in the order wanted; they take the device's place.
    """

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    max_body_mb: int = Field(256, ge=1, le=4096, alias="BMENET_MAX_BODY_MB")
    max_decompressed_mb: int = Field(1024, ge=1, le=4096, alias="BMENET_MAX_DECOMPRESSED_MB")
    max_voxels: int = Field(MAX_VOXELS, ge=1, le=MAX_VOXELS, alias="BMENET_MAX_VOXELS")
    max_waiting: int = Field(8, ge=0, le=1000, alias="BMENET_MAX_WAITING")
    body_timeout_s: int = Field(60, ge=1, le=_DAY_S, alias="BMENET_BODY_TIMEOUT_S")
    job_timeout_s: int = Field(60, ge=1, le=7 * _DAY_S, alias="MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT")
    token: str | None = Field(None, pattern="^[!-~]+$", repr=False, alias="BMENET_TOKEN")
    hosts: frozenset[_Host] = Field(_LOOPBACK_NAMES, alias="BMENET_ALLOWED_HOSTS")
    runtime: Literal["onnx", "torch"] = Field("onnx", alias="BMENET_RUNTIME")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", alias="BMENET_DEVICE")
    providers: tuple[Literal["tensorrt", "cuda", "cpu"], ...] | None = Field(None, alias="BMENET_PROVIDERS")
    precision: Literal["fp32", "fp16"] | None = Field(None, alias="BMENET_PRECISION")

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> "Settings":
        """Read the variables; one that is not set, or empty, has its default.

        Raises
        ------
        ConfigError
            If a variable makes no sense; the message has its name, and no token.
        """
        given = {name: text for name, text in environ.items() if text.strip()}
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            first = error.errors()[0]
            name = str(first["loc"][0]) if first["loc"] else "BMENET_PROVIDERS"
            got = "something else" if name == "BMENET_TOKEN" else repr(given.get(name, "")[:40])
            expected = first["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
            raise ConfigError(f"{name}: expected {expected}; got {got}; change or unset it") from None

    @field_validator("hosts", "providers", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        """Take a text with commas for a list; an IPv6 address may stand in brackets."""
        return [name.strip(" []") for name in value.split(",") if name.strip()] if isinstance(value, str) else value

    @field_validator("hosts")
    @classmethod
    def _with_loopback(cls, hosts: frozenset[str]) -> frozenset[str]:
        return hosts | _LOOPBACK_NAMES

    @model_validator(mode="after")
    def _check_runtime(self) -> "Settings":
        """Refuse for torch what only ONNX Runtime has, and a provider named twice."""
        if self.runtime != "onnx" and (self.providers or self.precision):
            raise ValueError("BMENET_RUNTIME onnx beside it or BMENET_PRECISION: torch has neither")
        if self.providers and len(set(self.providers)) < len(self.providers):
            raise ValueError("each provider once")
        return self

    @property
    def max_body_bytes(self) -> int:
        """Return the largest body."""
        return self.max_body_mb * MB

    def of_networks(self) -> dict[str, Any]:
        """Return what runs the networks, as `Enhancer.from_bundle` takes it."""
        options: dict[str, Any] = {"runtime": self.runtime, "device": self.device}
        if self.runtime == "onnx":
            options |= {"providers": self.providers and list(self.providers), "precision": self.precision or "fp32"}
        return options


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches a server that listens on `host`; an unknown name is not loopback."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.lower() == "localhost"
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback
