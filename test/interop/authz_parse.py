"""Feeds modules to two programs that claim to be OPA and compares what `parse` and `fmt` say. See authz-parse.sh."""
import glob
import json
import os
import random
import re
import subprocess
import sys

OPA, OURS, SUITE, WORK, EVERY = sys.argv[1:5] + [int(sys.argv[5])]
WORD = re.compile(r'"(?:[^"\\\n]|\\.)*"|`[^`]*`|#[^\n]*|[A-Za-z_][A-Za-z_0-9]*|[0-9.]+|:=|==|!=|<=|>=|\s+|.', re.S)


def modules():
    for version in ("v0", "v1"):
        for path in sorted(glob.glob(f"{SUITE}/{version}/*.json")):
            for i, case in enumerate(json.load(open(path))):
                for k, text in enumerate(case.get("modules") or []):
                    yield f"{version}/{os.path.basename(path)}#{i}.{k}", version, text
    for path in sorted(glob.glob(f"{SUITE}/fmt/*.json")):
        for case in json.load(open(path)):
            yield "fmt/" + case["id"], os.path.basename(path)[:2], case["input"]


def changed(rng, text):
    """The text with a few words gone, doubled, swapped or put on a line of their own."""
    words = WORD.findall(text)
    for _ in range(rng.randint(1, 3)):
        i = rng.randrange(len(words))
        how = rng.randrange(5)
        if how == 0:
            words[i] = ""
        elif how == 1:
            words[i] += words[i]
        elif how == 2:
            k = rng.randrange(len(words))
            words[i], words[k] = words[k], words[i]
        elif how == 3:
            words[i] += "\n"
        else:
            words[i] += " # note\n"
    return "".join(words)


def run(program, args, path):
    p = subprocess.run([program, *args, path], capture_output=True, cwd=WORK)
    return p.returncode, p.stdout, p.stderr


def compare(name, version, text, tally):
    path = os.path.join(WORK, "m.rego")
    with open(path, "w", encoding="utf-8", newline="") as f:
        f.write(text)
    flags = ["--v0-compatible"] if version == "v0" else []
    for args in (["parse", "-f", "json", "--json-include", "locations,comments"], ["parse"], ["fmt"]):
        a, b = run(OPA, args + flags, "m.rego"), run(OURS, args + flags, "m.rego")
        if args == ["parse"] and b"%!" in a[1]:
            continue  # its pretty printer takes the % of a string for a verb
        if args == ["fmt"] and b"but the result is invalid" in a[2] and b[0] == 0:
            continue  # it broke the module and says so; ours did not
        tally[args[0]][1] += 1
        if a == b:
            tally[args[0]][0] += 1
        elif args[0] == "fmt" and a[0] == b[0] == 0:
            tally["otherwise"].append(name)
        else:
            print(f"DIFFERS {name} {version} {args}\n{text}\n--- opa {a}\n--- ours {b}")
    return tally


def main():
    rng = random.Random(1)
    tally = {"parse": [0, 0], "fmt": [0, 0], "otherwise": []}
    for n, (name, version, text) in enumerate(modules()):
        if n % EVERY or version == "v2" or "METADATA" in text:
            continue
        compare(name, version, text, tally)
        compare(name + " changed", version, changed(rng, text), tally)
    for what in ("parse", "fmt"):
        print(f"{what}: {tally[what][0]}/{tally[what][1]} the same")
    other = len(tally["otherwise"])
    print(f"formatted otherwise: {other} {tally['otherwise'][:20]}")
    bad = tally["parse"][0] < tally["parse"][1] or tally["fmt"][0] + other < tally["fmt"][1]
    sys.exit(1 if bad or other * 100 > tally["fmt"][1] else 0)


main()
