"""Requests that the two servers must answer alike: (method, target, headers, body) in groups that begin with an empty store."""

import gzip
import json


def put(policy, name="test"):
    return ("PUT", f"/v1/policies/{name}", {}, policy)


def post(path, body="", headers=None):
    return ("POST", path, headers or {}, body)


def get(path, headers=None):
    return ("GET", path, headers or {}, "")


TESTMOD = """package testmod

import rego.v1
import input.req1
import input.req2 as reqx
import input.req3.attr1

p contains x if { q[x]; not r[x] }
q contains x if { data.x.y[i] = x }
r contains x if { data.x.z[i] = x }
g = true if { req1.a[0] = 1; reqx.b[i] = 1 }
h = true if { attr1[i] > 1 }
gt1 = true if { req1 > 1 }
arr = [1, 2, 3, 4] if { true }
undef = true if { false }
html := "<a>&b\\u2028</a>"
f(x) := x + 1
"""

COMPILED = """package test

p if {
\tinput.x = 1
}

q if {
\tdata.a[i] = input.x
}

default r = true

r if { input.x = 1 }

custom_func(x) if { data.a[i] == x }

s if { custom_func(input.x) }
"""

GZ = {"Content-Encoding": "gzip"}
YAML = {"Content-Type": "application/x-yaml"}

