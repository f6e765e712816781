#!/bin/bash
# authz against OPA: CPU time from JSON bytes to decision, interleaved, minimum of five. Needs a release build.
#   bench/authz.sh BUILD_DIR [OPA]
set -euo pipefail
build=${1:?build directory}
opa=${2:-$(command -v opa || true)}
root=$(cd "$(dirname "$0")/.." && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cat > "$dir/policy.rego" <<'REGO'
package authz

default allow := false

allow if {
	input.user.role == "analyst"
	input.action == "read"
	input.resource.owner_team == input.user.team
	input.resource.environment != "production"
}
REGO
echo '{"user":{"role":"analyst","team":"payments"},"action":"read","resource":{"owner_team":"payments","environment":"staging"}}' > "$dir/input.json"
ours=() theirs=()
for round in 1 2 3 4 5; do
	ours+=("$("$build/authz/sextant-authz" bench --parse-input -f gobench -d "$dir/policy.rego" -i "$dir/input.json" data.authz.allow |
		awk '/ns\/op/ {for (i = 1; i <= NF; i++) if ($i == "ns/op") print $(i-1)}')")
	if [ -n "$opa" ]; then
		theirs+=("$("$opa" bench -d "$dir/policy.rego" -i "$dir/input.json" --count 1 -f gobench data.authz.allow 2>/dev/null |
			awk '/ns\/op/ {for (i = 1; i <= NF; i++) if ($i == "ns/op") print $(i-1)}' | head -1)")
	fi
done
least() { printf '%s\n' "$@" | sort -g | head -1; }
mine=$(least "${ours[@]}")
echo "sextant-authz: $mine ns of CPU, JSON bytes in to decision out"
if [ -n "$opa" ]; then
	peer=$(least "${theirs[@]}")
	echo "opa bench:     $peer ns (input already parsed)"
	awk -v a="$peer" -v b="$mine" 'BEGIN {printf "ratio:         %.1f\n", a / b}'
else
	echo "opa is not here: go install github.com/open-policy-agent/opa@v1.22.2"
fi
cd "$root"
