"""One control plane, two servers (argv: ours, opa), in a folder that holds rsa.pem, rsa.pub, ec.pem, ec.pub.

Checks: bundles built and signed by either are loaded by either; a bundle that was tampered with by none; the same
requests give the same replies and the same events of the decision log, but for ids, times and addresses.
"""
import gzip
import hashlib
import http.server
import io
import json
import os
import subprocess
import sys
import tarfile
import threading
import time
import urllib.error
import urllib.request

OURS, OPA = sys.argv[1:3]
FILES, LOGS, STATUS = {}, {}, {}


class Control(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", etag=None):
        self.send_response(status)
        if etag:
            self.send_header("ETag", etag)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        body = FILES.get(self.path.lstrip("/"))
        if body is None:
            return self.answer(404)
        etag = '"%s"' % hashlib.sha256(body).hexdigest()[:16]
        if etag in self.headers.get("If-None-Match", ""):
            self.send_response(304)
            self.send_header("ETag", etag)
            self.end_headers()
            return None
        return self.answer(200, body, etag)

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        kind, who = self.path.strip("/").split("/")
        if kind == "logs":
            LOGS.setdefault(who, []).extend(json.loads(body))
        else:
            STATUS[who] = json.loads(body)
        return self.answer(200)


class Plane(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as f:
        f.write(text)


def make_sources():
    write("src/authz/p.rego", """package authz

import data.roles

default allow := false

allow if roles[input.user] == "admin"

names contains name if some name, _ in roles

count_ok := count(input.items) > 1

fails := 1 / input.zero
""")
    write("src/roles/data.json", '{"alice": "admin", "bob": "user", "text": "<&>\\u2028", "n": 1.50}')
    write("src/roles/more/data.yaml", "x: [1, two]\n")
    write("src/log/mask.rego", """package system.log

mask contains "/input/password"

mask contains {"op": "upsert", "path": "/input/card", "value": "***"} if input.input.card

drop if input.path == "authz/secret"
""")
    write("src/.manifest", '{"revision": "r1", "roots": ["authz", "roles", "system/log"]}')


def run(*command):
    p = subprocess.run(command, capture_output=True, text=True)
    if p.returncode != 0:
        sys.exit("%s: %s%s" % (" ".join(command), p.stdout, p.stderr))


KEYS = {"rs": ("RS256", "rsa.pem", "rsa.pub"), "es": ("ES256", "ec.pem", "ec.pub"), "hs": ("HS256", "secret", "secret")}


def make_bundles():
    for who, program in (("ours", OURS), ("opa", OPA)):
        out = "%s.plain" % who
        run(program, "build", "-b", "src", "-o", out)
        FILES[out] = open(out, "rb").read()
        for name, (alg, private, _) in KEYS.items():
            out = "%s.%s" % (who, name)
            run(program, "build", "-b", "src", "-o", out, "--signing-key", private, "--signing-alg", alg)
            FILES[out] = open(out, "rb").read()


def tampered(archive):
    out = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as old, tarfile.open(fileobj=out, mode="w:gz") as new:
        for member in old.getmembers():
            data = old.extractfile(member).read()
            if member.name.endswith("p.rego"):
                data = data.replace(b'"admin"', b'"user"')
                member.size = len(data)
            new.addfile(member, io.BytesIO(data))
    return out.getvalue()


def config(port, bundle, signing, who):
    keys = {}
    for name, (alg, _, public) in KEYS.items():
        keys[name] = {"algorithm": alg, "key": open(public).read() if os.path.exists(public) else public}
    source = {"resource": bundle, "polling": {"min_delay_seconds": 1, "max_delay_seconds": 1}}
    c = {
        "services": {"s": {"url": "http://127.0.0.1:%d" % port}},
        "labels": {"app": "interop"},
        "bundles": {"main": source},
        "decision_logs": {
            "partition_name": who,
            "reporting": {"min_delay_seconds": 1, "max_delay_seconds": 1},
            "request_context": {"http": {"headers": ["X-Request"]}},
        },
        "status": {"partition_name": who},
        "persistence_directory": "state-" + who,
    }
    if signing:
        source["signing"] = {"keyid": signing}
        c["keys"] = keys
    path = "%s.json" % who
    with open(path, "w") as f:
        json.dump(c, f)
    return path


def free_port():
    import socket
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    def __init__(self, who, plane, bundle, signing=None):
        self.who, self.port = who, free_port()
        program = OURS if who == "ours" else OPA
        self.log = open("%s.log" % who, "a")
        self.process = subprocess.Popen(
            [program, "run", "-s", "-a", "127.0.0.1:%d" % self.port, "-c", config(plane, bundle, signing, who)],
            stdout=self.log, stderr=subprocess.STDOUT)

    def ask(self, method, path, body=None):
        data = json.dumps(body).encode() if body is not None else None
        req = urllib.request.Request("http://127.0.0.1:%d%s" % (self.port, path), data, method=method,
                                     headers={"X-Request": "r7"})
        try:
            with urllib.request.urlopen(req, timeout=10) as r:
                return r.status, json.loads(r.read() or b"null")
        except urllib.error.HTTPError as e:
            text = e.read()
            return e.code, json.loads(text) if text else None

    def ready(self, seconds=15):
        end = time.time() + seconds
        while time.time() < end:
            try:
                if self.ask("GET", "/health?bundles")[0] == 200:
                    return True
            except (urllib.error.URLError, ConnectionError):
                pass
            time.sleep(0.05)
        return False

    def message(self, seconds=10):
        """What the status says of a bundle that does not load."""
        end = time.time() + seconds
        while time.time() < end:
            got = STATUS.get(self.who, {}).get("bundles", {}).get("main", {}).get("message")
            if got:
                return got
            time.sleep(0.05)
        return None

    def stop(self):
        self.process.terminate()
        self.process.wait(20)


CHECKS = [0]


def check(ok, what, *more):
    CHECKS[0] += 1
    if not ok:
        for who in ("ours", "opa"):
            sys.stderr.write(open("%s.log" % who).read()[-2000:] if os.path.exists("%s.log" % who) else "")
        sys.exit("failed: %s %s" % (what, " ".join(str(m) for m in more)))


REQUESTS = [
    ("POST", "/v1/data/authz/allow", {"input": {"user": "alice", "password": "p", "card": 4}, "trace": "t1"}),
    ("POST", "/v1/data/authz/allow", {"input": {"user": "bob"}}),
    ("POST", "/v1/data/authz", {"input": {"items": [1, 2]}}),
    ("POST", "/v1/data/authz/nothing", {}),
    ("POST", "/v1/data/authz/secret", {"input": 1}),
    ("GET", "/v1/data/roles", None),
    ("POST", "/v0/data/authz/allow", {"user": "alice"}),
    ("POST", "/v0/data/authz/nothing", {"user": "alice"}),
    ("GET", "/v1/query?q=x%3Ddata.roles.bob", None),
    ("POST", "/v1/query", {"query": "input.a == 1", "input": {"a": 1}}),
    ("PUT", "/v1/data/roles/carol", "admin"),
]


def plain(event):
    """An event without what must differ; of the metrics the names of those that both servers measure."""
    e = dict(event)
    for name in ("decision_id", "timestamp", "requested_by"):
        check(isinstance(e.pop(name), str), name)
    check(set(e["labels"]) == {"app", "id", "version"}, "labels", e["labels"])
    e["labels"] = {"app": e["labels"]["app"], "version": e["labels"]["version"]}
    e["metrics"] = sorted(n for n in e["metrics"] if n in ("timer_rego_query_eval_ns", "timer_server_handler_ns"))
    return e


def compare_logs(plane):
    servers = [Server(who, plane, "opa.plain") for who in ("ours", "opa")]
    replies = {}
    for s in servers:
        check(s.ready(), s.who + " is not ready")
        replies[s.who] = [s.ask(*r) for r in REQUESTS]
    for i, (a, b) in enumerate(zip(replies["ours"], replies["opa"])):
        for x in (a[1], b[1]):
            if isinstance(x, dict):
                x.pop("decision_id", None)
        check(a == b, "reply to", REQUESTS[i], a, b)
    for s in servers:
        s.stop()
    ours, opa = ([plain(e) for e in sorted(LOGS[w], key=lambda e: e["req_id"])] for w in ("ours", "opa"))
    for a, b in zip(ours, opa):
        if a.get("path") == "authz/nothing" or "query" in a:
            a["metrics"] = b["metrics"]
        a.pop("req_id"), b.pop("req_id")
        check(a == b, "event", json.dumps(a), json.dumps(b))
    check(len(ours) == len(opa), "number of events", len(ours), len(opa))
    print("%d events of the decision log are alike" % len(ours))
    a, b = (STATUS[w]["bundles"]["main"] for w in ("ours", "opa"))
    check(set(b) - set(a) == set(), "status has", sorted(a), sorted(b))
    check(all(a[n] == b[n] for n in ("name", "active_revision", "type", "size")), "status", a, b)


def main():
    plane = Plane(("127.0.0.1", 0), Control)
    port = plane.server_address[1]
    threading.Thread(target=plane.serve_forever, daemon=True).start()
    make_sources()
    make_bundles()
    for maker in ("ours", "opa"):
        for name in KEYS:
            for loader in ("ours", "opa"):
                s = Server(loader, port, "%s.%s" % (maker, name), name)
                check(s.ready(), "%s does not load what %s signed (%s)" % (loader, maker, name), STATUS.get(loader))
                got = s.ask("POST", "/v1/data/authz/allow", {"input": {"user": "alice"}})[1]["result"]
                check(got is True, "decision", loader, maker, name, got)
                s.stop()
    messages = {}
    for bundle, signing in (("bad", "rs"), ("opa.plain", "rs"), ("opa.es", "rs"), ("missing", None)):
        FILES["bad"] = tampered(FILES["opa.rs"])
        for loader in ("ours", "opa"):
            STATUS.pop(loader, None)
            s = Server(loader, port, bundle, signing)
            messages[loader] = s.message()
            check(not s.ready(0.2), "%s loads %s" % (loader, bundle))
            s.stop()
        texts = {w: (m or "").split(" (want")[0].split("signature: ")[0] for w, m in messages.items()}
        check(texts["ours"] == texts["opa"], "refusal of", bundle, messages)
    LOGS.clear()
    compare_logs(port)
    print("%d checks: bundles, signatures, refusals, logs and status as opa has them" % CHECKS[0])


main()
