#!/bin/bash
# The parser and the formatter beside OPA's own program: trees with places and comments, error texts, formatted text.
#
#     authz-parse.sh BUILD_DIR [every]
#
# Reads the modules of the suites in SEXTANT_CONFORMANCE (default ../shared/conformance), each `every`th (default 7), and
# modules that it makes of them by cutting, doubling and swapping words. Skipped without opa, jq or python3.
set -u
build=${1:?build directory}
every=${2:-7}
suite=${SEXTANT_CONFORMANCE:-$(dirname "$0")/../../../shared/conformance}/rego
opa=$(command -v opa || echo "$HOME/go/bin/opa")
for tool in "$opa" python3; do
    command -v "$tool" >/dev/null || { echo "skipped: $tool is not installed"; exit 77; }
done
[ -d "$suite" ] || { echo "skipped: $suite is not here"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
ln -s "$(readlink -f "$build/authz/sextant-authz")" "$work/sextant-opa"
exec python3 "$(dirname "$0")/authz_parse.py" "$opa" "$work/sextant-opa" "$suite" "$work" "$every"
