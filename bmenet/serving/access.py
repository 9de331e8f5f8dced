"""Who may ask: a request's host, its token, and the address that it came in on."""

import hmac
import ipaddress
from collections.abc import Mapping
from typing import Any

from bmenet.serving.limits import Limits
from bmenet.serving.refusal import Refusal

Headers = Mapping[str, list[str]]
"""Name in lower case to values."""


def read_headers(scope: Mapping[str, Any]) -> Headers:
    """Return the headers of an ASGI scope."""
    headers: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
    return headers


def check_host(scope: Mapping[str, Any], headers: Headers, limits: Limits) -> None:
    """Refuse names that this server does not go by: a web page whose name was bent to this machine ends here.

    Raises
    ------
    Refusal
        400 without exactly one Host, 421 for another one, 403 beyond loopback where there is no token.
    """
    hosts = headers.get("host", [])
    if len(hosts) != 1:
        raise Refusal(400, f"expected one Host header; got {len(hosts)}; send one")
    if _without_port(hosts[0]) not in limits.hosts:
        raise Refusal(
            421,
            "expected a Host that this server goes by; got another one; call it localhost, or set BMENET_ALLOWED_HOSTS"
            " to the names and addresses that clients use",
        )
    if limits.token is None and not _is_loopback(scope.get("server")):
        raise Refusal(
            403,
            "expected a connection from this machine, for the server has no token; got one from beyond; set"
            " BMENET_TOKEN where the server starts, and send it",
        )


def check_token(headers: Headers, limits: Limits) -> None:
    """Refuse, with 401, a request without the token, where there is one; in constant time."""
    if limits.token is None:
        return
    scheme, _, token = (headers.get("authorization") or [""])[0].partition(" ")
    is_same = hmac.compare_digest(token.strip().encode("latin-1"), limits.token.encode())
    if scheme.lower() != "bearer" or not is_same:
        raise Refusal(
            401,
            "expected the server's token as `Authorization: Bearer TOKEN`; got none, or another one; ask whoever runs"
            " the server",
            [("WWW-Authenticate", 'Bearer realm="bmenet"')],
        )


def _without_port(host: str) -> str:
    """Return the name or the address of ``name:port``, in lower case."""
    host = host.strip().lower()
    if host.startswith("["):
        return host[: host.find("]") + 1]
    return host.partition(":")[0]


def _is_loopback(server: Any) -> bool:
    """Tell whether the address that a connection came in on is this machine's alone; what cannot be told is not."""
    try:
        address = ipaddress.ip_address(server[0])
    except (ValueError, TypeError, IndexError):
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
