#!/usr/bin/env bash
# CPU a request and hop: client -> proxy A -> (mutual TLS 1.3, P-256) -> proxy B -> a web server; keep-alive, 1 KB answers.
# Proxies: two of our sidecars (B decides by policy, with and without an audit event a request) and two nginx, interleaved in rounds.
# Needs nginx, wrk and openssl. Prints the least and the median of the rounds, and the ratio of the medians. Then memory of idle
# connections.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
for tool in nginx wrk openssl curl; do command -v $tool >/dev/null || { echo "skipped: $tool is not installed"; exit 77; }; done
ROUNDS=${ROUNDS:-5} SECONDS_EACH=${SECONDS_EACH:-3} CONNECTIONS=${CONNECTIONS:-16}
. "$root/test/interop/daemons.sh"
INTEROP_PORT=${INTEROP_PORT:-20230} domain_up cluster.local audit crypto identity
sidecar=$(daemon_path mesh)
# ---- a web server, and nginx as two proxies ----
work=$DOMAIN/bench
mkdir -p "$work/www" "$work/policies"
head -c 1024 /dev/zero | tr '\0' x >"$work/www/x"
chmod -R a+rX "$work"
(
    cd "$work"
    openssl ecparam -name prime256v1 -genkey -noout -out ca.key
    openssl req -x509 -new -key ca.key -days 1 -subj /CN=bench -out ca.pem
    for n in a b; do
        openssl ecparam -name prime256v1 -genkey -noout -out $n.key
        openssl req -new -key $n.key -subj /CN=$n.test -out $n.csr
        openssl x509 -req -in $n.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 1 -out $n.pem
    done
) >/dev/null 2>&1
common='worker_processes 1; daemon off; error_log stderr crit;'
[ "$(id -u)" != 0 ] || common="$common user root;"
nginx_conf() { # NAME SERVER-BLOCKS
    printf '%s pid %s/%s.pid; events {worker_connections 4096;} http { access_log off; keepalive_requests 1000000000; client_body_temp_path %s/t1; proxy_temp_path %s/t2; fastcgi_temp_path %s/t3; uwsgi_temp_path %s/t4; scgi_temp_path %s/t5; %s }' \
        "$common" "$work" "$1" "$work" "$work" "$work" "$work" "$work" "$2" >"$work/$1.conf"
    nginx -p "$work" -c "$work/$1.conf" 2>"$work/$1.log" &
    DOMAIN_PIDS+=($!)
}
nginx_conf web "server { listen 127.0.0.1:20240; root $work/www; }"
nginx_conf ngb "upstream w { server 127.0.0.1:20240; keepalive 64; keepalive_requests 1000000000; } server { listen 127.0.0.1:20241 ssl; ssl_protocols TLSv1.3; ssl_certificate $work/b.pem; ssl_certificate_key $work/b.key; ssl_client_certificate $work/ca.pem; ssl_verify_client on; location / { proxy_pass http://w; proxy_http_version 1.1; proxy_set_header Connection \"\"; } }"
nginx_conf nga "upstream b { server 127.0.0.1:20241; keepalive 64; keepalive_requests 1000000000; } server { listen 127.0.0.1:20242; location / { proxy_pass https://b; proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_ssl_protocols TLSv1.3; proxy_ssl_certificate $work/a.pem; proxy_ssl_certificate_key $work/a.key; proxy_ssl_trusted_certificate $work/ca.pem; proxy_ssl_verify on; proxy_ssl_name b.test; } }"

# ---- our sidecars ----
cat >"$work/policies/p.yaml" <<'YAML'
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: strict, namespace: bench}
spec: {mtls: {mode: STRICT}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: bench, namespace: bench}
spec:
  rules:
    - from: [{source: {principals: [cluster.local/sextant/mesh]}}]
      to: [{operation: {methods: [GET], paths: ["/*"]}}]
YAML
side() { # NAME AUDIT DOORS
    mkdir -p "$work/$1"
    { grep -E '^(trust_domain|run_dir|uids):' "$DOMAIN/sextant.yaml"
      printf 'state_dir: %s/%s\nmesh:\n  namespace: bench\n  policies: %s/policies\n  admin_listen: ""\n  audit: %s\n%s\n' \
          "$work" "$1" "$work" "$2" "$3"; } >"$work/$1.yaml"
    "$sidecar" --config "$work/$1.yaml" >"$work/$1.log" 2>&1 &
    DOMAIN_PIDS+=($!)
    eval "pid_$1=$!"
}
id=spiffe://cluster.local/sextant/mesh
side a denied "  outbound: [{listen: '127.0.0.1:20243', to: '127.0.0.1:20244', identity: $id}, {listen: '127.0.0.1:20247', to: '127.0.0.1:20244', identity: $id, protocol: tcp}, {listen: '127.0.0.1:20245', to: '127.0.0.1:20246', identity: $id}]"
side b denied "  inbound: [{listen: '127.0.0.1:20244', to: '127.0.0.1:20240'}]"
side c all "  inbound: [{listen: '127.0.0.1:20246', to: '127.0.0.1:20240'}]"
for n in a b c; do
    for _ in $(seq 100); do grep -q " ready" "$work/$n.log" && break; sleep 0.1; done
    grep -q " ready" "$work/$n.log" || { cat "$work/$n.log"; exit 1; }
