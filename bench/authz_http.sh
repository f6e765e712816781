#!/usr/bin/env bash
# CPU of a decision over HTTP: POST /v1/data/authz/allow with 160 bytes, 16 kept-alive connections, the server on one
# core. Beside it nginx, which answers the same requests with a reply of the same size from memory, and OPA.
# Interleaved rounds; least and median of CPU time from /proc/PID/schedstat.
#   bench/authz_http.sh [BUILD_DIR] [OPA]
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
build=${1:-$root/build/release}
opa=${2:-$(command -v opa || true)}
for tool in nginx wrk taskset; do command -v $tool >/dev/null || { echo "skipped: $tool is not installed"; exit 77; }; done
authz=$build/authz/sextant-authz
[ -x "$authz" ] || { echo "$authz is not built" >&2; exit 1; }
ROUNDS=${ROUNDS:-5} SECONDS_EACH=${SECONDS_EACH:-2} CONNECTIONS=${CONNECTIONS:-16}
work=$(mktemp -d "${TMPDIR:-/tmp}/sextant-authz-http-XXXXXX")
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || :; rm -rf "$work"' EXIT

cat >"$work/policy.rego" <<'REGO'
package authz

default allow := false

allow if {
	input.user.role == "analyst"
	input.action == "read"
	input.resource.owner_team == input.user.team
	input.resource.environment != "production"
}
REGO
cat >"$work/post.lua" <<'LUA'
wrk.method = "POST"
wrk.body = '{"input":{"user":{"role":"analyst","team":"payments"},"action":"read","resource":{"owner_team":"payments","environment":"staging","id":"inv-2026-0001-000001"}}}'
wrk.headers["Content-Type"] = "application/json"
LUA
[ "$(id -u)" != 0 ] || user='user root;'
cat >"$work/nginx.conf" <<NGINX
worker_processes 1; daemon off; error_log stderr crit; pid $work/nginx.pid; ${user:-}
events { worker_connections 1024; }
http { access_log off; keepalive_requests 1000000000; default_type application/json;
  client_body_temp_path $work/t1; proxy_temp_path $work/t2; fastcgi_temp_path $work/t3; uwsgi_temp_path $work/t4; scgi_temp_path $work/t5;
  server { listen 127.0.0.1:20351; location / { add_header Vary Accept-Encoding; return 200 '{"result":true}\n'; } } }
NGINX

names=() ports=() servers=()
serve() { names+=("$1"); ports+=("$2"); servers+=("$3"); taskset -cp 0 "$3" >/dev/null; }
nginx -p "$work" -c "$work/nginx.conf" & pids+=($!)
"$authz" run -s -a 127.0.0.1:20350 "$work/policy.rego" >"$work/ours.log" 2>&1 & ours=$!; pids+=($ours)
logged=
"$authz" run -s -a 127.0.0.1:20352 --set decision_logs.console=true "$work/policy.rego" >"$work/log" 2>&1 & logged=$!
pids+=($logged)
peer=
if [ -n "$opa" ]; then
    GOMAXPROCS=1 "$opa" run -s -a 127.0.0.1:20353 -l error "$work/policy.rego" >/dev/null 2>&1 & peer=$!; pids+=($peer)
fi
sleep 1
serve nginx 20351 "$(pgrep -P "$(cat "$work/nginx.pid")" | head -1)"
serve authz 20350 $ours
if curl -s -d '{}' 127.0.0.1:20352/v1/data/authz/allow | grep -q decision_id; then
    serve authz-log 20352 $logged
else
    echo "no console decision log yet: left out"
fi
[ -z "$peer" ] || serve opa 20353 $peer

cpu() { cat /proc/"$1"/task/*/schedstat | awk '{s+=$1} END{printf "%.0f\n", s/1000}'; }
round() { # PORT PID
    local before after n
    before=$(cpu "$2")
    n=$(taskset -c 1 wrk -t1 -c"$CONNECTIONS" -d"${SECONDS_EACH}s" -s "$work/post.lua" \
        "http://127.0.0.1:$1/v1/data/authz/allow" | awk '/requests in/{print $1} /Non-2xx/{exit 1}')
    after=$(cpu "$2")
    awk -v b="$before" -v a="$after" -v n="$n" 'BEGIN{printf "%.3f\n", (a-b)/n}'
}
for _ in $(seq "$ROUNDS"); do
    for i in "${!names[@]}"; do round "${ports[i]}" "${servers[i]}" >>"$work/${names[i]}.us"; done
done
column() { sort -n "$work/$1.us" | awk '{v[NR]=$1} END{print v[1], v[int((NR+1)/2)]}'; }
read -r n_min n_med <<<"$(column nginx)"
echo "CPU us a request (least, median of $ROUNDS rounds, $CONNECTIONS connections)"
for name in "${names[@]}"; do
    read -r min med <<<"$(column "$name")"
    printf '  %-10s %8s %8s   of nginx %s %s\n' "$name" "$min" "$med" \
        "$(awk "BEGIN{printf \"%.2f\", $min/$n_min}")" "$(awk "BEGIN{printf \"%.2f\", $med/$n_med}")"
done
