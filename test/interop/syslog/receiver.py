"""A syslog receiver (RFC 6587 octet counting, RFC 5424) that breaks the connection half-way: every event must arrive all the
same, in order, well formed. Usage: receiver.py SEXTANT_AUDIT FOLDER PORT"""
import json, os, re, socket, subprocess, sys, time

program, folder, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
os.chdir(folder)
MESSAGE = re.compile(rb'<(\d+)>1 (\S+Z) (\S+) sextant-audit - (\d+) \[sextant@32473 index="(\d+)"(?: \w+="(?:[^"\\\]]|\\.)*")*\] (\{.*\})$')


def event(i):
    return json.dumps({
        "class_uid": 6003, "category_uid": 6, "activity_id": 2, "type_uid": 600302, "time": 1790000000000, "severity_id": 1,
        "metadata": {"version": "1.8.0", "uid": f"s-{i}", "product": {"name": "sextant-secrets"}},
        "actor": {"user": {"uid": 'a]"b\\'}}, "api": {"operation": 're]"ad\\'}, "src_endpoint": {"ip": "10.0.0.1"}})


def post(lines):
    r = subprocess.run(["curl", "-sS", "--unix-socket", "run/audit/audit.sock", "-H", "x-sextant-caller: secrets",
                        "--data-binary", "@-", "http://localhost/v1/events"], input="\n".join(lines).encode(), capture_output=True)
    return r.stdout


def accept():
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(("127.0.0.1", port))
    server.listen()
    server.settimeout(20)
    conn, _ = server.accept()
    server.close()
    conn.settimeout(3)
    return conn


def frames(conn, most):
    data, out = b"", []
    try:
        while len(out) < most:
            piece = conn.recv(65536)
            if not piece:
                break
            data += piece
            while True:
                head = re.match(rb"([1-9]\d*) ", data)
                if not head or len(data) < head.end() + int(head[1]):
                    break
                out.append(data[head.end():head.end() + int(head[1])])
                data = data[head.end() + int(head[1]):]
    except socket.timeout:
        pass
    return out


daemon = subprocess.Popen([program, "--config", "sextant.yaml"], stderr=open("audit.log", "w"))
try:
    for _ in range(100):
        if b'"accepted":600' in post([event(i) for i in range(600)]):
            break
        time.sleep(0.1)
    first = accept()
    got = frames(first, 200)
    first.close()
    got += frames(accept(), 10 ** 6)
    seen = []
    for m in got:
        fields = MESSAGE.match(m)
        assert fields, m[:300]
        assert fields[1] == b"110" and fields[4] == b"6003", m[:100]
        assert json.loads(fields[6])["metadata"]["sequence"] == int(fields[5])
        seen.append(int(fields[5]))
    assert set(seen) >= set(range(600)), "events are missing"
    assert len(open("state/audit/events.ndjson").readlines()) >= 600
finally:
    daemon.terminate()
    daemon.wait()
print("syslog: ok, %d events, %d of them twice" % (len(set(seen)), len(seen) - len(set(seen))))
