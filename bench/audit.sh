#!/usr/bin/env bash
# Events a second that the audit log makes durable, with what each part costs and the disk's own rate of syncs.
# Usage: audit.sh [FOLDER on the disk to measure]
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
for dir in "$root/build/release" "$root/build"; do
    if [ -x "$dir/bench/bench_audit" ]; then
        exec "$dir/bench/bench_audit" "$@"
    fi
done
echo "bench_audit is not built: ./run build" >&2
exit 1
