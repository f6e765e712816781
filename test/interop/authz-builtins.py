#!/usr/bin/env python3
"""Calls of builtins, made up at random, in Sextant's engine and in OPA: values and error texts must be the same.

    authz-builtins.py BUILD_DIR [--seed N] [--calls N] [--only GROUP] [--show N]

All calls of a run stand in one module, so that each engine starts once. Exit status 77: OPA is not installed.

Left out, because they are known to differ: text of yaml.marshal (ours quotes more), YAML's "<<" and numbers of YAML 1.1, replacing
the empty string in what is not ASCII (OPA cuts letters), %#x of fractions, numbers beyond float64, control characters in YAML,
IPv6 blocks of IPv4 addresses mixed with others in net.cidr_merge, regex.globs_match (OPA misses "a" in "a.*"). Numbers are
compared by value: OPA may show an equal constant of the same module instead.
"""
import argparse
import decimal
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile


class Number(str):
    """A number as it was written."""


def parse(text):
    return json.loads(text, parse_int=Number, parse_float=Number)


def plain(v):
    if isinstance(v, Number):
        return ("number", decimal.Decimal(v))
    if isinstance(v, list):
        return [plain(x) for x in v]
    if isinstance(v, dict):
        return {k: plain(x) for k, x in v.items()}
    return v


def find_opa():
    opa = shutil.which("opa") or os.path.expanduser("~/go/bin/opa")
    return opa if os.access(opa, os.X_OK) else None


class Pair:
    def __init__(self, build, opa):
        self.ours = os.path.join(build, "test", "interop", "rego_calls")
        self.opa = opa
        self.dir = tempfile.mkdtemp()

    def module(self, calls):
        path = os.path.join(self.dir, "t.rego")
        with open(path, "w") as f:
            f.write("package t\n")
            f.write(HIDDEN)
            for i, call in enumerate(calls):
                f.write('r["%d"] := x if { x := %s }\n' % (i, call))
        return path

    def of_opa(self, path):
        out = subprocess.run([self.opa, "eval", "-d", path, "data.t.r", "--show-builtin-errors", "-f", "json"],
                             capture_output=True, text=True, errors="replace")
        answer = parse(out.stdout)
        if "result" not in answer:
            raise ValueError(out.stdout[:3000])
        errors = {}
        for e in answer.get("errors", []):
            errors.setdefault(int(e["location"]["row"]) - 3, e["message"])
        return answer["result"][0]["expressions"][0]["value"], errors

    def of_ours(self, path):
        out = subprocess.run([self.ours, path], capture_output=True, text=True, errors="replace")
        if out.returncode != 0:
            raise ValueError(out.stderr[:3000])
        answer = parse(out.stdout)
        errors = {}
        for e in answer["errors"]:
            _, row, _, text = e.split(":", 3)
            errors.setdefault(int(row) - 3, text[1:])
        return answer["value"]["r"], errors

    def differences(self, calls):
        path = self.module(calls)
        try:
            theirs, their_errors = self.of_opa(path)
        except json.JSONDecodeError:  # it died of one of them
            if len(calls) > 1:
                half = len(calls) // 2
                yield from self.differences(calls[:half])
                yield from self.differences(calls[half:])
            else:
                print("OPA dies of " + calls[0])
            return
        ours, our_errors = self.of_ours(path)
        for i, call in enumerate(calls):
            a = (plain(theirs.get(str(i), "<undefined>")), their_errors.get(i))
            b = (plain(ours.get(str(i), "<undefined>")), our_errors.get(i))
            if a != b:
                yield call, a, b


R = random
# Arguments go through a function, so that the type checker does not refuse the module for one of them.
HIDDEN = 'v(x) := object.get({"x": x}, "x", null)\n'
STRINGS = ["", "a", "b", "abc", "aXbXc", "héllo", "日本語", "ß", "😀x", " pad ", "\t\n", "foo.bar", "a/b/c", "A", "ABC",
           "aaa", "0", "12", "-5", "1.5e3", "ab,cd", "foo:bar:baz", "x", "a.b", "%", "%41", "a+b", "a b", "é", "e\u0301",
           "\u00a0a\u00a0", "\x00", "\x7f", "\u2028", "<&>", "\"q\"", "\\", "ab\ncd", "Ünï", "ΑΣ", "ДЖ"]