GROUPS = {
    "reading": [
        put(TESTMOD),
        ("PUT", "/v1/data/x", {}, '{"y":[1,2,3,4],"z":[3,4,5,6]}'),
        get("/v1/data/testmod/p"), get("/v1/data/testmod/undef"), get("/v1/data/testmod/undef?pretty"),
        get("/v1/data/testmod/p?pretty=true"), get("/v1/data/testmod/p?pretty=tRue"), get("/v1/data/testmod/p?pretty=1"),
        get("/v1/data/testmod/p?pretty=&pretty="), get("/v1/data/testmod/p?pretty=no&pretty=true"),
        get("/v1/data/testmod/html"), get("/v1/data/testmod/html?pretty"), get("/v1/data"), get("/v1/data/"), get("/v1/data/x/y/1"),
        get("/v1/data/x/y/01"), get("/v1/data/x/y/1.0"), get("/v1/data/x/y/-1"), get("/v1/data/x/y/+1"), get("/v1/data/x/y/9223372036854775808"),
        get("/v1/data/nothing/here"), post("/v1/data/nothing/here"), post("/v1/data/testmod/gt1", '{"input":{"req1":2}}'),
        post("/v1/data/testmod/gt1", '{"input":{"req1":0}}'), post("/v1/data/testmod/arr"), post("/v1/data/testmod/arr", "{}"),
        post("/v1/data/testmod/arr", "null"), post("/v1/data/testmod/arr", '{"input":null}'), post("/v1/data/testmod/arr", "[]"),
        post("/v1/data/testmod/arr", '"x"'), post("/v1/data/testmod/arr", "3"), post("/v1/data/testmod/arr", "true"),
        post("/v1/data/testmod/arr?pretty", '{"input":1}'), post("/v1/data/testmod/f"), get("/v1/data/testmod/f"),
        get("/v1/data/testmod/g?input=%7B%22req1%22%3A%7B%22a%22%3A%5B1%5D%7D%2C+%22req2%22%3A%7B%22b%22%3A%5B0%2C1%5D%7D%7D"),
        get("/v1/data/testmod/g?input=%7B"), get("/v1/data/testmod/g?input="), get("/v1/data/testmod/g?input=1&input=%7Bx"),
        get("/v1/data/testmod/g?input=1+2"), get("/v1/data/testmod/g?input={}}"),
        get("/v1/data/testmod/p?provenance"), post("/v1/data/testmod/p?provenance=true&pretty", "{}"),
        get("/v1/data//testmod///p"), get("/v1/data/testmod/p/"), get("/v1/data/testmod/../testmod/p"), get("/v1/data/a%2Fb"),
        get('/v1/data/a%22b'), get("/v1/data/a%22b?pretty"), post('/v1/data/a%22b', "{}"), get("/v1/data/a%zz"),
        get("/v1/data/testmod?strict-builtin-errors"),
    ],
    "malformed input": [
        post("/v1/data/deadbeef", body) for body in [
            '{"input": @}', "{", '{"input": 1', '{"input"', '{"input":', '{"input": [1,', '{"input": [1 2]}', '{"input": {"a" 1}}',
            '{"input": {a: 1}}', '{"input": tru}', '{"input": trux}', '{"input": 01}', '{"input": -}', '{"input": 1.}', '{"input": 1e}',
            '{"input": "a', '{"input": "\\q"}', '{"input": "\\u12x4"}', '{"input": "a\nb"}', '{"input": 1,}', '{"input": [1,]}', "}", "]",
            '{"input": 1} trailing', '{"input": 1}{"input": 2}', "  ", "\n", "nul", "n", "+1", "'a'", '{"input": "\x01"}', '{"input": 1}]',
            '{"input": 1e400}', '{"input": 1e999999999}', '{"input": 123456789012345678901234567890}', "\x00", '{"\xe9": 1}', "{,}", "[,]",
            '{"input": {"a":1,}}', '{"input": nan}', '{"input":\t"\\"}', '{"Input": 3}', '{"input": 1, "input": 2}', '{"INPUT": 3}',
        ]
    ],
    "yaml and gzip": [
        put("package t\nimport rego.v1\np := input"),
        post("/v1/data/t/p", "input:\n  a: [1, two]\n", YAML), post("/v1/data/t/p", "", YAML), post("/v1/data/t/p", "input: {", YAML),
        post("/v1/data/t/p", "- 1\n", YAML), post("/v0/data/t/p", "a: b\n", YAML), post("/v0/data/t/p", "", YAML),
        post("/v1/data/t/p", gzip.compress(b'{"input":{"user":"alice"}}'), GZ), post("/v1/data/t/p", gzip.compress(b""), GZ),
        post("/v1/data/t/p", b"", GZ), post("/v1/data/t/p", b"not gzip", GZ), post("/v1/data/t/p", gzip.compress(b'{"input":1}')[:-2], GZ),
        post("/v0/data/t/p", gzip.compress(b'{"user":"alice"}'), GZ), post("/v0/data/t/p", b"not gzip", GZ),
        post("/v1/query", gzip.compress(b'{"query":"x = 1"}'), GZ), post("/v1/query", b"no", GZ), post("/v1/query", b"", GZ),
        post("/v1/data/t/p", gzip.compress(b'input: {a: 1}'), {**GZ, **YAML}),
        post("/v1/data/t/p", json.dumps({"input": "x" * 2000}), {"Accept-Encoding": "gzip"}),
        post("/v1/data/t/p", json.dumps({"input": "x" * 20}), {"Accept-Encoding": "gzip"}),
        post("/v1/data/t/p", json.dumps({"input": "x" * 2000}), {"Accept-Encoding": "GZIP;q=0.5, br"}),
        post("/v1/data/t/p", json.dumps({"input": "x" * 2000}), {"Accept-Encoding": "gzip;q=0"}),
        post("/v1/data/t/p", json.dumps({"input": "x" * 2000}), {"Accept-Encoding": "*"}),
        post("/v0/data/t/p", json.dumps({"input": "x" * 2000}), {"Accept-Encoding": "br, gzip"}),
        get("/v1/policies", {"Accept-Encoding": "gzip"}),
    ],
    "v0": [
        put("package system\nimport rego.v1\nmain := {\"in\": input}"), put("package t\nimport rego.v1\nu if { false }\np := input.x", "t"),
        post("/", '{"a":1}'), post("/", ""), post("/?pretty", '{"a":1}'), post("/", "{"), post("/v0/data", "{}"), post("/v0/data/system/main", "3"),
        post("/v0/data/t/p", '{"x": "<y>"}'), post("/v0/data/t/p", "{}"), post("/v0/data/t/u"), post("/v0/data/t/none/there"), post("/v0/data/none"),
        post("/v0/data/no-ne/1/x%2Fy"), post("/v0/data/t/p", '{"x":'), get("/v0/data/t/p"), get("/v0/data"), ("PUT", "/v0/data/t", {}, "1"),
        get("/"), ("PUT", "/", {}, ""), ("DELETE", "/", {}, ""), get("/nowhere"), post("/v1"), get("/v1/"), get("/index.html"),
    ],
    "no default decision": [post("/", '{"a":1}')],
    "methods": [(m, p, {}, "") for p in ["/v1/data/lvl1", "/v1/data", "/v1/policies", "/v1/policies/test", "/v1/query", "/v1/query/x", "/v0/data/lvl1",
                                          "/v0/data", "/v1/compile", "/v1/config", "/v1/status", "/health", "/metrics", "/"]
                for m in ["HEAD", "OPTIONS", "TRACE", "DELETE", "PATCH"] if (m, p) not in [("PATCH", "/v1/data"), ("PATCH", "/v1/data/lvl1"), ("HEAD", "/metrics")]],
    "writing": [
        ("PUT", "/v1/data/a/b", {}, "[1,2,3,4]"), ("PUT", "/v1/data/a/b/c/d", {}, "0"), ("PUT", "/v1/data/a/b/0", {}, "9"), get("/v1/data/a"),
        ("PUT", "/v1/data/a/b/7", {}, "9"), ("PUT", "/v1/data/a/b/-", {}, "9"), ("PUT", "/v1/data/a/b/4", {}, "9"), ("PUT", "/v1/data/a/b/0/q", {}, "9"), get("/v1/data/a"),
        ("PUT", "/v1/data/a", {"If-None-Match": "*"}, "1"), ("PUT", "/v1/data/n", {"If-None-Match": "*"}, "1"), ("PUT", "/v1/data/n/x", {}, "1"),
        ("PUT", "/v1/data/d/e/f", {}, '{"x":1}'), ("PUT", "/v1/data/d/e", {}, '"s"'), get("/v1/data/d"), ("PUT", "/v1/data/d/", {}, ""), ("PUT", "/v1/data/d/", {}, "{"),
        ("PUT", "/v1/data/d/", {}, "1 2"), get("/v1/data/d"), ("PUT", "/v1/data", {}, "[1]"), ("PUT", "/v1/data", {}, "1"), ("PUT", "/v1/data", {}, '{"only":1}'), get("/v1/data"),
        ("DELETE", "/v1/data/only/x", {}, ""), ("DELETE", "/v1/data/none", {}, ""), ("DELETE", "/v1/data/only", {}, ""), ("DELETE", "/v1/data/", {}, ""), ("DELETE", "/v1/data", {}, ""), get("/v1/data"),
        ("PUT", "/v1/data/a%2Fb", {}, '{"c/d":1}'), get("/v1/data"), get("/v1/data/a%2Fb/c%2Fd"), get("/v1/data/a/b"), ("DELETE", "/v1/data/a%2Fb/c%2Fd", {}, ""), get("/v1/data"),
        ("PUT", "/v1/data/l", {}, "[1,[2,3],{\"k\":4}]"), ("DELETE", "/v1/data/l/1/0", {}, ""), get("/v1/data/l"), ("DELETE", "/v1/data/l/0", {}, ""), get("/v1/data/l"), ("DELETE", "/v1/data/l/9", {}, ""),
        ("PUT", "/v1/data/l/01", {}, "1"), ("PUT", "/v1/data/l/x", {}, "1"), ("DELETE", "/v1/data/l/x", {}, ""), ("PUT", "/v1/data/1/2", {}, "3"), get("/v1/data"), ("PUT", "/v1/data/q%zz", {}, "1"),
        ("PUT", "/v1/data/m?metrics=x", {}, "1"), ("PUT", "/v1/data/x%20y/%22", {}, "1"), get("/v1/data/x%20y"),
    ],
    "patching": [
        ("PATCH", "/v1/data/x", {}, body) for body in [
            '[{"op":"add","path":"/","value":{"a":1}}]', '[{"op":"add","path":"","value":{"a":1,"l":[]}}]', '[{"op":"add","path":"-","value":1}]', '[{"op":"add","path":"/l/-","value":1}]',
            '[{"op":"add","path":"l/-","value":{"z":2}}]', '[{"op":"add","path":"/l/0","value":"first"}]', '[{"op":"add","path":"/l/9","value":"x"}]', '[{"op":"replace","path":"/l/1","value":"r"}]',
            '[{"op":"replace","path":"/l/9","value":"r"}]', '[{"op":"replace","path":"/none","value":"r"}]', '[{"op":"remove","path":"/none"}]', '[{"op":"remove","path":"/l/0"}]',
            '[{"op":"add","path":"/m/n","value":1}]', '[{"op":"add","path":"/a~1b","value":1},{"op":"add","path":"/c~0d","value":2}]', '[{"op":"remove","path":"/a~1b"}]',
            '[{"op":"move","path":"/a","from":"/b"}]', '[{"op":"test","path":"/a"}]', '[{"op":"","path":"/a"}]', '[{"path":"/a"}]', '{"op":"add"}', "[", "", '[{"op":"add","path":"/foo","value":1},{"op":"add","path":"/foo/bad","value":2}]',
            '[{"op":"add","path":"/e%2Ff","value":1}]', '[{"op":"add","path":"/null"}]', '[1]', 'null', '[]', '[{"op":"add","path":1}]', '[{"op":1,"path":"/a"}]', '[{"op":"replace","path":"/","value":7}]', '[{"op":"remove","path":"/"}]',
            '[{"op":"add","path":"/deep","value":1}]',
        ]
    ] + [get("/v1/data/x"), ("PATCH", "/v1/data", {}, '[{"op":"add","path":"/","value":[1]}]'), ("PATCH", "/v1/data", {}, '[{"op":"remove","path":"/"}]'),
         ("PATCH", "/v1/data", {}, '[{"op":"add","path":"/","value":{"b":2}}]'), ("PATCH", "/v1/data", {}, '[{"op":"replace","path":"/b","value":3},{"op":"add","path":"/c","value":4}]'), get("/v1/data"),
         ("PATCH", "/v1/data/b%2Fc", {}, '[{"op":"add","path":"/","value":{"b":2}}]'), get("/v1/data"),
         ("PATCH", "/v1/data/nope/deep", {}, '[{"op":"add","path":"/","value":{"b":2}}]')],
    "conflicts": [
        put("package x.y\nimport rego.v1\np := 1\nq := 2", "testmod"), ("PUT", "/v1/data/x", {}, '{"y":{"p":"xxx"}}'), ("PUT", "/v1/data/x/y", {}, '{"p":"xxx"}'), ("PUT", "/v1/data/x/y/p", {}, '"xxx"'),
        ("PUT", "/v1/data/x/y/p/a", {}, "1"), ("PUT", "/v1/data/x/y/other", {}, "1"), get("/v1/data/x"), ("PATCH", "/v1/data/x/y", {}, '[{"op":"add","path":"/q","value":2}]'),
        ("DELETE", "/v1/policies/testmod", {}, ""), ("PUT", "/v1/data/x/y/p", {}, '"xxx"'), put("package x.y\nimport rego.v1\np := 1\nq := 2", "testmod"), put("package x.y.p\nimport rego.v1\nz := 1", "testmod2"),
        put("package x\nimport rego.v1\ny := 1", "testmod3"), get("/v1/policies/testmod3"), ("DELETE", "/v1/data/x", {}, ""), put("package a.b\nimport rego.v1\nr := 1\nr2 := data.missing.f(1)", "bad"),
    ],
    "policies": [
        put("package a.b.c\n\nimport data.x.y as z\nimport data.p\n\nq contains x if { p[x]; not r[x] }\nr contains x if { z[x] = 4 }", "1"), get("/v1/policies"), get("/v1/policies/1"), get("/v1/policies/1?pretty"),
        put("package a.b.c\n\nimport data.x.y as z\nimport data.p\n\nq contains x if { p[x]; not r[x] }\nr contains x if { z[x] = 4 }", "1"), get("/v1/policies/none"), ("DELETE", "/v1/policies/none", {}, ""), put("package a\nx := ", "bad"),
        put("q[x] { p[x] }", "bad"), put("", "bad"), put("# only\n", "bad"), put("package a\n\nq[x] { p[x] }\nr { 1 }", "bad"), put("package a\nimport rego.v1\nx := y\nz := undefined_fn(1)\nw := input.foo.bar[q]", "bad"),
        put("package slashes\np := \"<&>\"", "with/a/slash"), get("/v1/policies/with/a/slash"), get("/v1/policies/with%2Fa%2Fslash"), ("DELETE", "/v1/policies/with/a/slash", {}, ""), ("DELETE", "/v1/policies/with/a/slash", {}, ""),
        put("package dep\nimport rego.v1\np := data.lib.f(1)", "dep"), put("package lib\nimport rego.v1\nf(x) := x", "lib"), put("package dep\nimport rego.v1\np := data.lib.f(1)", "dep"), ("DELETE", "/v1/policies/lib", {}, ""), get("/v1/policies/"), ("PUT", "/v1/policies/", {}, "package x"),
        put("package e\n" + "\n".join(f"a{i} := x{i}" for i in range(15)), "many"), put("package q\nimport rego.v1\np := http.send({})", "hs"), ("DELETE", "/v1/policies/1", {}, ""), get("/v1/policies"),
        ("PUT", "/v1/policies/m?pretty", {}, "package m"), ("DELETE", "/v1/policies/m?pretty", {}, ""),
    ],
    "queries": [
        ("PUT", "/v1/data/x", {}, "[1,2,3,4]"), get("/v1/query?q=data.x[_]%20=%20x"), get("/v1/query?q=a=1%3Bb=2%3Ba=b"), get("/v1/query?q=x"), get("/v1/query?q=x=1"), get("/v1/query"), get("/v1/query?q="), get("/v1/query?q=x=1&q=y=2"),
        get("/v1/query?q=x=1&pretty"), post("/v1/query", '{"query":"data.x[i] = x; x > 2"}'), post("/v1/query?pretty", '{"query":"input.a = y","input":{"a":"<b>"}}'), post("/v1/query", "{}"), post("/v1/query", ""), post("/v1/query", "{"),
        post("/v1/query", '{"query": 3}'), post("/v1/query", "[]"), post("/v1/query", '{"query":"x %!> 9"}'), post("/v1/query", '{"query":"f(x)"}'), post("/v1/query", '{"query":"http.send({\\"method\\":\\"get\\",\\"url\\":\\"x\\"}, x)"}'),
        get("/v1/query?q=1/0"), get("/v1/query?q=x=1/0"), get("/v1/query?q={k:v|k=[%22a%22,%22a%22][_];v=[1,2][_]}"), get("/v1/query?q=true"), get("/v1/query?q=false"), get("/v1/query?q=1==2"), get("/v1/query?q=[x|x=data.x[_]]=y"), get("/v1/query?q=a=[1,2,3]%3Bsome+i,+x+in+a"),
        post("/v1/query", '{"query":""}'), post("/v1/query", '{"query":null}'), get("/v1/query?q=%zz"), get("/v1/query?q=y=time.now_ns()%3Bz=1%3Bz=2"), post("/v1/query", '{"query":"x := 1","extra":true}'),
    ],
    "evaluation errors": [
        put("package testmod\nimport rego.v1\n\np = true if { true }\np = false if { true }\nq := {k: v | k = [\"a\", \"a\"][_]; v = [1, 2][_]}\ndefault s := false\ns if { 1/0 }\nt := input.a + f(1)\nf(x) := 1\nf(x) := 2\n"),
        post("/v1/data/testmod/p"), get("/v1/data/testmod/p"), post("/v0/data/testmod/p"), post("/v1/data/testmod/q"), get("/v1/data/testmod/s"), get("/v1/data/testmod/s?strict-builtin-errors"), post("/v1/data/testmod/s?strict-builtin-errors=true"),
        post("/v1/data/testmod/t", '{"input":{"a":1}}'), post("/v1/data/testmod", '{"input":{"a":1}}'), get("/v1/query?q=data.testmod.p"), get("/v1/query?q=x=data.testmod.q"),
    ],
    "health": [
        get("/health"), get("/health?bundles"), get("/health?plugins"), get("/health?bundle=true&plugins&exclude-plugin=x"), get("/health/live"),
        put("package system.health\nimport rego.v1\ndefault live := true\ndefault ready := false\nready if input.plugins_ready == 7\nstate := input\ns := \"x\"\nerr if 1/0\nc := 1 if true\nc := 2 if true", "health"),
        get("/health/live"), get("/health/ready"), get("/health/state"), get("/health/err"), get("/health/c"), get("/health/none/there"), get("/health/"), get("/health/a%2Fb"), get("/health/a%22b"),
        get("/v1/query?q=data.system.health.state=x"),
    ],
    "compiling": [
        put(COMPILED, "test"), post("/v1/compile", '{"unknowns":["input"],"query":"data.test.p = true"}'), post("/v1/compile", '{"unknowns":["input.x"],"input":{"y":1},"query":"input.x > input.y"}'),
        ("PUT", "/v1/data/a", {}, "[1,2]"), post("/v1/compile", '{"unknowns":["data.a"],"input":{"x":1},"query":"data.test.q = true"}'), post("/v1/compile?pretty", '{"query":"input[\\"x\\"] = 1"}'),
        post("/v1/compile", '{"query":"data.test.r = true"}'), post("/v1/compile", '{"unknowns":["data.a"],"query":"data.test.s = true","input":{"x":1}}'),
        post("/v1/compile", '{"unknowns":["data.a"],"query":"data.test.s = true","options":{"disableInlining":["data.test"]},"input":{"x":1}}'), post("/v1/compile", '{"query":"input.x > 1","unknowns":[]}'),
        post("/v1/compile", '{"query":"1 = 2"}'), post("/v1/compile", '{"query":"1 = 1"}'), post("/v1/compile", '{"input":[{]}'), post("/v1/compile", "{}"), post("/v1/compile", ""), post("/v1/compile", '{"query":"x %!> 9"}'),
        post("/v1/compile", '{"unknowns":["input."],"query":"true"}'), post("/v1/compile", '{"query":"data.test.none(1)"}'), post("/v1/compile", "[]"), post("/v1/compile", '{"query":3}'), post("/v1/compile", '{"query":"true","unknowns":[1]}'),
        post("/v1/compile", '{"query":"x = input.y; x > 3; not input.z"}'), post("/v1/compile", '{"query":"http.send({})"}'), post("/v1/compile", '{"query":"data.test.p = true"}', {"Accept-Encoding": "gzip"}), get("/v1/compile"),
    ],
    "explaining": [
        put("package t\nimport rego.v1\np if { input.x > 1; trace(\"here\"); q }\nq if input.y\n", "t"), get("/v1/data/t/p?explain=full&input={\"x\":2,\"y\":true}"), get("/v1/data/t/p?explain=notes&input={\"x\":2,\"y\":true}"),
        get("/v1/data/t/p?explain=fails&input={\"x\":2}"), post("/v1/data/t/p?explain=full&pretty", '{"input":{"x":2,"y":true}}'), post("/v1/data/t/p?explain=debug&pretty", '{"input":{"x":0}}'), post("/v1/data/t/p?explain=full", '{"input":{"x":0}}'),
        post("/v1/data/t/p?explain=off", '{"input":{"x":0}}'), post("/v1/data/t/p?explain=x", '{"input":{"x":0}}'),
    ],
    "state": [get("/v1/config"), get("/v1/status"), get("/v1/config?pretty"), get("/v1/config/x"), get("/metrics/alloc_bytesx")],
}
