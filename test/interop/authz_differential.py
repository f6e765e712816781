"""Policies of OPA's suite, some of them mutated, through OPA and through both evaluators of Sextant.

Usage: authz_differential.py OPA SEXTANT SUITE_DIR CASES SEED

Compares the value of every whole package, its residual queries with the input unknown, and errors.
"""
import glob
import json
import os
import random
import re
import subprocess
import sys
import tempfile

opa, sextant, suite, count, seed = sys.argv[1:4] + [int(sys.argv[4]), int(sys.argv[5])]
rnd = random.Random(seed)
CHANGING = ("time.now_ns", "rand.intn", "uuid.rfc4122", "opa.runtime", "http.send", "test.sleep", "net.lookup",
            "encode_sign", "trace(", "rego.metadata")


def run(*args):
    p = subprocess.run(args, capture_output=True, text=True, timeout=60)
    try:
        return p.returncode, json.loads(p.stdout) if p.stdout.strip() else {}
    except json.JSONDecodeError:
        return p.returncode, {"text": p.stdout}


def answer(result):
    code, out = result
    if out.get("errors"):
        return "error " + str(out["errors"][0].get("code"))
    return json.dumps([[e["value"] for e in r["expressions"]] for r in out.get("result", [])], sort_keys=True)


def residual(result):
    code, out = result
    if out.get("errors"):
        return "error " + str(out["errors"][0].get("code"))
    partial = out.get("partial", {})
    # The order of modules is not defined.
    return json.dumps([partial.get("queries"), sorted(json.dumps(m) for m in partial.get("modules") or [])])


def mutate(text):
    """A small change that mostly still compiles: a number, an operator, a negation, or an expression doubled."""
    choice = rnd.randrange(5)
    if choice == 0:
        return re.sub(r"\b\d\b", lambda m: str((int(m.group()) + rnd.randrange(3)) % 10), text)
    if choice == 1:
        return text.replace("==", rnd.choice(["!=", "<", ">="]), 1)
    if choice == 2:
        return re.sub(r"\n(\s+)(input|data)\.", r"\n\1not \2.", text, count=1)
    if choice == 3:
        return text.replace("[_]", "[0]", 1)
    return text


cases = []
for name in sorted(glob.glob(suite + "/*.json")):
    for c in json.load(open(name)):
        if c.get("modules") and not c.get("env") and not any(w in m for m in c["modules"] for w in CHANGING):
            cases.append((os.path.basename(name), c))
rnd.shuffle(cases)

same = different = 0
with tempfile.TemporaryDirectory() as work:
    for name, c in cases[:count]:
        args = []
        for i, m in enumerate(c["modules"]):
            path = f"{work}/test-{i}.rego"
            open(path, "w").write(mutate(m))
            args += ["-d", path]
        if c.get("data"):
            json.dump(c["data"], open(f"{work}/data.json", "w"))
            args += ["-d", f"{work}/data.json"]
        given = []
        if "input" in c:
            json.dump(c["input"], open(f"{work}/input.json", "w"))
            given = ["-i", f"{work}/input.json"]
        package = "data." + re.search(r"^\s*package\s+([\w.]+)", c["modules"][0], re.M).group(1)
        want = answer(run(opa, "eval", *args, *given, package))
        rows = [("value", want, answer(run(sextant, "eval", *args, *given, package))),
                ("topdown", want, answer(run(sextant, "eval", "--engine", "topdown", *args, *given, package)))]
        if os.environ.get("PARTIAL"):
            rows.append(("partial", residual(run(opa, "eval", "-p", *args, package)),
                         residual(run(sextant, "eval", "-p", *args, package))))
        for what, theirs, ours in rows:
            if theirs == ours:
                same += 1
            else:
                different += 1
                print(f"DIFFERENT {what} {name} {c['id']}\n  opa     {theirs[:300]}\n  sextant {ours[:300]}")
        for f in os.listdir(work):
            os.unlink(f"{work}/{f}")
print(f"same {same}, different {different}")
sys.exit(different > 0)
