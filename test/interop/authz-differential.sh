#!/usr/bin/env bash
# authz-differential.sh BUILD: the same policies, data and inputs through OPA itself and through both evaluators.
set -euo pipefail
cd "$(dirname "$0")/../.."
build=$1
skip() { echo "skipped: interop/authz-differential: $*"; exit 77; }
opa=${OPA:-$(command -v opa || echo "$HOME/go/bin/opa")}
[ -x "$opa" ] || skip "opa is not installed"
command -v python3 >/dev/null || skip "python3 is not installed"
[ -x "$build/authz/sextant-authz" ] || skip "sextant-authz is not built"
suites=${SEXTANT_CONFORMANCE:-$PWD/../shared/conformance}/rego
[ -d "$suites/v1" ] || skip "the Rego suites are not there"
exec python3 test/interop/authz_differential.py "$opa" "$build/authz/sextant-authz" "$suites/v1" "${CASES:-150}" "${SEED:-1}"
