"""`bmenet serve`: answer over HTTP with a model, within limits."""

import logging
import socket
from typing import Annotated

import typer

from bmenet.cli.errors import exit_on_error
from bmenet.runtime.errors import BMENetError, ConfigError

_GRACE_S = 5
"""For answers on their way when the server stops, and for bodies that are still sent."""


def serve(
    model: Annotated[
        str, typer.Option(metavar="MODEL", help="A registered model, a bundle, or the name of released weights.")
    ] = "models:/bmenet@champion",
    host: Annotated[
        str, typer.Option(help="The address to listen on; beyond this machine BMENET_TOKEN must be set.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: a free one.")] = 5001,
    timeout: Annotated[int, typer.Option(min=1, help="Seconds for one request, waiting included.")] = 900,
) -> None:
    """Serve a model, by default the champion of the registry; `bmenet client` asks it. Prints the address.

    Takes requests as `mlflow models serve` does, and limits their size, number and time. BMENET_* variables set the
    limits, and what runs the networks: see docs/deployment.md.
    """
    with exit_on_error():
        import uvicorn

        from bmenet.serving import Guard, Service, Settings
        from bmenet.serving.settings import is_loopback

        settings = Settings.from_environment().model_copy(update={"job_timeout_s": timeout})
        if settings.token is None and not is_loopback(host):
            raise ConfigError(
                f"--host {host}: expected BMENET_TOKEN for a server that others can reach; got none; make one with"
                " `openssl rand -hex 32`"
            )
        from bmenet.release.models import find_model  # loads torch, and nobody is to wait on a port meanwhile

        try:
            listening = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        except OSError as error:
            raise BMENetError(f"{host}, port {port}: cannot listen there ({error.strerror}); choose another") from error
        logging.basicConfig(format="%(asctime)s %(message)s")
        logging.getLogger("bmenet.serving").setLevel(logging.INFO)
        with listening, find_model(model) as found:
            if found.bundle is None:
                raise BMENetError(f"{model}: expected a bundle; got weights alone; run `bmenet export` and name that")
            service = Service.of_bundle(found.bundle, settings)
            guard = Guard(service)

            class Server(uvicorn.Server):
                """Ends open requests when it is told to stop; uvicorn waits for them, however long they take."""

                def handle_exit(self, sig: int, frame: object) -> None:
                    guard.stop()
                    super().handle_exit(sig, frame)  # type: ignore[arg-type]

            try:
                shown = f"[{host}]" if ":" in host else host
                typer.echo(f"http://{shown}:{listening.getsockname()[1]}")
                config = uvicorn.Config(
                    guard, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=_GRACE_S
                )
                Server(config).run([listening])
            finally:
                service.jobs.close()
