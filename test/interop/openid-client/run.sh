#!/usr/bin/env bash
# openid-client (npm) signs in at sextant-authn through the HTML forms, refreshes, introspects, revokes, logs out.
# usage: run.sh BUILD_DIR        exit 77: skipped, with the reason in one line
set -euo pipefail
build=$(readlink -f "$1")
here=$(dirname "$(readlink -f "$0")")
name=openid-client
port=${AUTHN_PORT:-20110}
no() { echo "skipped: interop/$name: $*"; exit 77; }
command -v node >/dev/null && command -v npm >/dev/null || no "node and npm are not installed"
[ "$(node -p 'process.versions.node.split(".")[0]')" -ge 20 ] || no "node is older than version 20"

# The client, at a fixed version, outside the tree; kept for the next run.
modules=${TMPDIR:-/tmp}/sextant-interop-openid-client
if [ ! -d "$modules/node_modules/openid-client" ]; then
    mkdir -p "$modules"
    echo '{"private":true,"type":"module","dependencies":{"openid-client":"6.8.9"}}' >"$modules/package.json"
    (cd "$modules" && npm install --silent --ignore-scripts --no-audit --no-fund) || no "npm cannot install openid-client 6.8.9"
fi

. "$here/../authn.sh"
printf '%s\n' "$PASSWORD_" | authn user add "$USERNAME_" --attributes '{"name":"Ana Lima","email":"ana@example.org","role":"analyst"}'
authn client add --json >/dev/null <<JSON
{"client_id":"portal","client_name":"Portal","redirect_uris":["$REDIRECT"],"post_logout_redirect_uris":["$REDIRECT"],
 "grant_types":["authorization_code","refresh_token"],"token_endpoint_auth_method":"none","audiences":["$AUDIENCE"]}
JSON
CONFIDENTIAL_SECRET=$(authn client add --json <<JSON | node -e 'process.stdin.on("data",d=>console.log(JSON.parse(d).client_secret))'
{"client_id":"service","grant_types":["client_credentials"],"audiences":["$AUDIENCE"]}
JSON
)
export CONFIDENTIAL_SECRET PUBLIC_CLIENT=portal CONFIDENTIAL_CLIENT=service
export NODE_EXTRA_CA_CERTS=$CA
cp "$here/client.mjs" "$modules/client.mjs"
node "$modules/client.mjs"
sanitizers_silent
