#!/usr/bin/env python3
"""Sends the same requests to OPA and to sextant-authz and shows where the answers differ.

usage: compare.py AUTHZ OPA [GROUP...]
       compare.py --record FILE AUTHZ OPA    also writes OPA's answers down, for authz/server/server_test.c

Answers that differ are not recorded; DIFFERS names the reasons.
"""

import base64
import http.client
import json
import os
import re
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cases import GROUPS  # noqa: E402

# Where we differ knowingly: (part of the request's target or body, why).
DIFFERS = [
    ("/v1/policies", "OPA shows the tree as its compiler has rewritten it, ours is the tree as it was written"),
    ("GET /", "the banner is our own"),
    ("input: {", "the words of the YAML reader"),
    ("gzip", "OPA 1.22.2 breaks off once a body was no gzip: its pooled reader is not set up"),
    ("testmod/", "OPA adds stack_trace to errors of evaluation"),
]

SHOWN = ("content-type", "vary", "content-encoding", "location", "allow")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    def __init__(self, argv):
        self.port = free_port()
        self.process = subprocess.Popen(argv + ["-a", f"127.0.0.1:{self.port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise SystemExit(f"{argv[0]} does not listen")

    def ask(self, method, target, headers, body):
        body = body.encode() if isinstance(body, str) else body
        with socket.create_connection(("127.0.0.1", self.port), 10) as s:
            head = f"{method} {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"
            head += "".join(f"{k}: {v}\r\n" for k, v in headers.items())
            if body or method in ("POST", "PUT", "PATCH"):
                head += f"Content-Length: {len(body)}\r\n"
            s.sendall(head.encode() + b"\r\n" + body)
            reply = http.client.HTTPResponse(s, method=method)
            try:
                reply.begin()
            except (http.client.HTTPException, OSError) as e:
                return 0, {}, f"no reply: {e}"
            data = reply.read()
            shown = {k: reply.headers[k] for k in SHOWN if reply.headers[k]}
            if reply.headers["content-encoding"] == "gzip":
                import gzip
                data = gzip.decompress(data)
            return reply.status, shown, data.decode("utf-8", "replace")

    def stop(self):
        self.process.terminate()
        self.process.wait()


def smooth(text):
    text = re.sub(r'("(?:timer_|counter_|histogram_)[a-z_]+":\s*)[0-9]+', r"\g<1>0", text)
    return re.sub(r'[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}', "UUID", text)


def main():
    argv, record = sys.argv[1:], None
    if argv[:1] == ["--record"]:
        record, argv = argv[1], argv[2:]
    authz, opa, wanted = argv[0], argv[1], argv[2:]
    same = differ = 0
    golden = []
    for name, requests in GROUPS.items():
        if wanted and name not in wanted:
            continue
        theirs = Server([opa, "run", "-s", "-l", "error"])
        ours = Server([authz, "run", "-s"])
        golden.append({"group": name, "cases": []})
        try:
            for r in requests:
                a, b = theirs.ask(*r), ours.ask(*r)
                a, b = (a[0], a[1], smooth(a[2])), (b[0], b[1], smooth(b[2]))
                if a == b:
                    same += 1
                    body = r[3].encode() if isinstance(r[3], str) else r[3]
                    if "UUID" not in a[2]:
                        golden[-1]["cases"].append({
                            "method": r[0], "target": r[1], "headers": r[2], "body64": base64.b64encode(body).decode(),
                            "want": {"status": a[0], "headers": a[1], "body": a[2]}})
                    continue
                differ += 1
                print(f"--- {name}: {r[0]} {r[1]} {r[2] or ''} {r[3][:120]!r}")
                print("  opa :", a[0], json.dumps(a[1]), a[2][:700] if a[2] != b[2] else "(same body)")
                print("  ours:", b[0], json.dumps(b[1]), b[2][:700] if a[2] != b[2] else "")
        finally:
            theirs.stop()
            ours.stop()
    if record:
        with open(record, "w") as f:
            json.dump(golden, f, indent=1, ensure_ascii=True)
            f.write("\n")
    print(f"{same} alike, {differ} differ")
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
