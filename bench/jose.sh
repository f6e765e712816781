#!/usr/bin/env bash
# Token verification: ours, whole, against OpenSSL's bare signature check, interleaved in one process, CPU time.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
for dir in "$root/build/release" "$root/build"; do
    [ -x "$dir/bench/bench_jose" ] && exec "$dir/bench/bench_jose"
done
echo "bench_jose is not built: ./run build" >&2
exit 1
