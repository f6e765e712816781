#!/usr/bin/env bash
# CPU a request of lib/http's server and of nginx: keep-alive, 1 KB answers, interleaved rounds. Needs nginx and wrk.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
for tool in nginx wrk; do command -v $tool >/dev/null || { echo "skipped: $tool is not installed"; exit 77; }; done
ROUNDS=${ROUNDS:-5} SECONDS_EACH=${SECONDS_EACH:-3} CONNECTIONS=${CONNECTIONS:-16}
bench=$root/build/release/bench/bench_http
[ -x "$bench" ] || { echo "bench_http is not built: ./run build" >&2; exit 1; }
work=$(mktemp -d "${TMPDIR:-/tmp}/sextant-http-XXXXXX")
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || :; rm -rf "$work"' EXIT
body=$(head -c 1024 /dev/zero | tr '\0' x)
[ "$(id -u)" != 0 ] || user='user root;'
cat >"$work/nginx.conf" <<NGINX
worker_processes 1; daemon off; error_log stderr crit; pid $work/nginx.pid; ${user:-}
events { worker_connections 1024; }
http { access_log off; keepalive_requests 1000000000;
  client_body_temp_path $work/t1; proxy_temp_path $work/t2; fastcgi_temp_path $work/t3; uwsgi_temp_path $work/t4; scgi_temp_path $work/t5;
  server { listen 127.0.0.1:20251; location /x { return 200 "$body"; } } }
NGINX
nginx -p "$work" -c "$work/nginx.conf" & pids+=($!)
"$bench" 127.0.0.1:20250 & ours=$!; pids+=("$ours")
sleep 0.7
theirs=$(pgrep -P "$(cat "$work/nginx.pid")" | head -1)
taskset -cp 0 "$ours" >/dev/null; taskset -cp 0 "$theirs" >/dev/null
ticks=$(getconf CLK_TCK)
cpu() { awk -v t="$ticks" '{print ($14+$15)*1000000/t}' "/proc/$1/stat"; }
round() { # PORT PID
    local before n
    before=$(cpu "$2")
    n=$(taskset -c 1 wrk -t1 -c"$CONNECTIONS" -d"${SECONDS_EACH}s" "http://127.0.0.1:$1/x" | awk '/requests in/{print $1}')
    awk -v b="$before" -v a="$(cpu "$2")" -v n="$n" 'BEGIN{printf "%.2f\n", (a-b)/n}'
}
for _ in $(seq "$ROUNDS"); do
    round 20251 "$theirs" >>"$work/nginx"
    round 20250 "$ours" >>"$work/ours"
done
stat() { sort -n "$work/$1" | awk '{v[NR]=$1} END{print v[1], v[int((NR+1)/2)]}'; }
read -r n_min n_med <<<"$(stat nginx)"
read -r o_min o_med <<<"$(stat ours)"
echo "CPU us a request (least, median of $ROUNDS rounds, $CONNECTIONS connections)"
printf '  nginx, from memory   %6s %6s\n' "$n_min" "$n_med"
printf '  lib/http             %6s %6s   ratio %s\n' "$o_min" "$o_med" "$(awk "BEGIN{printf \"%.2f\", $o_med/$n_med}")"
