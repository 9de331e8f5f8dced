"""MLflow's own login, and no way to MLflow's assistant.

The assistant edits files and runs shell commands on the server for every user whose connection comes from the server's
machine, as through a tunnel. MLflow has no switch for it.
"""

from flask import Response, request
from mlflow.server.auth import authenticate_request_basic_auth

_CLOSED = "/mlflow/assistant"


def authorize():
    """Return the login of the present request, or the answer that refuses it."""
    if _CLOSED in request.path:
        return Response("expected a request for something else; got one for the assistant, which is off here", 403)
    return authenticate_request_basic_auth()
