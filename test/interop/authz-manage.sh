#!/bin/bash
# authz-manage.sh BUILD: sextant-authz and the real opa against one control plane: bundles that one has built and
# signed are loaded by the other, and both log the same decisions. Skipped without opa, python3 or openssl.
set -euo pipefail
build=$1
here=$(cd "$(dirname "$0")" && pwd)
skip() { echo "skipped: interop/authz-manage: $*"; exit 77; }
PATH=$PATH:$HOME/go/bin
command -v opa >/dev/null || skip "opa is not installed"
command -v python3 >/dev/null || skip "python3 is not installed"
command -v openssl >/dev/null || skip "openssl is not installed"
[ -x "$build/authz/sextant-authz" ] || skip "sextant-authz is not built"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
openssl genrsa -out rsa.pem 2048 2>/dev/null
openssl rsa -in rsa.pem -pubout -out rsa.pub 2>/dev/null
openssl ecparam -name prime256v1 -genkey -noout -out ec.pem
openssl ec -in ec.pem -pubout -out ec.pub 2>/dev/null
python3 "$here/authz_manage.py" "$build/authz/sextant-authz" "$(command -v opa)"
