#!/bin/bash
# Dynamic PostgreSQL roles of sextant-secrets, judged at the database: they work, end with their sessions, outlive
# kill -9, and are ended late rather than never when the database was away. Usage: secrets_database.sh BUILD_FOLDER
BUILD=$(realpath "${1:?usage: secrets_database.sh BUILD_FOLDER}")
here=$(dirname "$(realpath "$0")")
command -v curl >/dev/null && command -v psql >/dev/null || { echo "skipped: curl or psql is not installed"; exit 77; }
[ -x /usr/lib/postgresql/15/bin/initdb ] || { echo "skipped: PostgreSQL 15 is not installed"; exit 77; }
PORT=20850
. "$here/../interop/secrets-lib.sh"
make_certificate
start_postgres
[ -n "$PG_URL" ] || exit 77
start_secrets

api() { # api METHOD PATH [BODY]
  curl -sS --cacert "$VAULT_CACERT" -H "X-Vault-Token: $VAULT_TOKEN" -X "$1" ${3:+-d "$3"} "$VAULT_ADDR/v1/$2"
}
field() { sed -n "s/.*\"$1\":\"\\([^\"]*\\)\".*/\\1/p"; }
as_role() { # as_role SQL
  PGPASSWORD=$password psql -qtA -w -h 127.0.0.1 -p "$PG_PORT" -U "$username" postgres -c "$1" 2>&1
}
roles() { psql -qtA -h "$DIR/pg" -p "$PG_PORT" -U postgres postgres -c "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'v-%'"; }
lease() { # lease ROLE: sets username, password, lease
  answer=$(api GET "database/creds/$1")
  username=$(printf %s "$answer" | field username) password=$(printf %s "$answer" | field password)
  lease=$(printf %s "$answer" | field lease_id)
  [ -n "$username" ] || die "no credentials: $answer"
}
die() { echo "FAILED: $*"; tail -5 "$DIR/secrets.log"; exit 1; }
eventually() { # eventually SECONDS COMMAND...
  n=$(($1 * 10)); shift
  for _ in $(seq $n); do "$@" && return 0; sleep 0.1; done
  return 1
}
no_roles() { [ "$(roles)" = 0 ]; }

api POST sys/mounts/database '{"type":"database"}'
refused=$(api POST database/config/pg "{\"connection_url\":\"$PG_URL\",\"username\":\"vault\",\"password\":\"wrong\",\"allowed_roles\":\"*\"}")
case $refused in *"verifying connection"*) ;; *) die "a wrong password was taken: $refused" ;; esac
api POST database/config/pg "{\"connection_url\":\"$PG_URL\",\"username\":\"vault\",\"password\":\"$PG_PASSWORD\",\"allowed_roles\":\"app,short\",\"rotate_root_now\":true}"
PGPASSWORD=$PG_PASSWORD psql -qw -h 127.0.0.1 -p "$PG_PORT" -U vault postgres -c 'SELECT 1' >/dev/null 2>&1 && die "the administrator's first password still works"
make="CREATE ROLE \\\"{{name}}\\\" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}';"
for r in app short other; do
  ttl=$([ $r = short ] && echo 2s || echo 5m)
  api POST "database/roles/$r" "{\"db_name\":\"pg\",\"creation_statements\":\"$make\",\"default_ttl\":\"$ttl\",\"max_ttl\":\"1h\"}"
done
case $(api GET database/creds/other) in *"not an allowed role"*) ;; *) die "a role outside allowed_roles was served" ;; esac

lease app
[ "$(as_role 'SELECT 7')" = 7 ] || die "leased credentials do not work"
PGPASSWORD=$password psql -qtAw -h 127.0.0.1 -p "$PG_PORT" -U "$username" postgres -c 'CREATE TEMP TABLE t(a int); SELECT pg_sleep(30)' > "$DIR/session" 2>&1 &
session=$!
sleep 0.5
began=$(date +%s%N)
api PUT sys/leases/revoke "{\"lease_id\":\"$lease\",\"sync\":true}"
took=$((($(date +%s%N) - began) / 1000000))
wait $session && die "an open session outlived its lease"
as_role 'SELECT 7' | grep -q 'authentication failed' || die "a revoked role still logs in"
no_roles || die "a revoked role is still there"
echo "revoked with its open session in $took ms"

lease short
eventually 10 no_roles || die "an expired role is still there"
echo "expired by itself"

lease app
kill -9 "$SECRETS_PID"; wait "$SECRETS_PID" 2>/dev/null || true
run_secrets; unseal_secrets
[ "$(as_role 'SELECT 7')" = 7 ] || die "a lease did not outlive kill -9"
case $(api PUT sys/leases/lookup "{\"lease_id\":\"$lease\"}") in *expire_time*) ;; *) die "a lease was forgotten by kill -9" ;; esac
lease short
kill -9 "$SECRETS_PID"; wait "$SECRETS_PID" 2>/dev/null || true
sleep 2.5
run_secrets; unseal_secrets
eventually 5 sh -c '! psql -qtA -h "$0" -p "$1" -U postgres postgres -c "SELECT 1 FROM pg_roles WHERE rolname = '"'$username'"'" | grep -q 1' "$DIR/pg" "$PG_PORT" ||
  die "what expired while secrets was down was not ended at its start"
echo "leases outlive kill -9, and end at the next start when they expired meanwhile"

$PG_AS "$PG/pg_ctl" -D "$DIR/pg" -m immediate stop >/dev/null 2>&1
answer=$(api PUT sys/leases/revoke "{\"lease_id\":\"$lease\",\"sync\":true}") || true
api PUT sys/leases/revoke-prefix/database/creds '{"sync":true}' >/dev/null
[ "$(api GET sys/leases/count | sed 's/.*"lease_count":\([0-9]*\).*/\1/')" -ge 1 ] || die "a lease that could not be ended was forgotten"
$PG_AS "$PG/pg_ctl" -D "$DIR/pg" -w -l "$DIR/pg/log" -o "-p $PG_PORT -k $DIR/pg -c listen_addresses=127.0.0.1" start >/dev/null
eventually 30 no_roles || die "after the database came back its roles were not ended"
echo "ended late, not never, when the database was away"
echo "secrets_database: ok"
