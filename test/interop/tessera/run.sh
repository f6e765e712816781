#!/bin/bash
# Tessera's fsck, which re-derives every tile from the entries, over a log of ours with a signature from crypto; and over a
# copy with one byte changed, where it must fail. Usage: run.sh BUILD_FOLDER
set -u
BUILD=$(realpath "${1:?usage: run.sh BUILD_FOLDER}")
PORT=20790
VERSION=v1.0.4
cache=${SEXTANT_TESSERA_CACHE:-${TMPDIR:-/tmp}/sextant-tessera-$VERSION}
export ASAN_OPTIONS=detect_leaks=0
for tool in go python3 curl; do
  command -v $tool >/dev/null || { echo "skipped: $tool is not installed"; exit 77; }
done
if [ ! -x "$cache/bin/fsck" ]; then
  GOBIN=$cache/bin GOPATH=$cache/go GOCACHE=$cache/build GOFLAGS=-mod=mod \
    go install "github.com/transparency-dev/tessera/cmd/fsck@$VERSION" >/dev/null 2>&1 ||
    { echo "skipped: Tessera's fsck cannot be fetched and built"; exit 77; }
fi

DIR=$(mktemp -d "${TMPDIR:-/tmp}/sextant-tessera.XXXXXX")
pids=""
cleanup() {
  for p in $pids; do kill "$p" 2>/dev/null; done
  for p in $pids; do wait "$p" 2>/dev/null; done
  rm -rf "$DIR"
}
trap cleanup EXIT
fail() { echo "FAILED: $*"; tail -n 5 "$DIR"/*.log; exit 1; }

me=$(id -u)
cat > "$DIR/sextant.yaml" <<EOF
trust_domain: interop.test
state_dir: $DIR/state
run_dir: $DIR/run
uids: {audit: $me, crypto: $me, secrets: $me}
audit: {listen: ""}
crypto: {listen: ""}
EOF
"$BUILD/crypto/sextant-crypto" --config "$DIR/sextant.yaml" init >/dev/null || fail "crypto init"
for d in audit crypto; do
  "$BUILD/$d/sextant-$d" --config "$DIR/sextant.yaml" > "$DIR/$d.log" 2>&1 &
  pids="$pids $!"
done

audit() { "$BUILD/audit/sextant-audit" "$1" --config "$DIR/sextant.yaml" "${@:2}"; }
number() { sed -n "s/.*\"$1\":\([0-9]*\).*/\1/p"; }

python3 - > "$DIR/events" <<'EOF'
for i in range(1500):
    print('{"class_uid":6003,"category_uid":6,"activity_id":2,"type_uid":600302,"time":1790000000000,"severity_id":1,'
          '"metadata":{"version":"1.8.0","uid":"e-%d","product":{"name":"sextant-secrets"}},'
          '"actor":{"user":{"uid":"u%d"}},"api":{"operation":"read"},"src_endpoint":{"ip":"10.0.0.1"}}' % (i, i % 7))
EOF
accepted=""
for try in $(seq 50); do
  accepted=$(curl -sS --unix-socket "$DIR/run/audit/audit.sock" -H 'x-sextant-caller: secrets' \
    --data-binary @"$DIR/events" http://localhost/v1/events 2>/dev/null) && break
  sleep 0.1
done
case $accepted in *'"accepted":1500'*) ;; *) fail "intake said: $accepted" ;; esac
for try in $(seq 100); do
  [ "$(audit status 2>/dev/null | number checkpoint_size)" -ge 1500 ] 2>/dev/null && break
  sleep 0.1
done
audit vkey > "$DIR/vkey" || fail "no key"
log=$DIR/state/audit/log

check() { # check FOLDER
  python3 -m http.server "$PORT" --bind 127.0.0.1 --directory "$1" >/dev/null 2>&1 &
  web=$!
  sleep 1
  timeout 60 "$cache/bin/fsck" --storage_url="http://127.0.0.1:$PORT/" --public_key="$DIR/vkey" --ui=false > "$DIR/fsck.log" 2>&1
  code=$?
  kill $web
  wait $web 2>/dev/null
  return $code
}
check "$log" || fail "fsck refuses our log"
grep -q "Successfully fsck" "$DIR/fsck.log" || fail "fsck did not say that it succeeded"
cp -r "$log" "$DIR/tampered"
printf X | dd of="$DIR/tampered/tile/entries/002" bs=1 seek=100 conv=notrunc 2>/dev/null
check "$DIR/tampered" && fail "fsck accepts a changed entry"
audit verify "$DIR/tampered" --key "$DIR/vkey" >/dev/null 2>&1 && fail "verify accepts a changed entry"
audit verify "$log" --key "$DIR/vkey" || fail "verify refuses the log"
echo "tessera: ok"