INTS = ["0", "1", "2", "3", "5", "7", "10", "-1", "-2", "-7", "100", "255", "4096", "1000000", "9223372036854775807",
        "-9223372036854775808", "9223372036854775808", "18446744073709551616", "123456789012345678901234567890"]
DECIMALS = ["0.5", "1.5", "-1.5", "2.5", "0.1", "0.2", "0.3", "1.0", "1e3", "1e-3", "1.10", "3.14159", "1e21", "1e-7",
            "123456.789", "2.675", "1e100", "99999999999999999.5", "0.30000000000000004", "-2.5e-5"]


def text(s):
    """As JSON, which Rego reads the same way."""
    return json.dumps(s, ensure_ascii=True)


def string(more=()):
    pool = list(more) + STRINGS if more and R.random() < .8 else STRINGS
    s = R.choice(list(more)) if more and R.random() < .7 else R.choice(pool)
    if R.random() < .15:
        s += R.choice(STRINGS)
    return text(s)


def strings_of(*more):
    return lambda: string(more)


def number():
    return R.choice(INTS if R.random() < .6 else DECIMALS)


def small():
    return str(R.randint(-3, 8))


def integer():
    return R.choice(INTS)


def scalar():
    return R.choice([number, string, lambda: R.choice(["true", "false", "null"])])()


def value(depth=0):
    r = R.random()
    if depth > 2 or r < .55:
        return scalar()
    if r < .75:
        return array(depth + 1)
    return obj(depth + 1) if r < .92 else set_of(depth + 1)


def array(depth=1):
    return "[" + ", ".join(value(depth) for _ in range(R.randrange(5))) + "]"


def set_of(depth=1):
    items = [value(depth) for _ in range(R.randrange(4))]
    return "{" + ", ".join(items) + "}" if items else "set()"


def obj(depth=1):
    keys = R.sample(["a", "b", "c", "é", "k", "0"], R.randrange(4))
    return "{" + ", ".join("%s: %s" % (text(k), value(depth)) for k in keys) + "}"


def listed(item, most=4):
    return lambda: "[" + ", ".join(item() for _ in range(R.randrange(most + 1))) + "]"


def setted(item, most=4):
    return lambda: ("{" + ", ".join(item() for _ in range(R.randrange(1, most + 1))) + "}")


def one_of(*makers):
    return lambda: R.choice(makers)()


def choice(*texts):
    return lambda: R.choice(texts)


def boolean():
    return R.choice(["true", "false"])


string0 = strings_of()
pieces = strings_of("a", "b", ",", "X", "", ".", "ab", "l", "é", "o.", "//", "aa")
regexes = strings_of("a", "a+", "[a-c]+", "(a)(b)?", "^a", "b$", ".", "x*", "(?i)ABC", "\\d+", "\\w+", "(", "[", "a|b", "(?P<n>a)",
                     "\\p{L}+", "[^a]", "a{2}", "(a|b)*c", "\\bfoo\\b", "(?s).", ".*?b", "\\s", "é|日", "[[:alpha:]]+", "(?m)^c",
                     "\\Q.\\E", "a**", "\\1", "(?=a)", "[z-a]", "a{1001}", "\\x41", "\\pN", "()", "(|a)", "\\C", "[\\d-z]")
globs = strings_of("*", "**", "a*", "*.b", "a/*/c", "a/**", "{a,b}*", "[a-c]?", "[!a]*", "\\*", "?", "foo:*", "*:bar:*", "{foo,bar}:**",
                   "[^a]", "a{", "{a,{b,c}}", "**/c", "api.*.com", "[a-", "", "é*")
globbed = strings_of("abc", "a.b", "a/b/c", "foo:bar:baz", "*", "api.x.com", "foo.bar", "a/c", "b", "é日")
semvers = strings_of("1.0.0", "1.2.3", "1.2.3-alpha", "1.2.3-alpha.1", "1.2.3-1", "1.2.3+b", "1.2", "v1.2.3", "01.2.3", "1.2.3-01", "1.2.3-",
                     "1.2.3+", "10.2.3", "1.2.3-alpha.beta", "1.2.3-rc.1+x.y", "99999999999999999999.0.0", "a.b.c", "1.2.3.4", "1.2.3-a..b")
