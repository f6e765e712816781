#!/bin/bash
# A syslog receiver of its own over TCP, which breaks the connection half-way. Usage: run.sh BUILD_FOLDER
set -eu
BUILD=$(realpath "${1:?usage: run.sh BUILD_FOLDER}")
here=$(dirname "$(realpath "$0")")
PORT=20795
export ASAN_OPTIONS=detect_leaks=0
for tool in python3 curl; do
  command -v $tool >/dev/null || { echo "skipped: $tool is not installed"; exit 77; }
done
DIR=$(mktemp -d "${TMPDIR:-/tmp}/sextant-syslog.XXXXXX")
trap 'rm -rf "$DIR"' EXIT
me=$(id -u)
cat > "$DIR/sextant.yaml" <<EOF
trust_domain: interop.test
state_dir: $DIR/state
run_dir: $DIR/run
uids: {audit: $me, secrets: $me}
audit: {listen: "", syslog: "127.0.0.1:$PORT", export_file: events.ndjson}
EOF
python3 "$here/receiver.py" "$BUILD/audit/sextant-audit" "$DIR" $PORT || { tail -n 5 "$DIR/audit.log"; exit 1; }
