# authn.sh: starts sextant-authn with the real audit and crypto daemons in a place of its own, as this user.
# Sourced with $build (folder of a build) and $name (of the test) set. Leaves $work, $port, ISSUER, CA and authn().
# Everything is ended and removed when the script exits; logs are shown when it failed.

skip() { echo "skipped: interop/$name: $*"; exit 77; }
for daemon in audit crypto authn; do
    [ -x "$build/$daemon/sextant-$daemon" ] || skip "sextant-$daemon is not built"
done
command -v curl >/dev/null || skip "curl is not installed"

work=$(mktemp -d)
pids=()
finish() {
    status=$?
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    if [ $status != 0 ] && [ $status != 77 ]; then tail -n 20 "$work"/*.log >&2; fi
    rm -rf "$work"
}
trap finish EXIT

uid=$(id -u)

cat >"$work/sextant.yaml" <<YAML
state_dir: $work/state
run_dir: $work/run
uids: {audit: $uid, crypto: $uid, authn: $uid, operator: $uid}
audit: {listen: "127.0.0.1:$((port + 1))"}
crypto: {listen: ""}
authn:
  issuer: https://localhost:$port
  listen: 127.0.0.1:$port
  listen_mtls: ""
YAML
export SEXTANT_CONFIG=$work/sextant.yaml
mkdir -p "$work/state" "$work/run"

"$build/crypto/sextant-crypto" init >"$work/init.log" 2>&1
for daemon in audit crypto authn; do
    "$build/$daemon/sextant-$daemon" >"$work/$daemon.log" 2>&1 &
    pids+=($!)
done
for _ in $(seq 150); do
    curl -fsk "https://localhost:$port/healthz" >/dev/null 2>&1 && break
    sleep 0.2
done
curl -fsk "https://localhost:$port/healthz" >/dev/null || { echo "sextant-authn does not get ready"; exit 1; }

authn() { "$build/authn/sextant-authn" "$@"; }
sanitizers_silent() { ! grep -hE 'AddressSanitizer|LeakSanitizer|runtime error|^BUG' "$work"/*.log; }
export ISSUER=https://localhost:$port CA=$work/run/authn/ca.crt
export USERNAME_=ana PASSWORD_='correct horse battery staple' REDIRECT=https://app.example/cb AUDIENCE=https://api.example
