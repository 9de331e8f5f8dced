"""The server for a team: by shell with a real PostgreSQL, and what the compose file says."""

import os
import re
import runpy
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
import yaml

from bmenet.config import load_config
from bmenet.tracking import track_stage

REPOSITORY = Path(__file__).parents[2]
SCRIPT = REPOSITORY / "mlflow" / "team.sh"
SECRETS = ("admin", "database", "encryption", "flask", "model")

needs_postgres = pytest.mark.skipif(
    not (shutil.which("initdb") or list(Path("/usr/lib/postgresql").glob("*/bin/initdb"))),
    reason="expected PostgreSQL; got none: install the package postgresql",
)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def team(*arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the script as on a machine where nothing is set."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "BMENET_", "PG"))}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    command = [SCRIPT, *map(str, arguments)]
    return subprocess.run(command, env=environment | variables, capture_output=True, text=True, timeout=240)


def processes_of(folder: Path) -> dict[int, str]:
    """Return the command lines of the processes that have to do with `folder`, without those that have ended."""
    found = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            command = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            environment = (place / "environ").read_bytes().decode(errors="replace")
            is_over = (place / "stat").read_text().rpartition(") ")[2].startswith("Z")
        except (OSError, ProcessLookupError):
            continue
        if str(folder) in command + environment and not is_over and int(place.name) != os.getpid():
            found[int(place.name)] = command
    return found


@dataclass(frozen=True)
class Team:
    """A running team server."""

    folder: Path
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def password(self) -> str:
        return (self.folder / "private" / "admin").read_text()

    def start(self, *options: str, **variables: str) -> None:
        done = team("start", self.folder, "--port", str(self.port), "--workers", "1", *options, **variables)
        assert done.returncode == 0, done.stdout + done.stderr

    def ask(self, method: str, path: str, user: str = "admin", password: str = "", **request) -> requests.Response:
        login = (user, password or self.password)
        return requests.request(method, self.url + path, auth=login, timeout=30, **request)


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder that PostgreSQL's user can reach, unlike pytest's own, and whose path is short."""
    with tempfile.TemporaryDirectory(prefix="bmenet-team-") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


@pytest.fixture(scope="module")
def server(place: Path) -> Iterator[Team]:
    server = Team(place / "server", free_port())
    try:
        server.start()
        yield server
    finally:
        team("stop", server.folder)
        assert processes_of(place) == {}


@pytest.fixture
def login(server: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", server.password)


@needs_postgres
def test_nothing_but_its_health_is_told_without_a_login(server):
    assert requests.get(f"{server.url}/health", timeout=30).text == "OK"
    search = "/api/2.0/mlflow/experiments/search?max_results=1"
    for path in ("/", search, "/api/2.0/mlflow-artifacts/artifacts", "/ajax-api/3.0/jobs/x", "/graphql"):
        assert requests.get(server.url + path, timeout=30).status_code in (401, 405), path
    assert server.ask("GET", search, password="wrong").status_code == 401
    assert server.ask("GET", search).status_code == 200


@needs_postgres
def test_another_host_or_origin_is_refused(server):
    assert server.ask("GET", "/", headers={"Host": "rebound.example"}).status_code == 403
    assert server.ask("GET", "/", headers={"Host": f"127.0.0.1:{server.port + 1}"}).status_code == 403
    create = "/api/2.0/mlflow/experiments/create"
    refused = server.ask("POST", create, json={"name": "foreign"}, headers={"Origin": "http://page.example"})
    assert refused.status_code == 403


@needs_postgres
def test_server_runs_nothing_that_was_sent(server):
    job = server.ask("POST", "/ajax-api/3.0/jobs/", json={"job_name": "invoke_scorer", "params": {}})
    assert "not enabled" in job.text
    for method, path in (("GET", "config"), ("PUT", "config"), ("POST", "message"), ("POST", "skills/install")):
        assert server.ask(method, f"/ajax-api/3.0/mlflow/assistant/{path}", json={}).status_code == 403
    (environment,) = (
        Path(f"/proc/{pid}/environ").read_text().split("\0")
        for pid, command in processes_of(server.folder).items()
        if "-m uvicorn" in command
    )
    assert {"MLFLOW_ALLOW_PICKLE_DESERIALIZATION=false", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false"} <= set(environment)


@needs_postgres
def test_member_reads_all_and_changes_what_was_granted(server):
    member = {"username": "member", "password": "correct horse battery"}
    assert server.ask("POST", "/api/2.0/mlflow/users/create", json=member).status_code == 200
    experiment = server.ask("POST", "/api/2.0/mlflow/experiments/create", json={"name": "granted"}).json()
    run = {"experiment_id": experiment["experiment_id"]}

    def by_member(method: str, path: str, **request) -> int:
        return server.ask(method, path, member["username"], member["password"], **request).status_code

    assert by_member("GET", f"/api/2.0/mlflow/experiments/get?experiment_id={run['experiment_id']}") == 200
    assert by_member("POST", "/api/2.0/mlflow/runs/create", json=run) == 403
    grant = {
        "username": "member",
        "resource_type": "experiment",
        "resource_id": run["experiment_id"],
        "permission": "EDIT",
    }
    answer = server.ask("POST", "/api/3.0/mlflow/users/permissions/grant", json=grant)
    assert answer.status_code == 200, answer.text
    assert by_member("POST", "/api/2.0/mlflow/runs/create", json=run) == 200
    assert by_member("POST", "/api/2.0/mlflow/users/create", json={"username": "x", "password": "y" * 12}) == 403


@needs_postgres
def test_runs_and_models_outlive_a_restart(server, login, tmp_path):
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=server.url)
    run = client.create_run(client.create_experiment("kept"))
    client.log_metric(run.info.run_id, "psnr", 27.5)
    (tmp_path / "scan.txt").write_text("a scan")
    client.log_artifact(run.info.run_id, tmp_path / "scan.txt", "scans")
    client.create_registered_model("bmenet-kept")
    client.create_model_version("bmenet-kept", f"{run.info.artifact_uri}/scans", run.info.run_id)
    client.set_registered_model_alias("bmenet-kept", "champion", "1")
    assert run.info.artifact_uri.startswith("mlflow-artifacts:")
    assert [path.read_text() for path in (server.folder / "artifacts").rglob("scan.txt")] == ["a scan"]

    before = processes_of(server.folder)
    server.start()
    assert processes_of(server.folder).keys() == before.keys(), "a second start changes nothing"
    assert team("status", server.folder).returncode == 0
    assert team("stop", server.folder).returncode == 0
    assert processes_of(server.folder) == {}
    assert team("status", server.folder).returncode == 3
    assert team("stop", server.folder).returncode == 0
    server.start()

    assert client.get_run(run.info.run_id).data.metrics == {"psnr": 27.5}
    assert Path(client.download_artifacts(run.info.run_id, "scans/scan.txt", tmp_path)).read_text() == "a scan"
    assert client.get_model_version_by_alias("bmenet-kept", "champion").run_id == run.info.run_id


@needs_postgres
def test_stages_are_tracked_on_it(server, login, workspace):
    from mlflow import MlflowClient

    Path("picture.txt").write_text("a picture")
    with track_stage(load_config(), "train_coarse") as run:
        run.log_metrics({"loss": 0.5}, 0)
        run.log_artifact(Path("picture.txt"))
    client = MlflowClient(tracking_uri=server.url)
    experiment = client.get_experiment_by_name("bmenet")
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert runs.keys() == {"train_coarse", "smoke pipeline"}
    child = runs["train_coarse"]
    assert (child.info.status, child.data.metrics["loss"]) == ("FINISHED", 0.5)
    assert [entry.path for entry in client.list_artifacts(child.info.run_id)] == ["picture.txt"]
    assert not Path("mlflow/mlflow.db").exists()


@needs_postgres
def test_champion_is_served_with_a_login_of_its_own(server, login, tmp_path):
    from mlflow import MlflowClient, pyfunc

    port = free_port()
    refused = team("start", server.folder, "--with-model", "--model-port", str(port))
    assert refused.returncode == 1
    assert "expected a model bmenet@champion" in refused.stderr
    assert requests.get(f"{server.url}/health", timeout=30).ok, "the tracking server goes on"

    (tmp_path / "echo_model.py").write_text(
        "from mlflow.models import set_model\n"
        "from mlflow.pyfunc import PythonModel\n"
        "class Echo(PythonModel):\n"
        "    def predict(self, context, model_input, params=None):\n"
        "        return model_input\n"
        "set_model(Echo())\n"
    )
    pyfunc.save_model(tmp_path / "echo", python_model=str(tmp_path / "echo_model.py"), pip_requirements=[])
    client = MlflowClient(tracking_uri=server.url)
    run = client.create_run(client.create_experiment("served"))
    client.log_artifacts(run.info.run_id, tmp_path / "echo", "echo")
    client.create_registered_model("bmenet")
    client.create_model_version("bmenet", f"{run.info.artifact_uri}/echo", run.info.run_id)
    client.set_registered_model_alias("bmenet", "champion", "1")
    server.start("--with-model", "--model-port", str(port))
    frame = {"dataframe_records": [{"nifti": "AAAA"}]}
    answer = requests.post(f"http://127.0.0.1:{port}/invocations", json=frame, timeout=60)
    assert answer.json() == {"predictions": [{"nifti": "AAAA"}]}
    # It may look, no more.
    model = (server.folder / "private" / "model").read_text()
    create = {"experiment_id": run.info.experiment_id}
    assert server.ask("POST", "/api/2.0/mlflow/runs/create", "model", model, json=create).status_code == 403


@needs_postgres
def test_secrets_are_in_private_files_only(server):
    secrets = {name: (server.folder / "private" / name).read_text() for name in SECRETS}
    assert len(set(secrets.values())) == len(SECRETS)
    assert all(len(secret) == 48 for secret in secrets.values())
    for path in (server.folder / "private").iterdir():
        assert path.stat().st_mode & 0o077 == 0, path
    logs = "".join(path.read_text() for path in server.folder.rglob("*.log"))
    commands = "".join(processes_of(server.folder).values())
    assert "Uvicorn running" in logs
    assert "ready to accept connections" in logs
    assert "uvicorn" in commands
    for name, secret in secrets.items():
        assert secret not in logs, name
        assert secret not in commands, name


@needs_postgres
def test_database_takes_the_password_and_nothing_less(server):
    import psycopg2

    port = int((server.folder / "run" / "database-port").read_text())
    password = (server.folder / "private" / "database").read_text()
    address = {"host": "127.0.0.1", "port": port, "dbname": "mlflow"}
    with psycopg2.connect(user="mlflow", password=password, **address) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
        assert cursor.fetchone() == (False,)
    connection.close()
    for user, wrong in (("mlflow", "wrong"), ("postgres", password), ("postgres", "")):
        with pytest.raises(psycopg2.OperationalError):
            psycopg2.connect(user=user, password=wrong, **address)


@needs_postgres
def test_start_that_fails_leaves_nothing_running(place):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        failed = team("start", place / "failed", "--port", str(taken.getsockname()[1]))
    assert failed.returncode == 1
    assert "choose another --port" in failed.stderr
    assert processes_of(place / "failed") == {}


@needs_postgres
def test_artifacts_stay_where_they_are(server):
    refused = team("start", server.folder, ARTIFACTS_DESTINATION="s3://elsewhere")
    assert refused.returncode == 1
    assert f"as at the first start, {server.folder / 'artifacts'}; got s3://elsewhere" in refused.stderr
    assert requests.get(f"{server.url}/health", timeout=30).ok


@needs_postgres
@pytest.mark.parametrize(
    ("options", "variables", "words"),
    [
        (["--host", "0.0.0.0"], {}, "expected --allowed-hosts"),
        (["--host", "0.0.0.0", "--allowed-hosts", "*"], {}, "'*'"),
        (["--host", "0.0.0.0", "--allowed-hosts", "a.example", "--with-model"], {"BMENET_TOKEN": ""}, "BMENET_TOKEN"),
        (["--port", "70000"], {}, "expected a port"),
        (["--colour", "red"], {}, "expected an option"),
    ],
)
def test_unsafe_and_unknown_options_are_refused(place, options, variables, words):
    refused = team("start", place / "refused", *options, **variables)
    assert refused.returncode in (1, 2)
    assert words in refused.stderr
    assert not (place / "refused").exists()


@needs_postgres
def test_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    for command in ("start", "stop", "status"):
        refused = team(command, tmp_path)
        assert refused.returncode == 1
        assert "expected " in refused.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.fixture(scope="module")
def services() -> dict:
    return yaml.safe_load((REPOSITORY / "mlflow" / "compose.yaml").read_text())["services"]


def test_compose_has_no_secret_of_its_own(services):
    text = (REPOSITORY / "mlflow" / "compose.yaml").read_text()
    required = set(re.findall(r"\$\{(\w+):\?", text))
    names = {name for service in services.values() for name in service.get("environment", {})}
    secret = re.compile(r"PASSWORD|SECRET|PASSPHRASE|TOKEN|ACCESS_KEY")
    for service in services.values():
        for name, value in service.get("environment", {}).items():
            if secret.search(name):
                assert re.fullmatch(r"\$\{\w+:\?[^}]+\}", value), name
    assert {
        "POSTGRES_PASSWORD",
        "MLFLOW_AUTH_ADMIN_PASSWORD",
        "MLFLOW_FLASK_SERVER_SECRET_KEY",
        "BMENET_TOKEN",
    } <= names
    assert not [name for name in re.findall(r"\$\{(\w+)(?!\w|:\?)", text) if secret.search(name)]
    example = dict(
        line.split("=", 1)
        for line in (REPOSITORY / "mlflow" / ".env.example").read_text().splitlines()
        if line and not line.startswith("#")
    )
    assert {name for name, value in example.items() if not value} == required


def test_compose_publishes_on_this_machine_only(services):
    ports = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert ports.keys() == {"tracking", "model"}
    assert all(port.startswith("${BIND_ADDRESS:-127.0.0.1}:") for published in ports.values() for port in published)


def test_compose_runs_nothing_that_was_sent(services):
    for name in ("tracking", "model"):
        environment = services[name]["environment"]
        assert environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"
        assert environment["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] == "false"
        assert environment["MLFLOW_DISABLE_TELEMETRY"] == "true"
    command = services["tracking"]["command"]
    assert command[command.index("--app-name") + 1] == "basic-auth"
    assert {"--allowed-hosts", "--cors-allowed-origins", "--serve-artifacts"} <= set(command)


def test_images_are_pinned(services):
    images = [service["image"] for service in services.values() if "build" not in service]
    dockerfile = (REPOSITORY / "mlflow" / "Dockerfile").read_text()
    stages = set(re.findall(r" AS (\w+)", dockerfile))
    images += [image for image in re.findall(r"^FROM (\S+)", dockerfile, re.M) if image not in stages]
    assert len(images) >= 3
    assert all(re.search(r":\d+\.\d+[\w.-]*$", image) for image in images), images
    installs = re.findall(r"pip install.*", dockerfile)
    assert installs
    assert all("--constraint" in install for install in installs)


def test_a_server_without_a_champion_says_how_to_publish_one(monkeypatch):
    prepare_model = runpy.run_path(str(REPOSITORY / "mlflow" / "team" / "prepare_model.py"))
    answers = {"users/get": 200, "users/update-password": 200, "registered-models/alias": 404}
    main = prepare_model["main"]
    monkeypatch.setitem(main.__globals__, "_ask", lambda user, password, method, path, *_: answers[path.split("?")[0]])
    monkeypatch.setenv("MLFLOW_AUTH_ADMIN_PASSWORD", "x")
    monkeypatch.setenv("MODEL_PASSWORD", "y")
    with pytest.raises(SystemExit, match=r"got status 404: .*`dvc repro --force --single-item publish`"):
        main()
