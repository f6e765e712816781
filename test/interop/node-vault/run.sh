#!/bin/bash
# node-vault (npm, pinned in package.json) as a service would use it. Usage: run.sh BUILD_FOLDER
BUILD=$(realpath "${1:?usage: run.sh BUILD_FOLDER}")
here=$(dirname "$(realpath "$0")")
command -v npm >/dev/null || { echo "skipped: node-vault: npm is not installed"; exit 77; }
. "$here/../secrets-lib.sh"
modules=${SEXTANT_NODE_CACHE:-${TMPDIR:-/tmp}/sextant-node-vault}
mkdir -p "$modules" && cp "$here/package.json" "$modules/"
if [ ! -d "$modules/node_modules/node-vault" ]; then
  npm --prefix "$modules" install --no-audit --no-fund --silent || { echo "skipped: node-vault cannot be fetched"; exit 77; }
fi
make_certificate
start_postgres
start_secrets
NODE_PATH="$modules/node_modules" node "$here/client.js" || { tail -20 "$DIR/secrets.log"; exit 1; }
