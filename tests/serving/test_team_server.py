"""The server for a team: the command of mlflow/README.md with a real PostgreSQL, and what the compose file says."""

import os
import re
import secrets
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
import requests
import yaml

from bmenet.config import load_config
from bmenet.tracking import track_stage
from tests.serving.stand_in import wait_for

REPOSITORY = Path(__file__).parents[2]
FOLDER = REPOSITORY / "mlflow"
README = (FOLDER / "README.md").read_text()
NEEDED = ("PGPASSWORD", "MLFLOW_AUTH_ADMIN_PASSWORD", "MLFLOW_FLASK_SERVER_SECRET_KEY", "MLFLOW_CRYPTO_KEK_PASSPHRASE")

_initdb = shutil.which("initdb") or next(map(str, Path("/usr/lib/postgresql").glob("*/bin/initdb")), None)
needs_postgres = pytest.mark.skipif(
    _initdb is None, reason="expected PostgreSQL; got none: install the package postgresql"
)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


class Team:
    """A tracking server that runs as the README has it."""

    def __init__(self, folder: Path, database_port: int, passwords: dict[str, str]) -> None:
        self.port, self.passwords = _free_port(), passwords
        self.log, self.artifacts = folder / "mlflow.log", folder / "artifacts"
        self.url = f"http://127.0.0.1:{self.port}"
        (command,) = re.findall(r"    mlflow server (?:.*\\\n)*.*", README)
        exports = dict(re.findall(r"(\w+)=(\S+)", " ".join(re.findall(r"    export (?:PG|MLFLOW_SERVER).*", README))))
        command = command.replace("\\\n", " ").replace("5000", str(self.port)).replace("--workers 2", "--workers 1")
        self.command = shlex.split(command.replace("/srv/bmenet/artifacts", str(self.artifacts)))
        kept = {name: text for name, text in os.environ.items() if not name.startswith(("MLFLOW_", "BMENET_", "PG"))}
        self.environment = (
            kept
            | {name: text.replace("$PWD", str(REPOSITORY)) for name, text in exports.items()}
            | {"PGPORT": str(database_port), "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
            | passwords
        )

    def start(self) -> None:
        with open(self.log, "a") as log:
            self.process = subprocess.Popen(
                self.command, env=self.environment, cwd=self.log.parent, stdout=log, stderr=log, start_new_session=True
            )
        wait_for(lambda: self.process.poll() is not None or self._is_up(), seconds=180)
        assert self.process.poll() is None, self.log.read_text()

    def stop(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, 15)
        self.process.wait(30)
        wait_for(lambda: not self._is_up(), seconds=30)

    def _is_up(self) -> bool:
        with suppress(requests.ConnectionError):
            return requests.get(f"{self.url}/health", timeout=30).text == "OK"
        return False

    def ask(self, method: str, path: str, user: str = "admin", password: str = "", **request) -> requests.Response:
        login = (user, password or self.passwords["MLFLOW_AUTH_ADMIN_PASSWORD"])
        return requests.request(method, self.url + path, auth=login, timeout=30, **request)


@pytest.fixture(scope="module")
def team():
    """A PostgreSQL of its own with the role and the database of the README, and what is needed to run MLflow on it."""
    passwords = {name: secrets.token_hex(24) for name in NEEDED}
    binaries = Path(os.path.realpath(_initdb)).parent
    as_owner = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []  # PostgreSQL refuses to run as root
    # A folder that PostgreSQL's user can reach, unlike pytest's own, and whose path is short.
    with tempfile.TemporaryDirectory(prefix="bmenet-team-", ignore_cleanup_errors=True) as name:
        data, port = Path(name) / "data", _free_port()

        def run(*command, **options):
            subprocess.run([*as_owner, *command], check=True, capture_output=True, cwd="/", **options)

        Path(name).chmod(0o777)
        run(binaries / "initdb", "-D", data, "-U", "postgres", "--auth-local=trust", "--auth-host=scram-sha-256")
        options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={name}"
        run(binaries / "pg_ctl", "start", "-w", "-D", data, "-o", options, "-l", Path(name) / "postgres.log")
        try:
            sql = f"CREATE ROLE mlflow LOGIN PASSWORD '{passwords['PGPASSWORD']}'; CREATE DATABASE mlflow OWNER mlflow"
            for statement in sql.split("; "):
                run("psql", "-h", name, "-p", str(port), "-U", "postgres", "-c", statement)
            yield Team(Path(name), port, passwords)
        finally:
            run(binaries / "pg_ctl", "stop", "-w", "-D", data, "-m", "immediate")


@pytest.fixture(scope="module")
def server(team):
    try:
        team.start()
        yield team
    finally:
        team.stop()


@needs_postgres
def test_it_answers_to_who_is_known_and_to_its_own_name_and_runs_nothing_that_was_sent(server):
    search = "/api/2.0/mlflow/experiments/search?max_results=1"
    for path in ("/", search, "/api/2.0/mlflow-artifacts/artifacts", "/ajax-api/3.0/jobs/x", "/graphql"):
        assert requests.get(server.url + path, timeout=30).status_code in (401, 405), path
    assert server.ask("GET", search, password="wrong").status_code == 401
    assert server.ask("GET", search).status_code == 200
    create = "/api/2.0/mlflow/experiments/create"
    for headers in ({"Host": "rebound.example"}, {"Host": f"127.0.0.1:{server.port + 1}"}):
        assert server.ask("GET", "/", headers=headers).status_code == 403
    foreign = {"Origin": "http://page.example"}
    assert server.ask("POST", create, json={"name": "foreign"}, headers=foreign).status_code == 403
    job = server.ask("POST", "/ajax-api/3.0/jobs/", json={"job_name": "invoke_scorer", "params": {}})
    assert "not enabled" in job.text
    for method, path in (("GET", "config"), ("PUT", "config"), ("POST", "message"), ("POST", "skills/install")):
        assert server.ask(method, f"/ajax-api/3.0/mlflow/assistant/{path}", json={}).status_code == 403
    assert server.environment["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] == "false"


@needs_postgres
def test_member_reads_all_and_changes_what_was_granted(server):
    member = {"username": "member", "password": "correct horse battery"}
    assert server.ask("POST", "/api/2.0/mlflow/users/create", json=member).status_code == 200
    run = server.ask("POST", "/api/2.0/mlflow/experiments/create", json={"name": "granted"}).json()

    def by_member(method, path, **request):
        return server.ask(method, path, member["username"], member["password"], **request).status_code

    assert by_member("GET", f"/api/2.0/mlflow/experiments/get?experiment_id={run['experiment_id']}") == 200
    assert by_member("POST", "/api/2.0/mlflow/runs/create", json=run) == 403
    grant = {"username": "member", "resource_type": "experiment", "permission": "EDIT"}
    grant["resource_id"] = run["experiment_id"]
    answer = server.ask("POST", "/api/3.0/mlflow/users/permissions/grant", json=grant)
    assert answer.status_code == 200, answer.text
    assert by_member("POST", "/api/2.0/mlflow/runs/create", json=run) == 200
    assert by_member("POST", "/api/2.0/mlflow/users/create", json={"username": "x", "password": "y" * 12}) == 403


@needs_postgres
def test_stages_are_tracked_on_it_and_runs_models_and_files_outlive_a_restart(server, workspace, monkeypatch, tmp_path):
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", server.passwords["MLFLOW_AUTH_ADMIN_PASSWORD"])
    client = MlflowClient(tracking_uri=server.url)
    Path("scan.txt").write_text("a scan")
    with track_stage(load_config(), "train_coarse") as run:
        run.log_metrics({"loss": 0.5}, 0)
        run.log_artifact(Path("scan.txt"))
    experiment = client.get_experiment_by_name("bmenet")
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert runs.keys() == {"train_coarse", "smoke pipeline"}
    assert not Path("mlflow/mlflow.db").exists()
    assert [path.read_text() for path in server.artifacts.rglob("scan.txt")] == ["a scan"]
    info = runs["train_coarse"].info
    client.create_registered_model("bmenet-kept")
    client.create_model_version("bmenet-kept", info.artifact_uri, info.run_id)
    client.set_registered_model_alias("bmenet-kept", "champion", "1")
    server.stop()
    server.start()
    assert client.get_run(info.run_id).data.metrics["loss"] == 0.5
    assert Path(client.download_artifacts(info.run_id, "scan.txt", tmp_path)).read_text() == "a scan"
    assert client.get_model_version_by_alias("bmenet-kept", "champion").run_id == info.run_id
    assert "Uvicorn running" in server.log.read_text()
    for name, secret in server.passwords.items():
        assert secret not in server.log.read_text() + " ".join(server.command), name


@pytest.fixture(scope="module")
def services():
    return yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"]


def test_compose_has_no_secret_of_its_own(services):
    text = (FOLDER / "compose.yaml").read_text()
    required = set(re.findall(r"\$\{(\w+):\?", text))
    secret = re.compile(r"PASSWORD|SECRET|PASSPHRASE|TOKEN|ACCESS_KEY")
    for service in services.values():
        for name, value in service.get("environment", {}).items():
            if secret.search(name):
                assert re.fullmatch(r"\$\{\w+:\?[^}]+\}", value), name
    assert {*NEEDED, "BMENET_TOKEN"} <= required
    assert not [name for name in re.findall(r"\$\{(\w+)(?!\w|:\?)", text) if secret.search(name)]
    assert set(re.findall(r"^(\w+)=$", (FOLDER / ".env.example").read_text(), re.M)) == required


def test_compose_publishes_on_this_machine_only_and_runs_nothing_that_was_sent(services):
    ports = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert ports.keys() == {"tracking", "model"}
    assert all(port.startswith("${BIND_ADDRESS:-127.0.0.1}:") for published in ports.values() for port in published)
    kept = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}
    for name in ("tracking", "model"):
        assert services[name]["environment"].items() >= kept.items()
    command = services["tracking"]["command"]
    assert command[command.index("--app-name") + 1] == "basic-auth"
    assert {"--allowed-hosts", "--cors-allowed-origins", "--serve-artifacts"} <= set(command)
    assert services["model"]["command"][:2] == ["bmenet", "serve"]


def test_images_are_pinned_and_have_the_files_that_they_copy(services):
    images = [service["image"] for service in services.values() if "build" not in service]
    dockerfile = (FOLDER / "Dockerfile").read_text()
    stages = set(re.findall(r" AS (\w+)", dockerfile))
    images += [image for image in re.findall(r"^FROM (\S+)", dockerfile, re.M) if image not in stages]
    assert len(images) >= 3
    assert all(re.search(r":\d+\.\d+[\w.-]*$", image) for image in images), images
    assert all("--constraint" in install for install in re.findall(r"pip install.*", dockerfile) or [""])
    copied = {name for line in re.findall(r"^COPY (.*) \S+$", dockerfile, re.M) for name in line.split()}
    allowed = {line[1:] for line in (FOLDER / "Dockerfile.dockerignore").read_text().splitlines() if line[:1] == "!"}
    assert copied == allowed
    assert all((REPOSITORY / name).exists() for name in copied)