done
for port in 20242 20243 20245; do
    got=$(curl -s -o /dev/null -w '%{http_code}' "http://127.0.0.1:$port/x")
    [ "$got" = 200 ] || { echo "port $port answers $got"; cat "$work"/*.log; exit 1; }
done

# ---- measuring ----
ticks=$(getconf CLK_TCK)
cpu() { # PID...: microseconds of CPU
    local sum=0 p v
    for p in "$@"; do v=$(awk '{print $14+$15}' "/proc/$p/stat"); sum=$((sum + v)); done
    echo $((sum * (1000000 / ticks)))
}
worker() { pgrep -P "$(cat "$work/$1.pid")" | head -1; }
pin() { taskset -cp 0 "$1" >/dev/null 2>&1 || :; }
nga=$(worker nga) ngb=$(worker ngb)
# shellcheck disable=SC2154
for p in $nga $ngb $pid_a $pid_b $pid_c; do pin "$p"; done
round() { # PORT PID...: CPU microseconds a request of these processes together
    local port=$1 before after n
    shift
    before=$(cpu "$@")
    n=$(taskset -c 1 wrk -t1 -c"$CONNECTIONS" -d"${SECONDS_EACH}s" "http://127.0.0.1:$port/x" | awk '/requests in/{print $1}')
    after=$(cpu "$@")
    awk -v d=$((after - before)) -v n="$n" 'BEGIN{printf "%.2f\n", d/n}'
}
: >"$work/nginx"; : >"$work/ours"; : >"$work/audited"
for _ in $(seq "$ROUNDS"); do
    round 20242 "$nga" "$ngb" >>"$work/nginx"
    round 20243 "$pid_a" "$pid_b" >>"$work/ours"
    round 20245 "$pid_a" "$pid_c" >>"$work/audited"
done
stat() { sort -n "$work/$1" | awk '{v[NR]=$1} END{printf "%.2f %.2f", v[1]/2, v[int((NR+1)/2)]/2}'; }
read -r n_min n_med <<<"$(stat nginx)"
read -r o_min o_med <<<"$(stat ours)"
read -r d_min d_med <<<"$(stat audited)"
echo "CPU us a request and hop (least, median of $ROUNDS rounds of $SECONDS_EACH s, $CONNECTIONS connections, mutual TLS between the hops)"
printf '  nginx, no policy                       %8s %8s\n' "$n_min" "$n_med"
printf '  sextant-mesh, policy                   %8s %8s   ratio %s\n' "$o_min" "$o_med" "$(awk "BEGIN{printf \"%.2f\", $o_med/$n_med}")"
printf '  sextant-mesh, policy and audit event   %8s %8s   ratio %s\n' "$d_min" "$d_med" "$(awk "BEGIN{printf \"%.2f\", $d_med/$n_med}")"

# ---- memory ----
pss() { awk '/^Pss:/{print $2}' "/proc/$1/smaps_rollup"; }
idle=$(pss "$pid_b")
connections=1000
python3 - "$connections" <<'PY' &
import socket, sys, time
held = []
for i in range(int(sys.argv[1])):
    s = socket.create_connection(("127.0.0.1", 20247))  # relayed: each has mutual TLS of its own
    s.sendall(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
    got = b""
    while b"xxx\n" not in got and len(got) < 1024:
        got += s.recv(65536)
    held.append(s)
time.sleep(4)
PY
holder=$!
for _ in $(seq 200); do
    now=$(ss -Htn state established "( sport = :20244 )" | wc -l)
    [ "$now" -ge $connections ] && break
    sleep 0.1
done
sleep 1
after=$(pss "$pid_b")
echo "memory: sidecar B ${idle} kB PSS before; ${after} kB with $now idle mutual TLS connections: $(awk "BEGIN{printf \"%.1f\", ($after-$idle)/$now}") kB each"
kill $holder 2>/dev/null || :
