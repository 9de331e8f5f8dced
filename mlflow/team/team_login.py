"""Who gets in: MLflow's own login, and nobody to MLflow's assistant.

The assistant edits files and calls a shell on the server for every user whose connection comes from the server's
machine, and that of everybody who uses a tunnel or a proxy there does. MLflow has no switch for it.
"""

from flask import Response, request
from mlflow.server.auth import authenticate_request_basic_auth

_CLOSED = "/mlflow/assistant"


def authorize():
    """Return the login of the present request, or the answer that refuses it."""
    if _CLOSED in request.path:
        return Response("expected a request for something else; got one for the assistant, which is off here", 403)
    return authenticate_request_basic_auth()