cidrs = strings_of("10.0.0.0/8", "10.1.0.0/16", "10.0.0.1", "10.0.0.0/33", "::1", "::1/128", "2001:db8::/32", "fe80::/10", "192.168.1.5/24", "0.0.0.0/0",
                   "10.0.0.255/30", "1.2.3", "::ffff:10.0.0.1", "10.0.0.1/32", "010.0.0.1", "192.168.1.128/25", "192.168.1.0/25",
                   "2001:db8:1::/48", "10.0.0.0/08", "10.0.0.0/", "/8", "fe80::1%eth0", "10.0.0.0/29", "10.0.0.8/29")
small_cidrs = strings_of("10.0.0.0/30", "10.0.0.5/31", "::1/127", "10.0.0.1/32", "192.168.1.254/31", "1.2.3.4", "x")
units = strings_of("1", "10K", "1Ki", "1.5M", "100m", "1Gi", "2G", "1T", "1E", "1Ei", "1e3", "1e3K", "5 K", "K", "-1", "1KB", "1kb", "1MiB", "0.5", "1..2", "1Mi ",
                   "\"10K\"", "1.5MiB", "10q", "+5K", "1_0", "0x10", "1P", "1Pi", ".5K", "5.", "1e-2", "1m", "1M", "100k", "3.7Ti", "inf", "nan")
dates = strings_of("2020-01-02T03:04:05Z", "2020-02-30T00:00:00Z", "2020-01-02T03:04:05.123456789+02:00", "2020-01-02", "03:04:05", "1969-12-31T23:59:59Z",
                   "2262-04-11T23:47:16Z", "2262-04-12T00:00:00Z", "1677-09-21T00:12:44Z", "Mon, 02 Jan 2006 15:04:05 MST", "2020-1-2", "20200102", "Jan 2, 2006 at 3:04pm",
                   "2020-01-02 03:04:05", "2020-01-02T03:04:05", "2020-06-15T12:00:00-07:00", "02 Jan 06 15:04 MST", "Mon Jan _2 15:04:05 2006", "2020-13-01T00:00:00Z",
                   "2020-01-02t03:04:05z", "2020-12-31T23:59:60Z", "2020-01-02T24:00:00Z", "2020-01-02T03:04:05+25:00", "0000-01-01T00:00:00Z")
layouts = strings_of("2006-01-02T15:04:05Z07:00", "2006-01-02", "15:04:05", "RFC3339", "RFC3339Nano", "RFC822", "RFC1123", "UnixDate", "ANSIC", "Kitchen", "20060102",
                     "Jan 2, 2006 at 3:04pm", "2006-01-02 15:04:05", "2006-01-02T15:04:05", "02 Jan 06 15:04 MST", "Mon Jan _2 15:04:05 2006", "Mon, 02 Jan 2006 15:04:05 MST",
                     "RFC1123Z", "RFC850", "2006-002", "3:04PM", "06-1-2", "05.000", "05.999", "-0700", "Z0700", "January Monday", "x")
zones = strings_of("UTC", "America/New_York", "Europe/Berlin", "Asia/Kolkata", "Local", "", "Nowhere/City", "Australia/Lord_Howe", "America/St_Johns", "Asia/Tokyo", "EST5EDT")
nanos = choice("0", "1", "1577934245000000000", "1577934245123456789", "-1", "-62135596800000000000", "9223372036854775807", "9223372036854775808", "1593600000000000000", "1.5",
               "1604210400000000000", "1585443600000000000", "951782400000000000", "-9223372036854775808", "1e18")
stamps = one_of(nanos, lambda: "[%s, %s]" % (nanos(), zones()), lambda: "[%s, %s, %s]" % (nanos(), zones(), layouts()))
durations = strings_of("1s", "1h2m3s", "1.5h", "-1m", "1d", "1w", "1y", "1us", "1µs", "1ns", "1ms", "1", "", "1x", "1h 2m", ".5s", "1.s", "+5s", "9223372036s", "9223372037s", "1d12h",
                       "1.5d", "0", "1m30", "100000000000h", "2h45m30.5s", "-.5h", "1dd")
