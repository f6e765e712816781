#!/usr/bin/env bash
# The requests that users of OPA's REST API make with curl, against the server alone: policies, data, decisions, queries.
#     opa-curl.sh BUILD_DIR
set -euo pipefail
build=$(realpath "${1:?build directory}")
command -v curl >/dev/null || { echo "skipped: curl is not installed"; exit 77; }
dir=$(mktemp -d)
"$build/authz/sextant-authz" run -s --addr "unix://$dir/authz.sock" >"$dir/log" 2>&1 &
server=$!
trap 'kill $server 2>/dev/null; wait $server 2>/dev/null; rm -rf "$dir"' EXIT
for _ in $(seq 100); do [ -S "$dir/authz.sock" ] && break; sleep 0.05; done
failed=0 passed=0
# want TITLE STATUS BODY CURL-ARGUMENTS…: the last argument is the path.
want() {
	local title=$1 status=$2 body=$3 got path=${*: -1}
	shift 3
	got=$(curl -s --max-time 10 --unix-socket "$dir/authz.sock" -w '\n%{http_code}' "${@:1:$#-1}" "http://localhost:8181$path")
	if [ "$got" = "$body"$'\n'"$status" ] || [ "$got" = "$body"$'\n\n'"$status" ]; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		printf 'FAILED %s\n  want %s %s\n  got  %s\n' "$title" "$status" "$body" "$got"
	fi
}
cat >"$dir/api.rego" <<'REGO'
package example.api

default allow := false

allow if {
	input.method == "GET"
	input.user in data.readers
}

names contains s.name if some s in data.servers
REGO
want "liveness" 200 '{}' /health
want "put a policy" 200 '{}' -X PUT --data-binary "@$dir/api.rego" /v1/policies/example
want "put data" 204 '' -X PUT -H 'Content-Type: application/json' -d '["ann","bob"]' /v1/data/readers
want "data that is there" 304 '' -X PUT -H 'If-None-Match: *' -d '[]' /v1/data/readers
want "data of objects" 204 '' -X PUT -d '[{"name":"web"},{"name":"db"}]' /v1/data/servers
want "get data" 200 '{"result":["ann","bob"]}' /v1/data/readers
want "get what is not there" 200 '{}' /v1/data/nobody
want "a decision" 200 '{"result":true}' -d '{"input":{"method":"GET","user":"ann"}}' /v1/data/example/api/allow
want "another decision" 200 '{"result":false}' -d '{"input":{"method":"GET","user":"eve"}}' /v1/data/example/api/allow
want "an input as YAML" 200 '{"result":true}' -H 'Content-Type: application/yaml' --data-binary $'input:\n  method: GET\n  user: bob\n' /v1/data/example/api/allow
want "a whole package" 200 '{"result":{"allow":true,"names":["db","web"]}}' -d '{"input":{"method":"GET","user":"bob"}}' /v1/data/example/api
want "input in the address" 200 '{"result":true}' -G --data-urlencode 'input={"method":"GET","user":"ann"}' /v1/data/example/api/allow
want "a decision of v0" 200 'true' -d '{"method":"GET","user":"ann"}' /v0/data/example/api/allow
want "a patch" 204 '' -X PATCH -H 'Content-Type: application/json-patch+json' -d '[{"op":"add","path":"-","value":"eve"}]' /v1/data/readers
want "after the patch" 200 '{"result":true}' -d '{"input":{"method":"GET","user":"eve"}}' /v1/data/example/api/allow
want "a query" 200 '{"result":[{"name":"web"},{"name":"db"}]}' -G --data-urlencode 'q=data.servers[_].name = name' /v1/query
want "a query by POST" 200 '{"result":[{"x":2}]}' -d '{"query":"x = input.a + 1","input":{"a":1}}' /v1/query
want "wrong method" 405 '' -X DELETE /v1/query
want "delete data" 204 '' -X DELETE /v1/data/servers
want "delete it again" 404 $'{\n  "code": "resource_not_found",\n  "message": "storage_not_found_error: document does not exist"\n}' -X DELETE /v1/data/servers
want "delete the policy" 200 '{}' -X DELETE /v1/policies/example
want "no rule is left" 200 '{}' -d '{"input":{}}' /v1/data/example/api/allow
echo "$passed passed, $failed failed"
[ $failed = 0 ]
