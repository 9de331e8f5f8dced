"""Give the served model a login of its own, made by the admin, and see that there is a champion to serve.

Takes MLFLOW_TRACKING_URI, MLFLOW_AUTH_ADMIN_PASSWORD and MODEL_PASSWORD from the environment, so that no command line
holds a password. Repeating it does no harm; a new MODEL_PASSWORD replaces the old one.
"""

import base64
import json
import os
import sys
import urllib.error
import urllib.request

USER = "model"  # like every user that nothing was granted to, it may read and no more
_TIMEOUT_S = 30
# A proxy between this machine and its own server would only be in the way.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def main() -> None:
    """Exit with a message if the model cannot be served."""
    admin, password = os.environ["MLFLOW_AUTH_ADMIN_PASSWORD"], os.environ["MODEL_PASSWORD"]
    account = {"username": USER, "password": password}
    status = _ask("admin", admin, "GET", f"users/get?username={USER}")
    if status == 404:
        status = _ask("admin", admin, "POST", "users/create", account)
    elif status == 200:
        status = _ask("admin", admin, "PATCH", "users/update-password", account)
    if status == 401:
        sys.exit(
            "expected the admin's password; got one that the tracking server does not take: if it was changed, write"
            " the new one to where it is kept"
        )
    if status != 200:
        sys.exit(f"expected the tracking server to make the user {USER!r}; got status {status}: see its log")
    status = _ask(USER, password, "GET", "registered-models/alias?name=bmenet&alias=champion")
    if status != 200:
        sys.exit(
            f"expected a model bmenet@champion on the tracking server; got status {status}: publish one there with"
            " `dvc repro --force --single-item publish`, then start again"
        )


def _ask(user: str, password: str, method: str, path: str, body: dict[str, str] | None = None) -> int:
    """Return the status of a request that `user` makes."""
    login = base64.b64encode(f"{user}:{password}".encode()).decode()
    request = urllib.request.Request(
        f"{os.environ['MLFLOW_TRACKING_URI'].rstrip('/')}/api/2.0/mlflow/{path}",
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Basic {login}", "Content-Type": "application/json"},
        method=method,
    )
    try:
        with _OPENER.open(request, timeout=_TIMEOUT_S) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


if __name__ == "__main__":
    main()