encoded = strings_of("YWJj", "YWJj\n", "YW", "YQ==", "YQ", "-_-_", "+/+/", "====", "YW Jj", "a", "ab==", "0g", "6162", "616", "zz", "AB", "%20", "a%2", "a=b&c=d", "a=b&a=c", "=x", "a", "a=%zz", "a+b=c",
                     "a;b=c", "&&", "a%20b", "ä=ö")
jsons = strings_of("1", "{\"a\": 1}", "[1, 2", "{\"a\": 1, \"a\": 2}", "null", "tru", "1.0", "\"\\u00e9\"", "\"\\ud800\"", "[1,]", " {} ", "{\"a\":}", "01", "\"a\nb\"", "1 2", "-", "[1e2, 1E+2, -0]", "{a: 1}", "\"\\x\"",
                   "NaN", "'a'", "[[[]]]", "\ufeff1")
yamls = strings_of("a: 1", "- a\n- b", "a: [1, 2", "{a: b}", "a: b: c", "|\n  text", "a: &x 1\nb: *x", "yes", "null", "~", "2020-01-01", "a: 'x'\n", "- 1.0\n- 1e3", "a:\n\tb", "---\na: 1\n---\nb: 2", "? a\n: b", "# c",
                   "a: !!str 1", "\"a\\tb\"", "a: 0x1f\nc: 0o17")
uris = strings_of("http://a.b/c?d=e#f", "http://u:p@h:80/x", "//h/p", "mailto:a@b", "http://[::1]:8080/", "a b", "http://a b/", "%zz", "http://h:x/", "/a/../b", "?q", "#f", "http://h/%41%2f", "1http://x", "http://", "x:y:z", "http://h:/", "HTTP://H/",
                  "http://é/ü", "http://a/b c", "a:b/c", "./a:b", "http://h?x", "file:///etc", "http://h/#a%20b", "http://h/;p=1", "*", "http://[fe80::1%25en0]/")
uuids = strings_of("f47ac10b-58cc-4372-a567-0e02b2c3d479", "urn:uuid:f47ac10b-58cc-4372-a567-0e02b2c3d479", "{f47ac10b-58cc-4372-a567-0e02b2c3d479}", "f47ac10b58cc4372a5670e02b2c3d479", "F47AC10B-58CC-1372-A567-0E02B2C3D479",
                   "00000000-0000-0000-0000-000000000000", "x47ac10b-58cc-4372-a567-0e02b2c3d479", "f47ac10b-58cc-2372-a567-0e02b2c3d479", "f47ac10b-58cc-7372-c567-0e02b2c3d479", "f47ac10b")
verbs = ["%v", "%s", "%d", "%q", "%x", "%X", "%t", "%f", "%.2f", "%5d", "%-5d|", "%05d", "%+d", "% d", "%e", "%g", "%c", "%U", "%b", "%o", "%%", "%", "%z", "%5s|", "%-5s|", "%.1s", "%[2]v", "%[1]d", "%*d", "%T", "%#v", "%+v", "%6.2f",
         "%08.3f", "%#q", "% x", "%+q", "%#U", "%O", "%!", "%[9]d", "%[x]d", "%.3v", "%.*f", "%-08d|", "%+.2e", "%G", "%E", "%i", "é%v", "%5t|", "%x %X"]


def sprintf():
    f = "".join(R.choice(verbs) + R.choice(["", " ", "-"]) for _ in range(R.randrange(1, 4)))
    return "sprintf(%s, [%s])" % (text(f), ", ".join(value() for _ in range(R.randrange(4))))


def patches():
    ops = []
    for _ in range(R.randrange(3)):
        path = R.choice(["/a", "/a/0", "/b/c", "/a/-", "", "/", "a", "/é", "/0", "/k/a"])
        op = {"op": R.choice(["add", "remove", "replace", "move", "copy", "test", "x"]), "path": path}
        if R.random() < .3:
            op["from"] = R.choice(["/a", "/b", "/a/0"])
        fields = ", ".join("%s: %s" % (text(k), text(v)) for k, v in op.items())
        ops.append("{%s%s}" % (fields, ", \"value\": " + value(2) if R.random() < .8 else ""))
    return "[" + ", ".join(ops) + "]"


paths = one_of(listed(one_of(strings_of("a", "b", "a/b", "a/0", "/a", ""), lambda: "[%s]" % strings_of("a", "b")()), 3), setted(strings_of("a", "b/c", "a/b"), 2))
objects = lambda: obj()
arrays = lambda: array()
sets = lambda: set_of()
collections = one_of(arrays, sets, objects)

