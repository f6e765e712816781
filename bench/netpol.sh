#!/usr/bin/env bash
# netpol's cost at 1,000 and 5,000 pods: compiling, loading, one change, decisions; beside them the same policies in the
# usual design (a chain and a set for each pod) and the same change through the nft program.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
bench=
for dir in "$root/build/release" "$root/build"; do
    [ -z "$bench" ] && [ -x "$dir/bench/bench_netpol" ] && bench=$dir/bench/bench_netpol
done
[ -n "$bench" ] || { echo "bench_netpol is not built: ./run build" >&2; exit 1; }
for pods in ${*:-1000 5000}; do
    "$bench" "$pods" || [ $? -eq 77 ]
    echo
done
