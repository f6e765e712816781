#!/usr/bin/env bash
# Runs OPA's own command-line scripts (a JSON list of {id, script, files}) against sextant-opa.
#   cli_scripts.sh SCRIPTS.json BUILD_DIRECTORY [ID...]
# A script is a list of lines: exec, retry, stdin, stdout, stderr, jq, cmp, http_server, kill, wait; `!` wants failure,
# `&name&` at the end leaves a command running. Exit code 77 where the file or jq is not there.
set -u
json=$1 build=$2
shift 2
[ -f "$json" ] || { echo "skipped: $json is not there"; exit 77; }
command -v jq >/dev/null || { echo "skipped: jq is not there"; exit 77; }
command -v curl >/dev/null || { echo "skipped: curl is not there"; exit 77; }

top=$(mktemp -d)
declare -A running=()
cleanup() {
	for p in "${running[@]:-}"; do [ -n "$p" ] && kill "$p" 2>/dev/null; done
	rm -rf "$top"
}
trap cleanup EXIT
ln -s "$(realpath "$build")/authz/sextant-authz" "$top/sextant-opa"
serve=$(realpath "$build")/test/conformance/serve_folder
export OPA=$top/sextant-opa

file_named() {
	case $1 in
	stdout | stderr) echo "$WORK/.$1" ;;
	*) echo "$WORK/$1" ;;
	esac
}

start() { # name command...
	local name=$1
	shift
	"$@" >"$WORK/.$name.out" 2>"$WORK/.$name.err" &
	running[$name]=$!
}

run() {
	"$@" <"$stdin_file" >"$WORK/.stdout" 2>"$WORK/.stderr"
}

# One verb with its words already taken apart. Its exit code says whether it held.
verb() {
	local v=$1 i
	shift
	case $v in
	exec)
		local last=${*: -1}
		if [[ $last =~ ^\&([a-z]+)\&$ ]]; then
			start "${BASH_REMATCH[1]}" "${@:1:$#-1}"
		else
			run "$@"
			i=$?
			stdin_file=/dev/null
			return $i
		fi
		;;
	retry)
		for ((i = 0; i < 100; i++)); do
			run "$@" && return 0
			sleep 0.1
		done
		return 1
		;;
	stdin) stdin_file=$WORK/$1 ;;
	stdout | stderr) grep -Pq -- "$1" "$WORK/.$v" ;;
	jq)
		local flags=-e
		[ "$1" = -s ] && { flags=-es; shift; }
		jq "$flags" "$2" "$(file_named "$1")" >/dev/null 2>&1
		;;
	cmp) cmp -s "$(file_named "$1")" "$(file_named "$2")" ;;
	http_server)
		start http "$serve" "$WORK/$1"
		for ((i = 0; i < 50; i++)); do
			HTTP_ADDR=$(head -1 "$WORK/.http.out" 2>/dev/null)
			[ -n "$HTTP_ADDR" ] && break
			sleep 0.1
		done
		export HTTP_ADDR
		;;
	kill) kill "$1" "${running[$2]}" ;;
	wait)
		wait "${running[$1]}"
		unset "running[$1]"
		cp "$WORK/.$1.out" "$WORK/.stdout"
		cp "$WORK/.$1.err" "$WORK/.stderr"
		;;
	*) echo "unknown verb: $v"; return 2 ;;
	esac
}

script() { # id: prints what did not hold
	local line words want
	stdin_file=/dev/null
	while IFS= read -r line; do
		[[ $line =~ ^[[:space:]]*(#|$) ]] && continue
		[[ $line == '[windows]'* ]] && continue
		line=${line#'[!windows] '}
		want=0
		[[ $line == '! '* ]] && { want=1; line=${line#'! '}; }
		# The mark of a background command is no operator of this shell.
		[[ $line =~ (.*)\ (\&[a-z]+\&)$ ]] && line="${BASH_REMATCH[1]} '${BASH_REMATCH[2]}'"
		eval "words=($line)"
		verb "${words[@]}"
		if [ $((!!$?)) -ne $want ]; then
			echo "  does not hold: $line"
			sed 's/^/    stdout: /' "$WORK/.stdout" 2>/dev/null | head -5
			sed 's/^/    stderr: /' "$WORK/.stderr" 2>/dev/null | head -5
			return 1
		fi
	done < <(jq -r --arg id "$1" '.[] | select(.id == $id) | .script' "$json")
}

good=0 bad=0
ids=("$@")
[ $# -gt 0 ] || mapfile -t ids < <(jq -r '.[].id' "$json")
for id in "${ids[@]}"; do
	export WORK=$top/$id
	mkdir -p "$WORK"
	while IFS= read -r name; do
		mkdir -p "$WORK/$(dirname "$name")"
		jq -j --arg id "$id" --arg name "$name" '.[] | select(.id == $id) | .files[$name]' "$json" |
			sed -e '${/^$/d}' >"$WORK/$name"
	done < <(jq -r --arg id "$id" '.[] | select(.id == $id) | .files | keys[]' "$json")
	cd "$WORK" || exit 1
	if script "$id"; then
		good=$((good + 1))
		echo "ok      $id"
	else
		bad=$((bad + 1))
		echo "FAILED  $id"
	fi
	for p in "${running[@]:-}"; do [ -n "$p" ] && kill "$p" 2>/dev/null && wait "$p" 2>/dev/null; done
	running=()
done
echo "$good passed, $bad failed"
floor=${CLI_SCRIPTS_FLOOR:-${#ids[@]}}
[ "$good" -ge "$floor" ]
