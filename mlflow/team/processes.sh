# shellcheck shell=bash
# Processes that outlive the script which starts them: one group each, known by its number.
# Sourced by team.sh, which sets $runtime, $logs and $python.
: "${runtime:?}" "${logs:?}" "${python:?}"

# A number is used again some day: the time a process was started at tells whether it is still the same one.
# What has ended counts no more, even where nobody has collected it yet (Z), as in many containers.
start_time() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | awk '$1 != "Z" { print $20 }'; }

group_runs() { # GROUP
    { cat /proc/[0-9]*/stat 2>/dev/null || true; } | sed 's/.*) //' |
        awk -v group="$1" '$3 == group && $1 != "Z" { found = 1 } END { exit !found }'
}

is_running() { # NAME
    local pid time
    [ -s "$runtime/$1.pid" ] || return 1
    read -r pid time <"$runtime/$1.pid" || return 1
    [ -n "$time" ] && [ "$(start_time "$pid")" = "$time" ]
}

launch() { # NAME COMMAND...
    local name=$1 pid
    shift
    # Descriptor 9 is the lock of team.sh, which must not be held any longer than that runs.
    setsid "$@" >>"$logs/$name.log" 2>&1 </dev/null 9>&- &
    pid=$!
    echo "$pid $(start_time "$pid")" >"$runtime/$name.pid"
}

stop_process() { # NAME
    local pid try
    if is_running "$1"; then
        read -r pid _ <"$runtime/$1.pid"
        kill -TERM -- "-$pid" 2>/dev/null || true
        for ((try = 0; try < 150; try++)); do
            group_runs "$pid" || break
            sleep 0.1
        done
        kill -KILL -- "-$pid" 2>/dev/null || true
    fi
    rm -f "$runtime/$1.pid"
}

await() { # NAME URL SECONDS
    local end=$((SECONDS + $3))
    while ((SECONDS < end)) && is_running "$1"; do
        # Straight to this machine, whatever proxy is set. Whose answer it is, the process tells: it must still run.
        if "$python" -I -c 'import sys, urllib.request
urllib.request.build_opener(urllib.request.ProxyHandler({})).open(sys.argv[1], timeout=5)' "$2" 2>/dev/null &&
            is_running "$1"; then
            return
        fi
        sleep 0.3
    done
    tail -n 20 "$logs/$1.log" >&2
    fail "expected the $1 server to answer on $2 within $3 s; got no answer: see $logs/$1.log"
}

is_free() { # ADDRESS PORT
    "$python" -I -c 'import socket, sys
with socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET) as s:
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((sys.argv[1], int(sys.argv[2])))' "$1" "$2" 2>/dev/null
}

free_port() {
    "$python" -I -c 'import socket
with socket.socket() as s:
    s.bind(("127.0.0.1", 0))
    print(s.getsockname()[1])'
}
