/*
 * Hostile policies and inputs: each must end in time and in memory, with an error that says so or with a
 * value, and must leave the engine as it was. A program's work must be counted: whoever makes more of it runs out of
 * steps, not of patience.
 */
#include "authz/rego/engine.h"
#include "test/unit.h"

#include <time.h>

enum {
    STEPS = 3 * 1000 * 1000,
    MEMORY = 128 << 20,
    SECONDS_MAX = 60, /* of CPU, also under sanitizers; a plain build needs a tenth of ten */
};

enum ends { CANCELLED, ANY };

struct program {
    const char *name;
    enum ends ends;
    const char *policy;
    const char *input; /* NULL: none */
};

static const struct program programs[] = {
    {"cartesian product", CANCELLED,
     "n := numbers.range(1, 2000)\np := count([1 | some a in n; some b in n; some c in n])\n",
     NULL},
    {"exponential comprehension", CANCELLED,
     "a := [x | some i in numbers.range(1, 100); some j in numbers.range(1, 100); x := [i, j]]\n"
     "b := {[x, y] | some x in a; some y in a}\np := count(b)\n",
     NULL},
    {"strings that double", ANY,
     "s0 := \"aaaaaaaaaaaaaaaa\"\nf(x) := concat(\"\", [x, x, x, x, x, x, x, x])\n"
     "p := count(f(f(f(f(f(f(f(f(f(f(f(f(s0)))))))))))))\n",
     NULL},
    {"sprintf that pads", ANY, "p := count(sprintf(\"%1000000000d\", [1]))\n", NULL},
    {"sprintf with much", CANCELLED,
     "p := [count(sprintf(\"%1000000d\", [i])) | some i in numbers.range(1, 100000)]\n", NULL},
    {"huge range", ANY, "p := count(numbers.range(1, 9999999999))\n", NULL},
    {"many ranges", CANCELLED,
     "p := [count(numbers.range(i, 100000 + i)) | some i in numbers.range(1, 10000)]\n", NULL},
    {"number bomb", ANY, "x := to_number(\"1e30000\")\np := x * x * x * x * x * x * x\n", NULL},
    {"squaring", ANY,
     "f(x) := x * x\np := "
     "f(f(f(f(f(f(f(f(f(f(f(f(f(f(f(f(f(f(f(f(f(f(f(f(f(f(f(f(7777777777))))))))))"
     "))))))))))))))))))\n",
     NULL},
    {"shift", ANY, "p := bits.lsh(1, 9999999999999)\n", NULL},
    {"many shifts", CANCELLED,
     "p := [x | some i in numbers.range(1, 100000); x := bits.lsh(1, 90000 + i)]\n", NULL},
    {"format_int of giants", CANCELLED,
     "g := bits.lsh(1, 90000)\np := [count(format_int(g + i, 10)) | some i in numbers.range(1, "
     "100000)]\n",
     NULL},
    {"product of giants", CANCELLED,
     "g := bits.lsh(1, 90000)\np := [x | some i in numbers.range(1, 100000); x := (g + i) * g]\n",
     NULL},
    {"units bomb", ANY, "p := units.parse(\"1e9999999999E\")\n", NULL},
    {"units bytes bomb", ANY, "p := units.parse_bytes(\"99999999999999999999999e99999Gi\")\n",
     NULL},
    {"regex of nested repeats", ANY,
     "p := regex.match(`((((a{1,100}){1,100}){1,100}){1,100})`, \"aaaa\")\n", NULL},
    {"many large regexes", CANCELLED,
     "p := [x | some i in numbers.range(1, 100000); x := "
     "regex.match(sprintf(`(a|b|c|%d)[^x]{0,999}y`, [i]), "
     "\"aaaa\")]\n",
     NULL},
    {"regex over a long text", CANCELLED,
     "t := concat(\"\", [\"ab\" | some i in numbers.range(1, 200000)])\n"
     "p := [x | some i in numbers.range(1, 100000); x := regex.match(`(a+b+)+c`, t)]\n",
     NULL},
    {"find all over and over", CANCELLED,
     "t := concat(\"\", [\"ab\" | some i in numbers.range(1, 200000)])\n"
     "p := [count(regex.find_n(`a`, t, -1)) | some i in numbers.range(1, 100000)]\n",
     NULL},
    {"glob of braces", ANY,
     "p := glob.match(\"{a,{b,{c,{d,{e,{f,{g,{h,{i,{j,{k,{l,{m,{n,{o,{p,{q,r}}}}}}}}}}}}}}}}}\", "
     "[], \"r\")\n",
     NULL},
    {"replace that grows", ANY,
     "t := concat(\"\", [\"a\" | some i in numbers.range(1, 100000)])\n"
     "p := count(replace(replace(t, \"a\", t), \"a\", t))\n",
     NULL},
    {"split and join", CANCELLED,
     "t := concat(\"\", [\"a,\" | some i in numbers.range(1, 100000)])\n"
     "p := [count(split(t, \",\")) | some i in numbers.range(1, 100000)]\n",
     NULL},
    {"string functions over and over", CANCELLED,
     "t := concat(\"\", [\"ab\" | some i in numbers.range(1, 200000)])\n"
     "p := [x | some i in numbers.range(1, 100000); x := contains(upper(t), \"ABC\")]\n",
     NULL},
    {"hashing over and over", CANCELLED,
     "t := concat(\"\", [\"ab\" | some i in numbers.range(1, 200000)])\n"
     "p := [crypto.sha256(t) | some i in numbers.range(1, 100000)]\n",
     NULL},
    {"base64 over and over", CANCELLED,
     "t := concat(\"\", [\"ab\" | some i in numbers.range(1, 200000)])\n"
     "p := [count(base64.decode(base64.encode(t))) | some i in numbers.range(1, 100000)]\n",
     NULL},
    {"marshalling over and over", CANCELLED,
     "t := numbers.range(1, 100000)\n"
     "p := [count(json.unmarshal(json.marshal(t))) | some i in numbers.range(1, 100000)]\n",
     NULL},
    {"walk of a deep document", ANY, "p := count([1 | walk(input, _)])\n", "deep"},
    {"equality of a deep document", ANY, "p := [input] == [input]\nq := json.marshal(input)\n",
     "deep"},
    {"walk over and over", CANCELLED,
     "t := {i: {j: 1 | some j in numbers.range(1, 100)} | some i in numbers.range(1, 100)}\n"
     "p := [count([1 | walk(t, _)]) | some i in numbers.range(1, 100000)]\n",
     NULL},
    {"patches that copy", ANY,
     "ops := [{\"op\": \"copy\", \"from\": \"/a\", \"path\": sprintf(\"/a/x%d\", [i])} | some i in "
     "numbers.range(1, 40)]\np := count(json.marshal(json.patch({\"a\": {\"z\": 1}}, ops)))\n",
     NULL},
    {"patches of a long list", CANCELLED,
     "ops := [{\"op\": \"add\", \"path\": \"/0\", \"value\": 1} | some i in numbers.range(1, "
     "20000)]\n"
     "p := count(json.patch(numbers.range(1, 20000), ops))\n",
     NULL},
    {"sorting over and over", CANCELLED,
     "t := [x | some i in numbers.range(1, 50000); x := (i * 7919) % 50000]\n"
     "p := [count(sort(t)) | some i in numbers.range(1, 100000)]\n",
     NULL},
    {"sets over and over", CANCELLED,
     "t := {i | some i in numbers.range(1, 50000)}\nu := {i | some i in numbers.range(25000, "
     "75000)}\n"
     "p := [count(t & u) | some i in numbers.range(1, 100000)]\n",
     NULL},
    {"union of many objects", CANCELLED,
     "t := {sprintf(\"%d\", [i]): 1 | some i in numbers.range(1, 20000)}\n"
     "p := [count(object.union(t, {\"x\": i})) | some i in numbers.range(1, 100000)]\n",
     NULL},
    {"graph that is complete", CANCELLED,
     "n := {sprintf(\"%d\", [i]) | some i in numbers.range(1, 1000)}\ng := {k: n | some k in n}\n"
     "p := [count(graph.reachable(g, n)) | some i in numbers.range(1, 1000)]\n",
     NULL},
    {"all paths of a graph", ANY,
     "n := {sprintf(\"%d\", [i]) | some i in numbers.range(1, 14)}\ng := {k: n | some k in n}\n"
     "p := count(graph.reachable_paths(g, {\"1\"}))\n",
     NULL},
    {"random numbers without end", CANCELLED,
     "p := [x | some i in numbers.range(1, 1000000); x := rand.intn(sprintf(\"%d\", [i]), 100)]\n",
     NULL},
    {"functions without end", CANCELLED,
     "f(x) := x + 1\np := [x | some i in numbers.range(1, 10000000); x := f(i)]\n", NULL},
    {"cidr expansion", ANY, "p := count(net.cidr_expand(\"10.0.0.0/4\"))\n", NULL},
    {"cidr matching", CANCELLED,
     "c := [sprintf(\"10.%d.%d.0/24\", [i, j]) | some i in numbers.range(0, 60); some j in "
     "numbers.range(0, "
     "60)]\np := count(net.cidr_contains_matches(c, c))\n",
     NULL},
    {"glob matching over and over", CANCELLED,
     "t := concat(\"\", [\"ab\" | some i in numbers.range(1, 50000)])\n"
     "p := [x | some i in numbers.range(1, 100000); x := glob.match(\"**a**b**c\", [], t)]\n",
     NULL},
    {"semver, time and units over and over", CANCELLED,
     "p := [x | some i in numbers.range(1, 10000000); x := time.format(i * 1000000000)]\n", NULL},
    {"yaml aliases", ANY,
     "p := yaml.unmarshal(`a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c "
     "[*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e "
     "[*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\ng: "
     "[*f,*f,*f,*f,*f,*f,*f,*f,*f]`)\n",
     NULL},
    {"json text of brackets", ANY,
     "p := json.unmarshal(concat(\"\", [\"[\" | some i in numbers.range(1, 300000)]))\n", NULL},
    {"signatures over and over", CANCELLED,
     "p := [x | some i in numbers.range(1, 1000000); x := crypto.hmac.sha512(sprintf(\"%d\", [i]), "
     "\"k\")]\n",
     NULL},
    {"levenshtein of long texts", ANY,
     "t := concat(\"\", [\"ab\" | some i in numbers.range(1, 100000)])\n"
     "p := strings.any_prefix_match({t}, {t}) == strings.any_suffix_match([t | some i in "
     "numbers.range(1, "
     "100)], [t | some j in numbers.range(1, 100)])\n",
     NULL},
    {"replace_n with many pairs", ANY,
     "t := concat(\"\", [\"ab\" | some i in numbers.range(1, 100000)])\n"
     "m := {sprintf(\"x%d\", [i]): \"y\" | some i in numbers.range(1, 10000)}\np := "
     "count(strings.replace_n(m, t))\n",
     NULL},
    {"rendered recursively", ANY,
     "p := strings.render_template(`{{define \"t\"}}{{template \"t\" .}}{{end}}{{template \"t\" "
     ".}}`, {})\n",
     NULL},
    {"every of every", CANCELLED,
     "n := numbers.range(1, 2000)\np if { every a in n { every b in n { every c in n { a + b + c > "
     "0 } } } }\n",
     NULL},
    {"template strings", ANY,
     "t := concat(\"\", [\"ab\" | some i in numbers.range(1, 100000)])\n"
     "p := count([x | some i in numbers.range(1, 100000); x := $\"{t}{t}{i}\"])\n",
     NULL},
    {"with over and over", CANCELLED,
     "q := count(input)\np := [x | some i in numbers.range(1, 10000000); x := q with input as "
     "[i]]\n",
     NULL},
    {"texts of other languages", ANY,
     "t := concat(\"\", [\"{a\" | some i in numbers.range(1, 200000)])\n"
     "p := graphql.is_valid(t, t)\n",
     NULL},
    {"modules as texts", ANY,
     "t := concat(\"\", [\"p if { [1,2,3] }\\n\" | some i in numbers.range(1, 100000)])\n"
     "p := rego.parse_module(\"x.rego\", concat(\"\\n\", [\"package x\", t]))\n",
     NULL},
    {"forms as texts", ANY,
     "t := concat(\"&\", [\"a=b\" | some i in numbers.range(1, 200000)])\n"
     "p := count(urlquery.decode_object(t))\n",
     NULL},
    {"schemas that refer to themselves", ANY,
     "s := {\"$ref\": \"#/a\", \"a\": {\"allOf\": [{\"$ref\": \"#/a\"}, {\"$ref\": \"#/a\"}]}}\n"
     "p := json.match_schema({\"x\": 1}, s)\n",
     NULL},
    {"schemas that multiply", ANY,
     "s := {\"definitions\": {sprintf(\"d%d\", [i]): {\"anyOf\": [{\"$ref\": "
     "sprintf(\"#/definitions/d%d\", "
     "[i + 1])}, {\"$ref\": sprintf(\"#/definitions/d%d\", [i + 1])}]} | some i in "
     "numbers.range(0, 40)}, "
     "\"$ref\": \"#/definitions/d0\"}\nz := object.union(s, {\"definitions\": {\"d41\": {\"type\": "
     "\"string\"}}})\np := json.match_schema({}, z)\n",
     NULL},
    {"conflicting values that are long", ANY,
     "t := concat(\"\", [\"ab\" | some i in numbers.range(1, 100000)])\np := t\np := upper(t)\n",
     NULL},
};

