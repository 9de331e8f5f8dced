"""`bmenet client`: have a scan restored by a server."""

import base64
import re
import time
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import urlsplit

import typer

from bmenet.cli.arguments import KeepFieldOption, OnlyBrainOption, OutputArgument, check_output
from bmenet.cli.errors import exit_on_error
from bmenet.runtime.errors import BMENetError, VolumeError
from bmenet.runtime.files import atomic_path
from bmenet.runtime.progress import console

if TYPE_CHECKING:
    import requests

_CONNECT_S = 10
_TRIES = 3
"""After the first one, where a server cannot be reached or is full."""
_GROUPS = {
    "queue": ("queue",),
    "registration": ("find-the-brain", "register", "return"),
    "network": ("restore",),
    "I/O": ("read", "write"),
}
"""What a line on stderr shows to the steps of the header Server-Timing."""


def client(
    scan: Annotated[Path, typer.Argument(metavar="SCAN", help="A T1-weighted scan: .nii or .nii.gz.")],
    out: OutputArgument,
    url: Annotated[
        str, typer.Option(help="Where `bmenet serve` or `mlflow models serve` runs.")
    ] = "http://127.0.0.1:5001",
    stage: Annotated[
        Literal["coarse", "fine"], typer.Option(help="How far to go: the 2D network alone, or 3D diffusion after it.")
    ] = "coarse",
    steps: Annotated[int | None, typer.Option(min=1, help="fine: steps of the sampler.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="fine: of the noise; the same seed gives the same file.")] = 0,
    keep_field: KeepFieldOption = False,
    only_brain: OnlyBrainOption = False,
    token: Annotated[
        str | None, typer.Option(envvar="BMENET_TOKEN", help="The server's token; better in the environment.")
    ] = None,
    timeout: Annotated[int, typer.Option(min=1, help="Seconds to wait for the answer.")] = 900,
) -> None:
    """Send a scan to a server, which restores it as `bmenet enhance` does; same grid, affine and scale. Prints OUT.

    The file is sent as it is, its header's free text included. Tells on stderr where the time went.
    """
    check_output(out, scan)
    if not out.name.endswith((".nii", ".nii.gz")):
        raise typer.BadParameter(f"{out}: expected .nii or .nii.gz, which servers send", param_hint="OUT")
    if steps is not None and stage != "fine":
        raise typer.BadParameter("expected --stage fine with it; got coarse", param_hint="--steps")
    if not re.fullmatch(r"https?://[^/\s@?#]+/?", url):
        raise typer.BadParameter(
            "expected http://HOST:PORT or https://HOST:PORT and nothing after it; got another text", param_hint="--url"
        )
    with exit_on_error():
        record: dict[str, object] = {"nifti": _read(scan), "stage": stage, "seed": seed}
        wanted = {"steps": steps, "keep_field": keep_field or None, "only_brain": only_brain or None}
        record |= {name: value for name, value in wanted.items() if value is not None}
        with console.status(f"{url}: waiting for the restored scan"):
            start = time.perf_counter()
            response = _post(url.rstrip("/"), record, token, timeout)
            total_s = time.perf_counter() - start
            _write(out, _volume(response, url))
    typer.echo(_split(response.headers.get("Server-Timing", ""), total_s), err=True)
    typer.echo(out)


def _read(scan: Path) -> str:
    """Return a file as base64."""
    try:
        if scan.is_dir():
            raise VolumeError(
                f"{scan}: expected a .nii or .nii.gz file; got a folder; convert the DICOM series first (dcm2niix), or"
                " restore it here with `bmenet enhance`"
            )
        return base64.b64encode(scan.read_bytes()).decode()
    except OSError as error:
        raise VolumeError(f"{scan}: cannot be read ({error.strerror})") from error


def _post(url: str, record: dict[str, object], token: str | None, timeout: int) -> "requests.Response":
    """Send one volume and return an answer that is a success; come back later to a server that is full."""
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3 import Retry

    def authorize(request: requests.PreparedRequest) -> requests.PreparedRequest:
        if token:
            request.headers["Authorization"] = f"Bearer {token}"
        return request

    # A full server says in Retry-After when to come back. A job that was begun is not asked for again.
    retry = Retry(
        connect=_TRIES,
        read=False,
        status=_TRIES,
        other=0,
        redirect=False,
        backoff_factor=0.5,
        status_forcelist=[503],
        allowed_methods=None,
        raise_on_status=False,
    )
    with requests.Session() as session:
        session.mount(url, HTTPAdapter(max_retries=retry))
        # This machine is never reached through a proxy; and given an `auth`, requests takes none from ~/.netrc.
        session.trust_env = urlsplit(url).hostname not in ("localhost", "127.0.0.1", "::1")
        try:
            response = session.post(
                f"{url}/invocations",
                json={"dataframe_records": [record]},
                auth=authorize,
                timeout=(_CONNECT_S, timeout),
                allow_redirects=False,
            )
        except requests.ReadTimeout as error:
            raise BMENetError(f"{url}: expected an answer within {timeout} s; got none; raise --timeout") from error
        except requests.ConnectionError as error:
            raise BMENetError(
                f"{url}: expected a server that answers; got no connection, or one that broke off; start it with"
                " `bmenet serve`, or name another one (--url)"
            ) from error
        except (requests.RequestException, ValueError) as error:
            raise BMENetError(f"{url}: expected an HTTP answer; got {type(error).__name__}; check --url") from error
    if response.status_code != 200:
        raise BMENetError(f"{url}: expected an enhanced scan; got {response.status_code}: {_reason(response)}")
    return response


def _reason(response: "requests.Response") -> str:
    """Return what a server says that does not send a volume."""
    try:
        message = str(response.json()["message"])[:1000]
        return "".join(character if character.isprintable() else " " for character in message)
    except (ValueError, KeyError, TypeError):
        return f"{response.reason}, and no reason that could be read; is this a server of bmenet?"


def _volume(response: "requests.Response", url: str) -> bytes:
    """Return the file in an answer."""
    try:
        return base64.b64decode(response.json()["predictions"][0]["nifti"], validate=True)
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise BMENetError(
            f"{url}: expected JSON with a volume (predictions, nifti); got something else; is this a server of bmenet?"
        ) from error


def _write(out: Path, packed: bytes) -> None:
    """Write what the server sent, which is .nii.gz, whole or not at all; unpacked if OUT is to be .nii."""
    from bmenet.imaging.scan.nifti import read_nifti

    try:
        with atomic_path(out) as temporary:
            temporary.write_bytes(packed)
            try:
                header, _ = read_nifti(temporary)  # whole, and of a sane size, before it is unpacked
                if not packed.startswith(b"\x1f\x8b"):
                    raise VolumeError("expected .nii.gz; got .nii")
            except VolumeError as error:
                reason = str(error).replace(str(temporary), "the answer")
                raise VolumeError(f"{out}: expected a volume from the server; got none: {reason}") from error
            if not out.name.endswith(".gz"):
                most = int(header.nifti["vox_offset"]) + header.data_bytes
                temporary.write_bytes(zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(packed, most))
    except OSError as error:
        raise VolumeError(f"{out}: cannot be written ({error.strerror or error})") from error


def _split(server_timing: str, total_s: float) -> str:
    """Return where the time went, in seconds, from the header that tells a server's share of it."""
    found = re.findall(r"([a-z-]+);dur=([0-9.]+)", server_timing)
    durations_s = {name: float(milliseconds) / 1000 for name, milliseconds in found}
    parts = {group: sum(durations_s.get(step, 0.0) for step in steps) for group, steps in _GROUPS.items()}
    parts["HTTP"] = max(total_s - sum(durations_s.values()), 0.0)
    return f"{total_s:.2f} s: " + ", ".join(f"{group} {seconds:.2f}" for group, seconds in parts.items())
