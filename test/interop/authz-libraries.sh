#!/usr/bin/env bash
# Public policy libraries, judged by OPA itself: their own tests and queries through `opa` and through sextant-opa,
# and every difference told. Fetched as Go modules into the module cache; nothing of them is kept here.
#   authz-libraries.sh BUILD_DIRECTORY [STEP]     every STEPth query of the largest one (20)
# Exit code 77 where go, opa or jq are not there.
set -u
build=$(realpath "${1:?build directory}") step=${2:-20}
opa=$(command -v opa || echo "$HOME/go/bin/opa")
for tool in go jq; do
	command -v $tool >/dev/null || { echo "skipped: $tool is not there"; exit 77; }
done
[ -x "$opa" ] || { echo "skipped: opa is not there: go install github.com/open-policy-agent/opa@v1.22.2"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/bin" "$work/mod"
ln -s "$build/authz/sextant-authz" "$work/bin/sextant-opa"
ours=$work/bin/sextant-opa
printf 'module scratch\n\ngo 1.21\n' >"$work/mod/go.mod"
bad=0 good=0

# Where a module is once it was downloaded; empty when it cannot be had.
fetch() {
	(cd "$work/mod" && GOFLAGS=-mod=mod timeout 300 go mod download -json "$1" 2>/dev/null | jq -r '.Dir // empty')
}

same() { # what, ours, theirs
	if [ "$2" = "$3" ]; then
		good=$((good + 1))
	else
		bad=$((bad + 1))
		printf 'differs: %s\n' "$1"
		diff <(printf '%s\n' "$3") <(printf '%s\n' "$2") | head -10
	fi
}

# Verdicts of all tests, without times, sorted; the summary, or the errors.
verdicts() {
	"$@" 2>&1 | grep -E '^(data\.|PASS|FAIL|SKIPPED|ERROR|[0-9]+ error)|rego_[a-z]+_error' | sed -E 's/ \([0-9.a-zµ]+\)$//' | sort
}

library() { # name, folder, paths and flags...
	local name=$1 dir=$2
	shift 2
	local a b
	a=$(cd "$dir" && verdicts "$ours" test "$@")
	b=$(cd "$dir" && verdicts "$opa" test "$@")
	same "$name $*" "$a" "$b"
	printf '%-18s %s\n' "$name" "$(printf '%s\n' "$b" | grep -E '^(PASS|FAIL|ERROR)' | tr '\n' ' ')"
}

dir=$(fetch github.com/aquasecurity/trivy-checks@v1.10.0)
if [ -n "$dir" ]; then
	# Functions of its own program are rules of a module here, for both sides alike.
	mkdir "$work/trivy" && cp -r "$dir"/{checks,lib,examples} "$work/trivy" && chmod -R u+w "$work/trivy"
	find "$work/trivy" -name '*.rego' -exec sed -i -E 's/\b(result\.new|isManaged|sh\.parse_commands|squealer\.scan_string|cidr\.count_addresses|cidr\.is_public)\(/data.shim["\1"](/g; s/data\.shim\["([A-Za-z]+)\.?([A-Za-z_]*)"\]/data.shim.\1_\2/g' {} +
	cat >"$work/trivy/lib/shim.rego" <<-'R'
		package shim

		result_new(msg, cause) := {"msg": msg, "cause": cause}

		isManaged_(x) := x.__defsec_metadata.managed

		sh_parse_commands(s) := [[w | some w in split(trim_space(c), " "); w != ""] | some c in split(s, "&&")]

		squealer_scan_string(s) := object.union({"transgressionFound": contains(s, "AKIA")}, json.unmarshal(`{"description": "x"}`))

		sizes := {"/32": 1, "/24": 256, "/16": 65536, "/8": 16777216, "/0": 4294967296, "/128": 1}

		cidr_count_addresses(c) := sizes[regex.find_n("/[0-9]+$", c, 1)[0]]

		cidr_is_public(c) if {
			some p in ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"]
			not net.cidr_contains(p, c)
		}
	R
	library trivy-checks "$work/trivy" checks lib examples --ignore '*.yaml' -m 500
else
	echo "trivy-checks cannot be fetched"
fi

dir=$(fetch github.com/open-policy-agent/conftest@v0.71.1)
if [ -n "$dir" ]; then
	while IFS= read -r folder; do
		library conftest "$dir" "$folder"
	done < <(cd "$dir" && find . -name '*_test.rego' -printf '%h\n' | sed 's|^\./||' | sort -u)
else
	echo "conftest cannot be fetched"
fi

# Queries in Rego v0, with the documents of their own tests that are JSON.
dir=$(fetch github.com/Checkmarx/kics/v2@v2.2.0)
if [ -n "$dir" ]; then
	n=0
	while IFS= read -r query; do
		n=$((n + 1))
		[ $((n % step)) -eq 0 ] || continue
		platform=$(sed -E 's|.*/queries/([^/]*)/.*|\1|' <<<"$query" | tr '[:upper:]' '[:lower:]')
		[ -f "$dir/assets/libraries/$platform.rego" ] || continue
		find "$(dirname "$query")/test" -name '*.json' ! -name '*expected_result*' | sort | xargs -r jq -s \
			'{document: [to_entries[] | select(.value | type == "object") | .value + {id: "\(.key)", file: "f"}]}' \
			>"$work/input.json" 2>/dev/null
		[ -s "$work/input.json" ] || echo '{"document": []}' >"$work/input.json"
		args=(eval --v0-compatible -f json -d "$query" -d "$dir/assets/libraries/common.rego" -d "$dir/assets/libraries/$platform.rego"
			-d "$dir/assets/libraries/common.json" -i "$work/input.json" data.Cx.CxPolicy)
		same "kics $query" "$("$ours" "${args[@]}" 2>&1 | jq -S .)" "$("$opa" "${args[@]}" 2>&1 | jq -S .)"
	done < <(find "$dir/assets/queries" -name query.rego | sort)
	echo "kics               $((n / step)) of $n queries"
else
	echo "kics cannot be fetched"
fi

echo "$good passed, $bad failed"
[ "$bad" -eq 0 ] && [ "$good" -gt 0 ]