static struct val deep_input(struct arena *a)
{
    struct buf b;
    struct val v = VAL_NULL;
    buf_init(&b, 1 << 20);
    for (int i = 0; i < 1900; i++) {
        buf_puts(&b, i % 2 == 0 ? S("[") : S("{\"a\":"));
    }
    buf_puts(&b, S("1"));
    for (int i = 1899; i >= 0; i--) {
        buf_putc(&b, i % 2 == 0 ? ']' : '}');
    }
    assert_ok(val_from_json(a, buf_str(&b), &v));
    buf_release(&b);
    return v;
}

static void run(const struct program *x, bool show)
{
    struct arena a, texts;
    struct rego_errors errors = {.a = &texts};
    struct rego_policy *p;
    struct rego_result r;
    arena_init(&a, MEMORY);
    arena_init(&texts, 64 << 20);
    struct str text = arena_printf(&texts, "package h\n%s", x->policy);
    struct rego_source src = {S("h.rego"), text, REGO_V1};
    if (!rego_compile(&src, 1, NULL, &errors, &p)) {
        fail_msg("%s: %.*s", x->name, STR_FMT(errors.v[0].message));
    }
    struct rego_eval_options o = {.max_steps = STEPS, .data = val_empty_object()};
    o.input = x->input != NULL ? deep_input(&texts) : VAL_UNDEF;
    struct val path[2] = {val_str(&texts, S("h")), val_str(&texts, S("p"))};
    clock_t start = clock();
    struct val v = rego_eval_path(p, path, 2, &o, &a, &r);
    double s = (double)(clock() - start) / CLOCKS_PER_SEC;
    if (show) {
        printf("%6.3f s %6zu KiB %9llu steps  %-36s %s\n", s, a.used / 1024,
               (unsigned long long)r.steps, x->name,
               r.failed       ? r.error.code
               : val_undef(v) ? "undefined"
                              : "a value");
        if (r.failed) {
            printf("          %.*s\n", STR_FMT(str_sub(r.error.message, 0, 160)));
        }
    }
    /* One builtin may go past its budget before it is looked at; by how much is bounded, too. */
    bool cancelled = r.failed && strcmp(r.error.code, "eval_cancel_error") == 0;
    if (s > SECONDS_MAX || a.used > MEMORY + MEMORY / 4 || r.steps > 20 * (uint64_t)STEPS ||
        (x->ends == CANCELLED && !cancelled)) {
        fail_msg("%s: %.3f s, %zu bytes, %llu steps, %s", x->name, s, a.used,
                 (unsigned long long)r.steps, r.failed ? r.error.code : "no error");
    }
    rego_policy_free(p);
    arena_release(&texts);
    arena_release(&a);
}

static void test_hostile(void **state)
{
    (void)state;
    const char *only = getenv("BUDGET_ONLY");
    for (size_t i = 0; i < ARRAY_LEN(programs); i++) {
        if (only == NULL || strcmp(only, programs[i].name) == 0) {
            run(&programs[i], getenv("BUDGET_SHOW") != NULL);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_hostile)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
