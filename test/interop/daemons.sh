# daemons.sh: a throw-away trust domain for interop tests and benches, all daemons under our own uid. Sourced by scripts in bash.
#
#   domain_up TRUST_DOMAIN DAEMON...    starts them, waits until each is ready; DOMAIN is its folder
#   daemon_path NAME                    the program, from SEXTANT_BIN, the stage, or a build tree
#   domain_extra                        function to define before: prints more configuration
# What was started is ended, and the folder removed, when the script exits.

daemon_path() {
    local dir
    for dir in ${SEXTANT_BIN:+"$SEXTANT_BIN"} ${SEXTANT_STAGE:+"$SEXTANT_STAGE/bin"} "$root/build/stage/bin" \
        "$root/build/release/$1" "$root/build/$1" "$root/build/asan/$1"; do
        [ -x "$dir/sextant-$1" ] && { echo "$dir/sextant-$1"; return; }
    done
    echo "sextant-$1: not built" >&2
    return 1
}

domain_down() {
    local pid
    for pid in "${DOMAIN_PIDS[@]}"; do kill -TERM "$pid" 2>/dev/null; done
    for pid in "${DOMAIN_PIDS[@]}"; do wait "$pid" 2>/dev/null; done
    rm -rf "$DOMAIN"
}

domain_up() {
    local td=$1 name uids= port=${INTEROP_PORT:-20310} ready
    shift
    DOMAIN=$(mktemp -d "${TMPDIR:-/tmp}/sextant-domain-XXXXXX") DOMAIN_PIDS=()
    chmod 755 "$DOMAIN"
    trap domain_down EXIT
    for name in "$@" operator mesh; do uids="$uids${uids:+, }$name: $(id -u)"; done
    {
        printf 'trust_domain: %s\nstate_dir: %s/state\nrun_dir: %s/run\nuids: {%s}\n' "$td" "$DOMAIN" "$DOMAIN" "$uids"
        for name in "$@"; do
            printf '%s:\n  listen: 127.0.0.1:%d\n' "$name" $((port++))
            declare -F "domain_extra_$name" >/dev/null && "domain_extra_$name"
        done
    } >"$DOMAIN/sextant.yaml"
    mkdir -p "$DOMAIN/state" "$DOMAIN/run"
    for name in "$@"; do
        mkdir -m 700 "$DOMAIN/state/$name"
        mkdir "$DOMAIN/run/$name"
        [ "$name" != crypto ] || "$(daemon_path crypto)" init --config "$DOMAIN/sextant.yaml" >"$DOMAIN/crypto-init.log" 2>&1 ||
            "$(daemon_path crypto)" --config "$DOMAIN/sextant.yaml" init >"$DOMAIN/crypto-init.log" 2>&1 ||
            { cat "$DOMAIN/crypto-init.log"; return 1; }
    done
    for name in "$@"; do
        "$(daemon_path "$name")" --config "$DOMAIN/sextant.yaml" >"$DOMAIN/$name.log" 2>&1 &
        DOMAIN_PIDS+=($!)
    done
    for name in "$@"; do
        ready=
        for _ in $(seq 300); do
            grep -q " ready" "$DOMAIN/$name.log" && { ready=1; break; }
            sleep 0.1
        done
        [ -n "$ready" ] || { echo "$name is not ready:"; tail -n 20 "$DOMAIN/$name.log"; return 1; }
    done
}
