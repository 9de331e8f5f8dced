# shellcheck shell=bash
# The tracking server and the served model.
# Sourced by team.sh, which sets its options, $here, $folder, $cluster, $runtime, $private, $logs and $python.
: "${here:?}" "${folder:?}" "${cluster:?}" "${runtime:?}" "${private:?}" "${logs:?}" "${python:?}"
: "${host:?}" "${port:?}" "${workers:?}" "${model_port:?}"

address() { # HOST: how this machine reaches a server that listens there
    case "$1" in
        0.0.0.0) echo 127.0.0.1 ;;
        ::) echo '[::1]' ;;
        *:*) echo "[$1]" ;;
        *) echo "$1" ;;
    esac
}

make_secrets() {
    local name
    # Of the database's user, of MLflow's admin, of the served model's login; for MLflow's forms and stored keys.
    for name in database admin model flask encryption; do
        [ ! -s "$private/$name" ] || continue
        head -c 24 /dev/urandom | od -An -vtx1 | tr -d ' \n' >"$private/.partial-$name"
        mv "$private/.partial-$name" "$private/$name"
    done
    echo "*:*:*:mlflow:$(cat "$private/database")" >"$private/pgpass"
}

# Runs know their artifacts by a path below the destination: with another one, they would look lost.
keep_destination() {
    local kept
    kept=$(cat "$runtime/artifacts-destination" 2>/dev/null || true)
    destination=${ARTIFACTS_DESTINATION:-${kept:-$folder/artifacts}}
    [ -z "$kept" ] || [ "$destination" = "$kept" ] ||
        fail "expected ARTIFACTS_DESTINATION as at the first start, $kept; got $destination: move the artifacts there and\
 remove $runtime/artifacts-destination, or unset the variable"
    echo "$destination" >"$runtime/artifacts-destination"
}

# For subshells: no secret is in the environment of more processes than need it, and none on a command line.
enter_server() {
    # No server runs what somebody sent: no jobs, no pickles. MLflow's assistant, which calls a shell, is closed in
    # team_login.py; if it were reached, it would have to make a container, without docker.
    export MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false MLFLOW_ALLOW_PICKLE_DESERIALIZATION=false
    export MLFLOW_ENABLE_REMOTE_ASSISTANT=false MLFLOW_ENABLE_ASSISTANT_SANDBOX=true DOCKER_HOST=unix:///nonexistent
    export MLFLOW_DISABLE_TELEMETRY=true
    # Settings of whoever starts the servers are not the team's; keys for a store of objects are found all the same.
    export AWS_SHARED_CREDENTIALS_FILE=${AWS_SHARED_CREDENTIALS_FILE:-${HOME:-}/.aws/credentials}
    export AWS_CONFIG_FILE=${AWS_CONFIG_FILE:-${HOME:-}/.aws/config}
    unset MLFLOW_TRACKING_URI MLFLOW_REGISTRY_URI MLFLOW_TRACKING_USERNAME MLFLOW_TRACKING_PASSWORD
    unset MLFLOW_TRACKING_TOKEN MLFLOW_AUTH_ADMIN_USERNAME MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE
    export HOME=$folder/home
    cd "$HOME" || exit 1
}

start_tracking() {
    if is_running tracking; then return; fi
    is_free "$host" "$port" ||
        fail "expected to listen on $host, port $port; got a port that is taken, or no address of this machine: choose\
 another --port or --host"
    # No wildcard for ports: MLflow's would let through whatever stands behind the colon.
    local allowed="localhost:$port,127.0.0.1:$port,[::1]:$port" origins="http://localhost:$port" names name
    allowed+=",$(address "$host"):$port${extra_hosts:+,$extra_hosts}"
    IFS=, read -ra names <<<"$extra_hosts"
    for name in "${names[@]}"; do origins+=",http://$name,https://$name"; done
    echo "$host $port" >"$runtime/tracking-address"
    (
        enter_server
        unset BMENET_TOKEN
        PGPORT=$(cat "$runtime/database-port")
        export PGHOST=$cluster/socket PGPORT PGUSER=mlflow PGPASSFILE=$private/pgpass
        export MLFLOW_BACKEND_STORE_URI=postgresql+psycopg2:///mlflow MLFLOW_AUTH_CONFIG_PATH=$here/team/auth.ini
        export PYTHONPATH=$here/team
        MLFLOW_AUTH_ADMIN_PASSWORD=$(cat "$private/admin")
        MLFLOW_FLASK_SERVER_SECRET_KEY=$(cat "$private/flask")
        MLFLOW_CRYPTO_KEK_PASSPHRASE=$(cat "$private/encryption")
        export MLFLOW_AUTH_ADMIN_PASSWORD MLFLOW_FLASK_SERVER_SECRET_KEY MLFLOW_CRYPTO_KEK_PASSPHRASE
        launch tracking "$python" -m mlflow server --app-name basic-auth --host "$host" --port "$port" --workers "$workers" \
            --serve-artifacts --artifacts-destination "$destination" \
            --allowed-hosts "$allowed" --cors-allowed-origins "$origins" --x-frame-options DENY
    )
    await tracking "http://$(address "$host"):$port/health" 120
}

start_model() {
    if is_running model; then return; fi
    is_free "$host" "$model_port" ||
        fail "expected to listen on $host, port $model_port; got a port that is taken: choose another --model-port"
    local tracking_host tracking_port names name
    read -r tracking_host tracking_port <"$runtime/tracking-address"
    (
        enter_server
        MLFLOW_TRACKING_URI="http://$(address "$tracking_host"):$tracking_port"
        MODEL_PASSWORD=$(cat "$private/model")
        export MLFLOW_TRACKING_URI MODEL_PASSWORD
        MLFLOW_AUTH_ADMIN_PASSWORD=$(cat "$private/admin") "$python" -I "$here/team/prepare_model.py"
        export MLFLOW_TRACKING_USERNAME=model MLFLOW_TRACKING_PASSWORD=$MODEL_PASSWORD
        unset MODEL_PASSWORD
        # The served model takes names without ports.
        IFS=, read -ra names <<<"$extra_hosts"
        for name in "${names[@]}"; do
            [[ ! $name =~ ^(.+):[0-9]+$ ]] || name=${BASH_REMATCH[1]}
            BMENET_ALLOWED_HOSTS=${BMENET_ALLOWED_HOSTS:+$BMENET_ALLOWED_HOSTS,}$name
        done
        export BMENET_ALLOWED_HOSTS=${BMENET_ALLOWED_HOSTS:-}
        launch model "$python" -m mlflow models serve --model-uri models:/bmenet@champion --env-manager local \
            --host "$host" --port "$model_port" --timeout 900
    )
    await model "http://$(address "$host"):$model_port/ping" 300
}
