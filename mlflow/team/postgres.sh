# shellcheck shell=bash
# A PostgreSQL cluster of the team's own in $cluster, which belongs to the user that runs it.
# Sourced by team.sh, which sets $here, $folder, $python, $cluster, $runtime, $logs, $private and $database_port.
: "${here:?}" "${folder:?}" "${python:?}" "${cluster:?}" "${runtime:?}" "${logs:?}" "${private:?}"

# PostgreSQL refuses to run as root.
if [ "$(id -u)" = 0 ]; then owner=postgres; else owner=$(id -un); fi

as_owner() {
    if [ "$(id -u)" = 0 ]; then
        (cd / && HOME=/ exec runuser -u "$owner" -- "$@")
    else
        "$@"
    fi
}

find_postgres() {
    local place wanted='' found
    [ ! -f "$cluster/data/PG_VERSION" ] || wanted=$(as_owner cat "$cluster/data/PG_VERSION")
    for place in ${PATH//:/ } /usr/lib/postgresql/*/bin /usr/pgsql-*/bin; do
        [ -x "$place/initdb" ] || continue
        # A link on the PATH may stand alone; its target stands beside the others.
        place=$(dirname "$(readlink -f "$place/initdb")")
        if [ ! -x "$place/pg_ctl" ] || [ ! -x "$place/psql" ]; then continue; fi
        found=$("$place/initdb" --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')
        if [ -z "$wanted" ] || [ "$wanted" = "$found" ]; then
            postgres_bin=$place
            return
        fi
    done
    fail "expected initdb, pg_ctl and psql of PostgreSQL${wanted:+ $wanted} on the PATH or in /usr/lib/postgresql/*/bin;\
 got none: install them with \`apt-get install postgresql${wanted:+-$wanted}\`"
}

postgres_runs() {
    [ -f "$cluster/data/PG_VERSION" ] && as_owner "$postgres_bin/pg_ctl" status -D "$cluster/data" >/dev/null
}

make_cluster() {
    if [ -f "$cluster/data/PG_VERSION" ]; then return; fi
    mkdir -p "$cluster/socket"
    if [ "$(id -u)" = 0 ]; then
        id -u "$owner" >/dev/null 2>&1 ||
            fail "expected the user $owner, as whom root runs PostgreSQL; got none: install the package postgresql"
        # Its own folder is the only one that it can look into; those above, it has to pass.
        chmod 711 "$folder"
        chown -R "$owner": "$cluster"
        as_owner test -x "$cluster" ||
            fail "expected a FOLDER that the user $owner can reach; got $folder: choose another one, or let others pass\
 the folders above it (chmod o+x)"
    fi
    # Whole or not at all: an interrupted initdb leaves nothing that looks like a cluster.
    as_owner rm -rf "$cluster/data.partial"
    as_owner "$postgres_bin/initdb" -D "$cluster/data.partial" --username=postgres --encoding=UTF8 --locale=C \
        --data-checksums --auth-local=peer --auth-host=scram-sha-256 >"$logs/initdb.log"
    # The superuser has no password: only the system's user who owns the files is let in, through the socket.
    as_owner tee "$cluster/data.partial/pg_hba.conf" >/dev/null <<'TEXT'
local  all  postgres                peer  map=owner
local  all  all                     scram-sha-256
host   all  all       127.0.0.1/32  scram-sha-256
TEXT
    as_owner tee "$cluster/data.partial/pg_ident.conf" >/dev/null <<<"owner  \"$owner\"  postgres"
    as_owner tee -a "$cluster/data.partial/postgresql.conf" >/dev/null <<<"include_if_exists = 'team.conf'"
    as_owner mv "$cluster/data.partial" "$cluster/data"
}

start_postgres() {
    if postgres_runs; then return; fi
    local last
    last=$(cat "$runtime/database-port" 2>/dev/null || true)
    if [ -z "$database_port" ] && [ -n "$last" ] && is_free 127.0.0.1 "$last"; then database_port=$last; fi
    : "${database_port:=$(free_port)}"
    is_free 127.0.0.1 "$database_port" ||
        fail "expected a free port for PostgreSQL; got $database_port, which is taken: choose another --database-port"
    as_owner tee "$cluster/data/team.conf" >/dev/null <<TEXT
# Written by team.sh at every start; settings of your own belong into postgresql.conf.
listen_addresses = '127.0.0.1'
port = $database_port
unix_socket_directories = '$cluster/socket'
unix_socket_permissions = 0700
password_encryption = 'scram-sha-256'
TEXT
    echo "$database_port" >"$runtime/database-port"
    as_owner "$postgres_bin/pg_ctl" start -D "$cluster/data" -l "$cluster/postgres.log" -w -t 60 >/dev/null 9>&- || {
        as_owner tail -n 20 "$cluster/postgres.log" >&2
        fail "expected PostgreSQL to start; got an error: see $cluster/postgres.log"
    }
}

stop_postgres() {
    if ! postgres_runs; then return; fi
    as_owner "$postgres_bin/pg_ctl" stop -D "$cluster/data" -m fast -w -t 60 >/dev/null ||
        as_owner "$postgres_bin/pg_ctl" stop -D "$cluster/data" -m immediate -w -t 60 >/dev/null
}

make_databases() {
    MLFLOW_DATABASE_PASSWORD=$(cat "$private/database") as_owner "$postgres_bin/psql" --no-psqlrc --quiet \
        --tuples-only --set=ON_ERROR_STOP=1 --host="$cluster/socket" --port="$(cat "$runtime/database-port")" \
        --username=postgres --dbname=postgres --file=- <"$here/team/databases.sql" >/dev/null
}
