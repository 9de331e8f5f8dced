"""Serve a model over HTTP: one service checks requests, queues them and enhances; two servers call it.

`bmenet serve` puts `Guard` before the service; ``mlflow models serve`` reaches it through ``mlflow/enhance_model.py``.
"""

from bmenet.serving.app import Guard
from bmenet.serving.jobs import Cancel
from bmenet.serving.request import Refusal, Request
from bmenet.serving.service import Service
from bmenet.serving.settings import Settings

__all__ = ["Cancel", "Guard", "Refusal", "Request", "Service", "Settings"]
