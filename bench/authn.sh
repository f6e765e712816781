#!/usr/bin/env bash
# sextant-authn against node oidc-provider: client_credentials with an ES256 access token, over HTTPS.
# usage: bench/authn.sh [SECONDS] [ROUNDS]      interleaved; CPU of the server's processes per operation
#
# Both sides: HTTP/1.1 with keep-alive on loopback, client_secret_basic, an RFC 9068 token. What differs: oidc-provider
# signs in its own process and keeps nothing durable; authn has crypto sign (another process) and waits until audit has
# the event of each token on disk. So its figures are given for authn alone and for all three daemons.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
seconds=${1:-5} rounds=${2:-3}
bin=${SEXTANT_BIN:-$(dirname "$(find "$PWD/build/stage" -name sextant-authn -type f 2>/dev/null | head -n 1)")}
[ -x "$bin/sextant-authn" ] || { echo "bench/authn: no binaries; ./run bench builds them, or set SEXTANT_BIN"; exit 1; }
command -v wrk >/dev/null || { echo "bench/authn: wrk is not installed"; exit 1; }

work=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null; wait 2>/dev/null; rm -rf "$work"' EXIT
uid=$(id -u) port=20130 peer_port=20132
cat >"$work/sextant.yaml" <<YAML
state_dir: $work/state
run_dir: $work/run
uids: {audit: $uid, crypto: $uid, authn: $uid, operator: $uid}
audit: {listen: "127.0.0.1:20131"}
crypto: {listen: ""}
authn: {issuer: "https://localhost:$port", listen: "127.0.0.1:$port", listen_mtls: ""}
YAML
export SEXTANT_CONFIG=$work/sextant.yaml
mkdir -p "$work/state" "$work/run"
"$bin/sextant-crypto" init >/dev/null
for daemon in audit crypto authn; do
    "$bin/sextant-$daemon" 2>"$work/$daemon.log" &
    pids+=($!)
done
ours=("${pids[@]}")
ready() { for _ in $(seq 100); do curl -fsk "$1" >/dev/null 2>&1 && return 0; sleep 0.1; done; echo "bench/authn: $1 does not answer"; exit 1; }
ready "https://localhost:$port/healthz"
secret=$("$bin/sextant-authn" client add --json <<<'{"client_id":"service","grant_types":["client_credentials"],"audiences":["https://api.example"]}' |
    sed 's/.*"client_secret":"\([^"]*\)".*/\1/')

peer=
modules=${TMPDIR:-/tmp}/sextant-bench-oidc-provider
if command -v node >/dev/null && command -v npm >/dev/null; then
    if [ ! -d "$modules/node_modules/oidc-provider" ]; then
        mkdir -p "$modules"
        echo '{"private":true,"type":"module","dependencies":{"oidc-provider":"9.13.3"}}' >"$modules/package.json"
        (cd "$modules" && npm install --silent --ignore-scripts --no-audit --no-fund) || true
    fi
    if [ -d "$modules/node_modules/oidc-provider" ]; then
        cp bench/authn-peer.mjs "$modules/"
        PORT=$peer_port CERT=$work/state/authn/server.crt KEY=$work/state/authn/server.key SECRET=$secret \
            node "$modules/authn-peer.mjs" >"$work/peer.log" 2>&1 &
        peer=$!
        pids+=("$peer")
        ready "https://localhost:$peer_port/.well-known/openid-configuration"
    fi
fi
[ -n "$peer" ] || echo "bench/authn: node or oidc-provider is not there: our side alone"

cat >"$work/post.lua" <<LUA
wrk.method = "POST"
wrk.body = "grant_type=client_credentials&resource=https%3A%2F%2Fapi.example"
wrk.headers["Content-Type"] = "application/x-www-form-urlencoded"
wrk.headers["Authorization"] = "Basic $(printf 'service:%s' "$secret" | base64 -w0)"
LUA

# CPU ticks of processes and all their children.
ticks() {
    local total=0 pid queue=("$@")
    while [ ${#queue[@]} -gt 0 ]; do
        pid=${queue[0]}
        queue=("${queue[@]:1}")
        [ -r "/proc/$pid/stat" ] || continue
        set -- $(sed 's/.*) //' "/proc/$pid/stat")
        total=$((total + ${12} + ${13}))
        queue+=($(cat /proc/"$pid"/task/*/children 2>/dev/null))
    done
    echo "$total"
}
hz=$(getconf CLK_TCK)
declare -A requests cpu
# one NAME URL PID...: adds to the sums of NAME.
one() {
    local name=$1 url=$2 before after n
    shift 2
    before=$(ticks "$@") before_authn=$(ticks "${ours[2]}")
    wrk -t1 -c16 -d"${seconds}s" -s "$work/post.lua" "$url" >"$work/wrk.out"
    after=$(ticks "$@") after_authn=$(ticks "${ours[2]}")
    n=$(awk '/requests in/ {print $1}' "$work/wrk.out")
    if grep -q 'Non-2xx' "$work/wrk.out"; then
        echo "bench/authn: $name gave errors:"
        cat "$work/wrk.out"
        exit 1
    fi
    requests[$name]=$((${requests[$name]:-0} + n))
    cpu[$name]=$((${cpu[$name]:-0} + after - before))
    [ "$name" = peer ] || cpu[authn]=$((${cpu[authn]:-0} + after_authn - before_authn))
}
for _ in $(seq "$rounds"); do
    one sextant "https://localhost:$port/token" "${ours[@]}"
    [ -z "$peer" ] || one peer "https://localhost:$peer_port/token" "$peer"
done

row() { awk -v l="$1" -v n="$2" -v t="$3" -v hz="$hz" -v s=$((seconds * rounds)) \
    'BEGIN {printf "%-44s %9.0f/s %9.0f per CPU-second %8.1f us CPU each\n", l, n / s, n * hz / t, t / hz / n * 1e6}'; }
row "authn + crypto + audit (durable, signed apart)" "${requests[sextant]}" "${cpu[sextant]}"
row "  authn alone" "${requests[sextant]}" "${cpu[authn]}"
if [ -n "$peer" ]; then
    row "node oidc-provider 9.13.3 (memory)" "${requests[peer]}" "${cpu[peer]}"
    awk -v a="${requests[sextant]}" -v x="${cpu[sextant]}" -v y="${cpu[authn]}" -v b="${requests[peer]}" -v z="${cpu[peer]}" \
        'BEGIN {printf "ratio per CPU-second: all three %.2f, authn alone %.2f\n", (a / x) / (b / z), (a / y) / (b / z)}'
fi
for i in 0 1 2; do
    d=(audit crypto authn)
    awk -v d="${d[$i]}" '/^Pss:/ {p=$2} /^Rss:/ {r=$2} END {printf "memory %-8s PSS %6d KiB  RSS %6d KiB\n", d, p, r}' "/proc/${ours[$i]}/smaps_rollup"
done
[ -z "$peer" ] || awk '/^Pss:/ {p=$2} /^Rss:/ {r=$2} END {printf "memory %-8s PSS %6d KiB  RSS %6d KiB\n", "peer", p, r}' "/proc/$peer/smaps_rollup"
