#!/usr/bin/env bash
# authz against OPA and regorus: nanoseconds of CPU from JSON bytes to decision, over the policies that all three were
# measured on. Interleaved rounds, the minimum of each; the decisions must agree.
#   bench/authz.sh BUILD_DIR [ROUNDS]
# Needs a release build, and the conformance data beside the tree (SEXTANT_CONFORMANCE). Go and cargo bring the peers
# that they are there for; without them the column stays empty.
set -euo pipefail
build=$(realpath "${1:?build directory}")
rounds=${2:-5}
root=$(cd "$(dirname "$0")/.." && pwd)
policies=${SEXTANT_CONFORMANCE:-$root/../shared/conformance}/rego/bench/peers.json
[ -f "$policies" ] || { echo "authz: no $policies, nothing to measure" >&2; exit 77; }
peers=$build/peers
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

opa= regorus=
if command -v go >/dev/null; then
	echo "authz: building OPA's program" >&2
	mkdir -p "$peers" && cp -r "$root/bench/peers/opa" "$peers/"
	(cd "$peers/opa" && go build -o opa-bench .) && opa=$peers/opa/opa-bench
else
	echo "authz: no go, so no figures of OPA" >&2
fi
if command -v cargo >/dev/null; then
	echo "authz: building regorus' program" >&2
	mkdir -p "$peers" && cp -r "$root/bench/peers/regorus" "$peers/"
	(cd "$peers/regorus" && cargo build -q --release) && regorus=$peers/regorus/target/release/regorus-bench
else
	echo "authz: no cargo, so no figures of regorus" >&2
fi

touch "$out/ours" "$out/opa" "$out/regorus"
for round in $(seq "$rounds"); do
	echo "authz: round $round of $rounds" >&2
	"$build/bench/bench_rego" "$policies" --ms 10 --rounds 3 >>"$out/ours"
	[ -z "$opa" ] || "$opa" "$policies" --ms 10 --rounds 3 >>"$out/opa"
	[ -z "$regorus" ] || "$regorus" "$policies" --ms 10 --rounds 3 >>"$out/regorus"
done

awk -F '\t' '
	function cell(who, name) {
		if (!((who, name) in t)) return sprintf("%12s %7s", "-", "-")
		return sprintf("%12.0f %7.1f", t[who, name], t[who, name] / t["ours", name])
	}
	function median(who, list, n, i, j, x) {
		n = 0
		for (i = 1; i <= count; i++) if ((who, names[i]) in t) list[++n] = t[who, names[i]] / t["ours", names[i]]
		for (i = 2; i <= n; i++) {
			x = list[i]
			for (j = i - 1; j > 0 && list[j] > x; j--) list[j + 1] = list[j]
			list[j + 1] = x
		}
		return n ? sprintf("%.1f", list[int((n + 1) / 2)]) : "-"
	}
	{
		who = FILENAME
		sub(/.*\//, "", who)
		if (!((who, $1) in t) || $2 < t[who, $1]) t[who, $1] = $2
		if (who == "ours" && !($1 in seen)) { seen[$1] = 1; names[++count] = $1 }
	}
	END {
		printf "%-28s %10s %20s %20s\n", "ns of CPU a decision", "sextant", "OPA   ratio", "regorus   ratio"
		for (i = 1; i <= count; i++)
			printf "%-28s %10.0f %s %s\n", names[i], t["ours", names[i]], cell("opa", names[i]), cell("regorus", names[i])
		printf "%-28s %10s %20s %20s\n", "median ratio", "", median("opa"), median("regorus")
	}' "$out/ours" "$out/opa" "$out/regorus"

if [ -n "$opa" ] && command -v jq >/dev/null; then
	for who in ours opa; do
		cut -f1,4 "$out/$who" | sort -u | while IFS=$'\t' read -r name said; do
			printf '%s\t%s\n' "$name" "$(printf '%s' "$said" | jq -cS . 2>/dev/null || printf '%.200s' "$said")"
		done >"$out/$who.said"
	done
	cmp -s "$out/ours.said" "$out/opa.said" || {
		echo "authz: the decisions differ:"
		diff "$out/ours.said" "$out/opa.said" | cut -c1-200
		exit 1
	}
	echo "All decisions agree with OPA's."
fi