GROUPS = {
    "strings": {
        "concat": [pieces, one_of(listed(string0), setted(string0))], "contains": [string0, pieces], "endswith": [string0, pieces], "startswith": [string0, pieces],
        "format_int": [number, choice("2", "8", "10", "16", "3")], "indexof": [string0, pieces], "indexof_n": [string0, pieces], "lower": [string0], "upper": [string0],
        "replace": [string0, pieces, pieces], "split": [string0, pieces], "substring": [string0, small, small], "trim": [string0, pieces], "trim_left": [string0, pieces],
        "trim_right": [string0, pieces], "trim_prefix": [string0, pieces], "trim_suffix": [string0, pieces], "trim_space": [string0], "strings.reverse": [string0],
        "strings.count": [string0, pieces], "strings.split_n": [string0, pieces, small], "strings.any_prefix_match": [one_of(string0, listed(string0)), one_of(pieces, setted(pieces))],
        "strings.any_suffix_match": [one_of(string0, setted(string0)), one_of(pieces, listed(pieces))],
        "strings.replace_n": [lambda: "{%s: %s, %s: %s}" % (text(R.choice("abX,")), pieces(), text(R.choice(["aa", "l", "é", "X"])), pieces()), string0],
    },
    "numbers": {
        "abs": [number], "ceil": [number], "floor": [number], "round": [number], "plus": [number, number], "minus": [number, number], "mul": [number, number], "div": [number, number],
        "rem": [one_of(integer, number), one_of(integer, number)], "numbers.range": [small, small], "numbers.range_step": [small, small, small], "to_number": [one_of(string0, number, boolean, strings_of("1", "1.0", "1e3", "Inf", "-.5x", "nan", "00", "", " 1", "0x", "--1"))],
        "bits.and": [integer, integer], "bits.or": [integer, integer], "bits.xor": [integer, integer], "bits.negate": [integer], "bits.lsh": [integer, small], "bits.rsh": [integer, small],
        "max": [collections], "min": [collections], "sum": [listed(number)], "product": [listed(number)], "sort": [one_of(arrays, sets)], "count": [one_of(collections, string0)],
    },
    "time": {
        "time.add_date": [nanos, small, small, small], "time.clock": [stamps], "time.date": [stamps], "time.weekday": [stamps], "time.diff": [stamps, stamps], "time.format": [stamps],
        "time.parse_duration_ns": [durations], "time.parse_ns": [layouts, dates], "time.parse_rfc3339_ns": [dates],
    },
    "regex": {
        "regex.match": [regexes, string0], "regex.is_valid": [regexes], "regex.split": [regexes, string0], "regex.find_n": [regexes, string0, small], "regex.replace": [string0, regexes, strings_of("$1", "${1}x", "$n", "-", "$$", "${n}", "$0", "$1x", "\\1", "${", "$")],
        "regex.find_all_string_submatch_n": [regexes, string0, small], "regex.template_match": [strings_of("a{b+}c", "{.*}", "{", "a{{2}}", "x{[a-z]}y"), string0, choice('"{"', '"<"'), choice('"}"', '">"')],
    },
    "glob": {"glob.match": [globs, one_of(choice("null", "[]", '["."]', '[":"]', '["/"]', '["", "x"]', '["ab"]'), listed(pieces, 2)), globbed], "glob.quote_meta": [globs]},
    "sprintf": {},
    "units": {"units.parse": [units], "units.parse_bytes": [units]},
    "semver": {"semver.compare": [semvers, semvers], "semver.is_valid": [semvers]},
    "net": {
        "net.cidr_contains": [cidrs, cidrs], "net.cidr_intersects": [cidrs, cidrs], "net.cidr_is_valid": [cidrs], "net.cidr_expand": [small_cidrs], "net.cidr_merge": [one_of(listed(cidrs), setted(cidrs))],
        "net.cidr_contains_matches": [one_of(cidrs, listed(cidrs, 2), setted(cidrs, 2)), one_of(cidrs, listed(cidrs, 2), lambda: "{%s: %s}" % (string0(), cidrs()))],
    },
    "encoding": {
        "base64.encode": [string0], "base64.decode": [encoded], "base64.is_valid": [encoded], "base64url.encode": [string0], "base64url.encode_no_pad": [string0], "base64url.decode": [encoded], "hex.encode": [string0], "hex.decode": [encoded],
        "urlquery.encode": [string0], "urlquery.decode": [encoded], "urlquery.encode_object": [lambda: "{%s: %s, \"k\": %s}" % (string0(), string0(), one_of(listed(string0), setted(string0))())], "urlquery.decode_object": [encoded],
        "json.marshal": [value], "json.unmarshal": [jsons], "json.is_valid": [jsons], "json.marshal_with_options": [value, choice('{"pretty": true}', '{"indent": " "}', '{"prefix": ">", "pretty": true}', '{"pretty": false, "indent": "x"}', '{}')],
        "yaml.is_valid": [yamls], "yaml.unmarshal": [yamls], 
        "crypto.md5": [string0], "crypto.sha1": [string0], "crypto.sha256": [string0], "crypto.hmac.sha256": [string0, string0], "crypto.hmac.equal": [string0, string0],
    },
    "objects": {
        "object.get": [objects, one_of(string0, paths), value], "object.keys": [objects], "object.remove": [objects, one_of(listed(string0, 2), setted(string0, 2), objects)], "object.filter": [objects, one_of(listed(string0, 2), objects)],
        "object.subset": [collections, collections], "object.union": [objects, objects], "object.union_n": [listed(objects, 3)], "json.filter": [objects, paths], "json.remove": [objects, paths], "json.patch": [value, patches],
        "array.concat": [arrays, arrays], "array.slice": [arrays, small, small], "array.reverse": [arrays], "array.flatten": [arrays], "intersection": [setted(sets, 3)], "union": [setted(sets, 3)],
        "type_name": [value], "is_set": [value], "is_number": [value], "graph.reachable": [lambda: '{"a": ["b", "c"], "b": ["a"], "c": %s, "d": {"a"}}' % value(), one_of(listed(strings_of("a", "b", "d"), 2), setted(strings_of("a", "c", "zz"), 2))],
        "graph.reachable_paths": [lambda: '{"a": ["b", "c"], "b": ["c"], "c": ["a"], "d": null}', listed(strings_of("a", "b", "d"), 2)],
    },
    "uri": {"uri.parse": [uris], "uri.is_valid": [uris], "uuid.parse": [uuids]},
}


