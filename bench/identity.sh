#!/usr/bin/env bash
# X.509-SVIDs and tokens a CPU-second, in process and through the Workload API of a running daemon.
# SPIRE's own figures (1,830 to 3,570 X.509-SVIDs, 3,560 cached and 600 new JWT-SVIDs a CPU-second) are printed beside ours.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
bench=
for dir in "$root/build/release" "$root/build"; do
    [ -z "$bench" ] && [ -x "$dir/bench/bench_identity" ] && bench=$dir/bench/bench_identity
done
[ -n "$bench" ] || { echo "bench_identity is not built: ./run build" >&2; exit 1; }
"$bench"
. "$root/test/interop/daemons.sh"
INTEROP_PORT=${INTEROP_PORT:-20330} domain_up bench.test audit crypto identity
"$(daemon_path identity)" entry create --config "$DOMAIN/sextant.yaml" -spiffeID spiffe://bench.test/ns/bench/sa/client \
    -parentID spiffe://bench.test/sextant/identity -selector "unix:path:$(readlink -f "$bench")" >/dev/null
echo
"$bench" "$DOMAIN/run/identity/workload.sock" "${DOMAIN_PIDS[2]}"
echo "SPIRE 1.15.3: 3560 a CPU-s from the agent's cache, 600 with a new audience each"
