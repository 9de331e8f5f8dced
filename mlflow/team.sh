#!/usr/bin/env bash
# The tracking server for a team, without docker (Linux): PostgreSQL, MLflow with logins, and the served model.
set -euo pipefail
umask 077

usage() {
    cat <<'TEXT'
usage: mlflow/team.sh start|stop|status FOLDER [options of start]

  start   starts what does not run yet, and waits until it answers
  stop    stops everything; the data stay
  status  tells what runs; exit status 3 unless PostgreSQL and the tracking server do

options of start
  --host ADDRESS         where the servers listen (127.0.0.1); beyond loopback --allowed-hosts is required
  --port PORT            of the tracking server (5000)
  --allowed-hosts LIST   what clients call the server, with commas between: tracking.example.org,10.0.0.7:5000
  --database-port PORT   of PostgreSQL on 127.0.0.1 (the last one, else a free one)
  --workers NUMBER       of processes of the tracking server (2)
  --with-model           serves models:/bmenet@champion too; beyond loopback BMENET_TOKEN is required
  --model-port PORT      of the served model (5001)

environment
  ARTIFACTS_DESTINATION  where artifacts are kept (FOLDER/artifacts), for instance s3://bucket/folder; chosen at the
                         first start, and with MLFLOW_S3_ENDPOINT_URL, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY
                         at every one
TEXT
}

fail() {
    echo "team.sh: $1" >&2
    exit "${2:-1}"
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# ---------------------------------------------------------------------------------------------------- command line

case "${1:-}" in -h | --help) usage; exit 0 ;; esac
[ $# -ge 2 ] || { usage >&2; exit 2; }
command=$1 folder=$2
shift 2
case "$command" in
    start | stop | status) ;;
    *) usage >&2; fail "expected start, stop or status; got '$command'" 2 ;;
esac

host=127.0.0.1 port=5000 model_port=5001 workers=2 database_port='' extra_hosts='' with_model=''
while [ $# -gt 0 ]; do
    [ "$command" = start ] || fail "expected no options after $command FOLDER; got '$1'" 2
    case "$1" in
        --with-model) with_model=yes; shift; continue ;;
        --host | --port | --allowed-hosts | --database-port | --workers | --model-port) ;;
        *) usage >&2; fail "expected an option of start; got '$1'" 2 ;;
    esac
    [ -n "${2:-}" ] || fail "expected a value after $1; got none" 2
    case "$1" in
        --host) host=$2 ;;
        --port) port=$2 ;;
        --allowed-hosts) extra_hosts=$2 ;;
        --database-port) database_port=$2 ;;
        --workers) workers=$2 ;;
        --model-port) model_port=$2 ;;
    esac
    shift 2
done
for number in "$port" "$model_port" "${database_port:-5432}"; do
    [[ $number =~ ^[1-9][0-9]{0,4}$ && $number -le 65535 ]] || fail "expected a port from 1 to 65535; got '$number'" 2
done
[[ $workers =~ ^[1-9][0-9]?$ ]] || fail "--workers: expected a number from 1 to 99; got '$workers'" 2
[[ $host =~ ^[A-Za-z0-9.:-]+$ ]] || fail "--host: expected an address; got '$host'" 2

is_loopback() { [[ $host == 127.* || $host == ::1 || $host == localhost ]]; }
if ! is_loopback; then
    [ -n "$extra_hosts" ] ||
        fail "expected --allowed-hosts with --host $host, beyond loopback; got none: name what clients call this server"
    [ -z "$with_model" ] || [ -n "${BMENET_TOKEN:-}" ] ||
        fail "expected BMENET_TOKEN for a model served beyond loopback; got none: make one with \`openssl rand -hex 32\`"
fi
[[ ,$extra_hosts, != *,\*,* ]] ||
    fail "--allowed-hosts: expected names; got '*', which lets any web page in: name the hosts" 2

# Characters that PostgreSQL's and libpq's settings would read as something else.
[[ $folder != *[\'\",\\%\$\`]* && $folder != *$'\n'* ]] ||
    fail "expected a FOLDER without quotes, commas, backslashes, percent or dollar signs; got '$folder'"
# Passwords, and at times the rights of the folder, are set here: never in one that holds something else.
if [ "$command" != start ]; then
    [ -d "$folder/run" ] || fail "expected the FOLDER of a team server; got '$folder', where none was started"
elif [ ! -d "$folder/run" ]; then
    mkdir -p "$folder"
    [ -z "$(ls -A "$folder")" ] || fail "expected a FOLDER that is new or empty; got '$folder', which holds other files"
fi
folder=$(cd "$folder" && pwd -P)

# Everything of PostgreSQL is in one folder, for it may belong to another user.
cluster=$folder/postgres
private=$folder/private # passwords and keys
runtime=$folder/run     # process numbers
logs=$folder/logs
socket=$cluster/socket/.s.PGSQL.65535
[ "${#socket}" -le 107 ] || fail "expected a FOLDER of at most $((107 - ${#socket} + ${#folder})) characters, for the path\
 of a socket is short; got ${#folder}: choose another one"

# What the caller has set for other databases must not lead elsewhere.
unset "${!PG@}"

# The project's environment, else the one that is active.
! [ -x "$here/../.venv/bin/python" ] || PATH=$(cd "$here/../.venv/bin" && pwd):$PATH
python=$(command -v python3) || fail "expected the project's environment in .venv; got none: run \`make setup\`"
export PATH

# shellcheck source=mlflow/team/processes.sh
. "$here/team/processes.sh"
# shellcheck source=mlflow/team/postgres.sh
. "$here/team/postgres.sh"
# shellcheck source=mlflow/team/servers.sh
. "$here/team/servers.sh"

find_postgres

stop_all() {
    stop_process model
    stop_process tracking
    stop_postgres
}

start_all() {
    "$python" -I -c 'import sys
from importlib.util import find_spec
sys.exit(not all(map(find_spec, ("mlflow", "flask_wtf", "psycopg2"))))' ||
        fail "expected mlflow, Flask-WTF and psycopg2 in the environment of $python; got none: run \`make setup\`"
    mkdir -p "$private" "$logs" "$folder/home" "$folder/artifacts"
    keep_destination
    make_secrets
    make_cluster
    # What does not start whole must not stay half started.
    is_running tracking || trap stop_all EXIT
    start_postgres
    make_databases
    start_tracking
    trap - EXIT
    if [ -n "$with_model" ]; then
        is_running model || trap 'stop_process model' EXIT
        start_model
        trap - EXIT
    fi
}

show_status() {
    local at by status=0
    if postgres_runs; then
        echo "PostgreSQL runs on $cluster/socket and 127.0.0.1, port $(cat "$runtime/database-port")"
    else
        echo "PostgreSQL does not run"
        status=3
    fi
    if is_running tracking; then
        read -r at by <"$runtime/tracking-address"
        echo "the tracking server runs on http://$(address "$at"):$by: log in as admin, the password is in $private/admin"
    else
        echo "the tracking server does not run"
        status=3
    fi
    if is_running model; then echo "the model is served"; else echo "no model is served"; fi
    return $status
}

mkdir -p "$runtime"
exec 9>"$runtime/lock"
[ "$command" = status ] || flock -w 300 9 ||
    fail "expected to be the only team.sh on $folder; got another one that has not ended for 300 s: wait for it"

case "$command" in
    start)
        start_all
        show_status
        ;;
    stop) stop_all ;;
    status) show_status ;;
esac
