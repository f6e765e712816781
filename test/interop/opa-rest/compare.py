#!/usr/bin/env python3
"""Sends the same requests to OPA and to sextant-authz and shows where the answers differ.

usage: compare.py AUTHZ OPA [GROUP...]
"""

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
    authz, opa, wanted = sys.argv[1], sys.argv[2], sys.argv[3:]
    same = differ = 0
    for name, requests in GROUPS.items():
        if wanted and name not in wanted:
            continue
        theirs = Server([opa, "run", "-s", "-l", "error"])
        ours = Server([authz, "run", "-s"])
        try:
            for r in requests:
                a, b = theirs.ask(*r), ours.ask(*r)
                a, b = (a[0], a[1], smooth(a[2])), (b[0], b[1], smooth(b[2]))
                if a == b:
                    same += 1
                    continue
                differ += 1
                print(f"--- {name}: {r[0]} {r[1]} {r[2] or ''} {r[3][:120]!r}")
                print("  opa :", a[0], json.dumps(a[1]), a[2][:700] if a[2] != b[2] else "(same body)")
                print("  ours:", b[0], json.dumps(b[1]), b[2][:700] if a[2] != b[2] else "")
        finally:
            theirs.stop()
            ours.stop()
    print(f"{same} alike, {differ} differ")
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