def wrong():
    """A value of any type, in a way that the type checker does not see."""
    v = R.choice(["1", "1.5", "\"a\"", "null", "true", "[]", "[1, \"a\"]", "{}", "{\"a\": 1}", "-1", "\"\""])
    return "json.unmarshal(%s)" % text(v)


def call(group):
    if group == "sprintf":
        return sprintf()
    if group == "encoding" and R.random() < .1:
        return "yaml.unmarshal(yaml.marshal(v(%s)))" % value().replace("\\t", "").replace("\\u007f", "").replace("\\u0000", "")
    if group == "objects" and R.random() < .05:
        return "[z | walk(v(%s), z)]" % value()
    name = R.choice(sorted(GROUPS[group]))
    args = [make() for make in GROUPS[group][name]]
    if R.random() < .06:
        args[R.randrange(len(args))] = wrong()
    return "%s(%s)" % (name, ", ".join("v(%s)" % a for a in args))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("build")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--calls", type=int, default=4000)
    p.add_argument("--only")
    p.add_argument("--show", type=int, default=20)
    p.add_argument("--values", action="store_true", help="leave error texts out")
    o = p.parse_args()
    opa = find_opa()
    if opa is None:
        print("skipped: interop/authz-builtins: opa is not installed")
        sys.exit(77)
    R.seed(o.seed)
    groups = [o.only] if o.only else sorted(GROUPS)
    pair = Pair(o.build, opa)
    calls = [call(R.choice(groups)) for _ in range(o.calls)]
    found = [d for d in pair.differences(calls) if not o.values or d[1][0] != d[2][0]]
    shutil.rmtree(pair.dir)
    for c, theirs, ours in found[:o.show]:
        print("%s\n    OPA  %s\n    ours %s" % (c, str(theirs)[:400], str(ours)[:400]))
    print("%d calls, %d differences" % (len(calls), len(found)))
    sys.exit(1 if found else 0)


main()
