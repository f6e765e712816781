# Starts one sextant-secrets of its own for foreign clients: Shamir seal, TLS from files, and PostgreSQL when there is one.
# Sourced; needs BUILD (the build folder). Sets VAULT_ADDR, VAULT_CACERT, VAULT_TOKEN, PG_* and removes all at exit.
set -eu
PORT=${PORT:-20810}
DIR=$(mktemp -d "${TMPDIR:-/tmp}/sextant-interop.XXXXXX")
PG=/usr/lib/postgresql/15/bin
pids=""
PG_URL=""

cleanup() {
  for p in $pids; do kill "$p" 2>/dev/null || true; done
  [ -n "${PG_AS:-}" ] && $PG_AS "$PG/pg_ctl" -D "$DIR/pg" -m immediate stop >/dev/null 2>&1
  for p in $pids; do wait "$p" 2>/dev/null || true; done
  rm -rf "$DIR"
}
trap cleanup EXIT

make_certificate() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
    -addext 'subjectAltName=DNS:localhost,IP:127.0.0.1' -keyout "$DIR/key.pem" -out "$DIR/cert.pem" 2>/dev/null
}

start_secrets() {
  mkdir -p "$DIR/state" "$DIR/run"
  cat > "$DIR/config.yaml" <<EOF
trust_domain: interop.test
state_dir: $DIR/state
run_dir: $DIR/run
secrets:
  listen: 127.0.0.1:$PORT
  seal: shamir
  root_token_on_init: true
  audit_mode: spool
  default_lease_ttl: 768h
  max_lease_ttl: 768h
  tls_cert: $DIR/cert.pem
  tls_key: $DIR/key.pem
EOF
  run_secrets
  init=$(curl -fsS --cacert "$VAULT_CACERT" -X PUT -d '{"secret_shares":1,"secret_threshold":1}' "$VAULT_ADDR/v1/sys/init")
  key=$(printf %s "$init" | sed 's/.*"keys":\["\([0-9a-f]*\)".*/\1/')
  VAULT_TOKEN=$(printf %s "$init" | sed 's/.*"root_token":"\([^"]*\)".*/\1/')
  export VAULT_TOKEN
  unseal_secrets
}

run_secrets() {
  "$BUILD/secrets/sextant-secrets" --config "$DIR/config.yaml" 2>> "$DIR/secrets.log" &
  SECRETS_PID=$!
  pids="$pids $SECRETS_PID"
  export VAULT_ADDR=https://127.0.0.1:$PORT VAULT_CACERT="$DIR/cert.pem"
  for _ in $(seq 100); do
    curl -fsS --cacert "$VAULT_CACERT" "$VAULT_ADDR/v1/sys/seal-status" >/dev/null 2>&1 && break
    sleep 0.1
  done
}

unseal_secrets() {
  curl -fsS --cacert "$VAULT_CACERT" -X PUT -d "{\"key\":\"$key\"}" "$VAULT_ADDR/v1/sys/unseal" >/dev/null
}

# A private PostgreSQL with a role that may make roles; without the server's programs nothing is set.
start_postgres() {
  [ -x "$PG/initdb" ] || { echo "skipped: PostgreSQL 15 is not installed"; return 0; }
  PG_PORT=$((PORT + 1))
  PG_AS=""
  mkdir "$DIR/pg"
  chmod 755 "$DIR"
  if [ "$(id -u)" = 0 ]; then
    id postgres >/dev/null 2>&1 || { echo "skipped: no user to run PostgreSQL as"; return 0; }
    chown postgres "$DIR/pg"
    PG_AS="setpriv --reuid=postgres --regid=postgres --init-groups"
  fi
  PG_PASSWORD=$(od -An -N12 -tx1 /dev/urandom | tr -d ' \n')
  $PG_AS "$PG/initdb" -D "$DIR/pg" -U postgres --auth-local=trust --auth-host=scram-sha-256 >/dev/null
  $PG_AS "$PG/pg_ctl" -D "$DIR/pg" -w -l "$DIR/pg/log" \
    -o "-p $PG_PORT -k $DIR/pg -c listen_addresses=127.0.0.1 ${PG_OPTS:-}" start >/dev/null
  printf "CREATE ROLE vault LOGIN CREATEROLE PASSWORD '%s'" "$PG_PASSWORD" |
    $PG_AS psql -q -h "$DIR/pg" -p "$PG_PORT" -U postgres postgres
  export PG_URL="postgresql://{{username}}:{{password}}@127.0.0.1:$PG_PORT/postgres?sslmode=disable" PG_USER=vault PG_PASSWORD
}
