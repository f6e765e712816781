#!/usr/bin/env bash
# Known attacks on OpenID providers, tried on a running sextant-authn by a client in Python's standard library.
# usage: run.sh BUILD_DIR        exit 77: skipped, with the reason in one line
set -euo pipefail
build=$(readlink -f "$1")
here=$(dirname "$(readlink -f "$0")")
name=authn-attacks
port=${AUTHN_PORT:-20120}
command -v python3 >/dev/null || { echo "skipped: interop/$name: python3 is not installed"; exit 77; }
. "$here/../authn.sh"

for user in ana bob; do
    printf '%s\n' "$PASSWORD_" | authn user add "$user" --attributes '{"name":"A <b>","email":"a@example.org","team":"payments","role":"admin"}'
done
for id in portal other; do
    authn client add --json >/dev/null <<JSON
{"client_id":"$id","client_name":"Portal <b>","redirect_uris":["$REDIRECT"],"post_logout_redirect_uris":["https://app.example/bye"],
 "grant_types":["authorization_code","refresh_token"],"token_endpoint_auth_method":"none","audiences":["$AUDIENCE"],
 "scope":"openid profile email offline_access"}
JSON
done
SERVICE_SECRET=$(authn client add --json <<<'{"client_id":"service","grant_types":["client_credentials"],"audiences":["'$AUDIENCE'"]}' |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["client_secret"])')
export SERVICE_SECRET AUTHN="$build/authn/sextant-authn" AUTHN_PID=${pids[2]} WORK=$work
python3 "$here/attacks.py"
sanitizers_silent
# No secret of the run is in any log or audit event.
for secret in "$PASSWORD_" "$SERVICE_SECRET"; do
    ! grep -rqF -- "$secret" "$work"/*.log "$work/state/audit" || { echo "a secret is in a log"; exit 1; }
done
