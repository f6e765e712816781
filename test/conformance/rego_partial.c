/*
 * The partial evaluation suite of Open Policy Agent, run against authz/rego.
 *
 *     rego_partial TABLE.json [--refresh FILE] [-v] [-n NOTE] [--floor FILE]
 *
 * Each row gives modules, a query and what is unknown, and the queries and support modules that must
 * come out, compared as trees. The table is of an older release; rows of the refresh file replace those
 * of the same name and add new ones. The floor file holds the least number that must pass.
 */
#include "authz/rego/partial.h"
#include "authz/rego/trace.h"

#include <stdio.h>
#include <stdlib.h>

static bool verbose;

static struct str read_file(struct arena *a, const char *path)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL) {
        return STR_EMPTY;
    }
    fseek(f, 0, SEEK_END);
    long n = ftell(f);
    rewind(f);
    char *p = arena_alloc_raw(a, (size_t)n + 1, 1);
    size_t got = fread(p, 1, (size_t)n, f);
    fclose(f);
    return str_n(p, got);
}

/* Trees as text in which what is equal is written alike. */
static struct str canon_body(struct arena *a, const struct body *b, bool sorted);
static struct str canon_term(struct arena *a, const struct term *t);

static int by_text(const void *x, const void *y)
{
    const struct str *a = x, *b = y;
    return str_cmp(*a, *b);
}

static struct str joined(struct arena *a, struct str *v, size_t n, bool sort, const char *open,
                         const char *close)
{
    struct buf b;
    buf_init(&b, 16 << 20);
    if (sort && n > 0) {
        qsort(v, n, sizeof *v, by_text);
    }
    buf_puts(&b, str_of(open));
    for (size_t i = 0; i < n; i++) {
        buf_puts(&b, i > 0 ? S(", ") : S(""));
        buf_puts(&b, v[i]);
    }
    buf_puts(&b, str_of(close));
    struct str s = arena_str(a, buf_str(&b));
    buf_release(&b);
    return s;
}

static struct str canon_list(struct arena *a, const struct term *t, bool sort, const char *open,
                             const char *close)
{
    struct str *v = arena_array(a, struct str, t->list.n + 1);
    for (size_t i = 0; i < t->list.n; i++) {
        v[i] = canon_term(a, t->list.v[i]);
    }
    return joined(a, v, t->list.n, sort, open, close);
}

static struct str canon_object(struct arena *a, const struct term *t)
{
    struct str *v = arena_array(a, struct str, t->list.n + 1);
    size_t n = 0;
    for (size_t i = 0; i + 1 < t->list.n; i += 2) {
        v[n++] = arena_printf(a, "%.*s: %.*s", STR_FMT(canon_term(a, t->list.v[i])),
                              STR_FMT(canon_term(a, t->list.v[i + 1])));
    }
    return joined(a, v, n, true, "{", "}");
}

static struct str plain_text(struct arena *a, const struct term *t)
{
    struct buf b;
    buf_init(&b, 16 << 20);
    term_write(&b, t);
    struct str s = arena_str(a, buf_str(&b));
    buf_release(&b);
    return s;
}

static struct str canon_logic(struct arena *a, const struct term *t)
{
    struct str l = canon_body(a, t->logic.lhs, false);
    if (t->type == T_NOT) {
        return arena_printf(a, "not {%.*s}", STR_FMT(l));
    }
    return arena_printf(a, "({%.*s} %s {%.*s})", STR_FMT(l), t->type == T_AND ? "and" : "or",
                        STR_FMT(canon_body(a, t->logic.rhs, false)));
}

static struct str canon_comp(struct arena *a, const struct term *t)
{
    struct str key = t->comp.key != NULL ? canon_term(a, t->comp.key) : STR_EMPTY;
    return arena_printf(a, "comp%d(%.*s: %.*s | %.*s)", (int)t->type, STR_FMT(key),
                        STR_FMT(canon_term(a, t->comp.value)),
                        STR_FMT(canon_body(a, t->comp.body, false)));
}

static struct str canon_term(struct arena *a, const struct term *t)
{
    switch (t->type) {
    case T_ARRAY:
        return canon_list(a, t, false, "[", "]");
    case T_SET:
        return canon_list(a, t, true, "set(", ")");
    case T_REF:
        return canon_list(a, t, false, "ref(", ")");
    case T_OBJECT:
        return canon_object(a, t);
    case T_CALL: {
        struct str *v = arena_array(a, struct str, t->list.n + 1);
        for (size_t i = 1; i < t->list.n; i++) {
            v[i - 1] = canon_term(a, t->list.v[i]);
        }
        struct str args = joined(a, v, t->list.n - 1, false, "(", ")");
        return arena_printf(a, "%.*s%.*s", STR_FMT(term_call_name(a, t)), STR_FMT(args));
    }
    case T_ARRAY_COMP:
    case T_SET_COMP:
    case T_OBJECT_COMP:
        return canon_comp(a, t);
    case T_AND:
    case T_OR:
    case T_NOT:
        return canon_logic(a, t);
    default:
        return plain_text(a, t);
    }
}

static struct str canon_expr(struct arena *a, const struct expr *e)
{
    struct str s;
    if (e->kind == E_EVERY) {
        s = arena_printf(a, "every %.*s, %.*s in %.*s {%.*s}",
                         STR_FMT(e->every.key != NULL ? canon_term(a, e->every.key) : S("-")),
                         STR_FMT(canon_term(a, e->every.value)),
                         STR_FMT(canon_term(a, e->every.domain)),
                         STR_FMT(canon_body(a, e->every.body, false)));
    } else {
        s = e->term != NULL ? canon_term(a, e->term) : S("some");
    }
    for (size_t i = 0; i < e->n_with; i++) {
        s = arena_printf(a, "%.*s with %.*s as %.*s", STR_FMT(s),
                         STR_FMT(canon_term(a, e->with[i]->target)),
                         STR_FMT(canon_term(a, e->with[i]->value)));
    }
    return e->negated ? arena_printf(a, "not %.*s", STR_FMT(s)) : s;
}

static struct str canon_body(struct arena *a, const struct body *b, bool sorted)
{
    struct str *v = arena_array(a, struct str, b->n + 1);
    for (size_t i = 0; i < b->n; i++) {
        v[i] = canon_expr(a, b->v[i]);
    }
    return joined(a, v, b->n, sorted, "", "");
}

static struct str canon_rule(struct arena *a, const struct rule *r)
{
    const struct head *h = r->head;
    struct str *args = arena_array(a, struct str, h->n_args + 1);
    for (size_t i = 0; i < h->n_args; i++) {
        args[i] = canon_term(a, h->args[i]);
    }
    struct str value = h->key == NULL && h->value != NULL ? canon_term(a, h->value) : STR_EMPTY;
    struct term ref = *h->ref;
    ref.type = T_REF;
    return arena_printf(a, "%s%.*s%.*s contains %.*s = %.*s { %.*s }",
                        r->is_default ? "default " : "", STR_FMT(canon_term(a, &ref)),
                        STR_FMT(joined(a, args, h->n_args, false, "(", ")")),
                        STR_FMT(h->key != NULL ? canon_term(a, h->key) : S("-")), STR_FMT(value),
                        STR_FMT(canon_body(a, r->body, false)));
}

/* The rules of a module as a set, with its package in front. */
static struct str canon_module(struct arena *a, const struct module *m)
{
    struct str *v = arena_array(a, struct str, m->n_rules + 1);
    size_t n = 0;
    for (size_t i = 0; i < m->n_rules; i++) {
        struct str s = canon_rule(a, m->rules[i]);
        bool seen = false;
        for (size_t k = 0; k < n; k++) {
            seen |= str_eq(v[k], s);
        }
        if (!seen) {
            v[n++] = s;
        }
    }
    struct str package = arena_printf(a, "package %.*s\n  ", STR_FMT(canon_term(a, m->package)));
    qsort(v, n, sizeof *v, by_text);
    for (size_t i = 0; i < n; i++) {
        package = arena_printf(a, "%.*s%.*s\n  ", STR_FMT(package), STR_FMT(v[i]));
    }
    return package;
}

struct row {
    struct arena *a;
    struct val c;
    bool keywords, not_bodies;
    struct str problem; /* empty: passed */
};

static bool flag(const struct row *r, const char *name)
{
    return val_is_true(val_get_str(r->c, name));
}

/* The module with the imports that the row's options stand for. */
static struct str with_imports(struct row *r, struct str text)
{
    size_t at = str_find(text, S("package ")), end = str_find_char(str_sub(text, at, text.n), '\n');
    if (at == STR_NPOS || end == STR_NPOS) {
        return text;
    }
    end += at;
    bool add_not = r->not_bodies && str_find(text, S("import future.keywords.not")) == STR_NPOS;
    return arena_printf(
        r->a, "%.*s\n%s%s%.*s", STR_FMT(str_sub(text, 0, end)),
        r->keywords ? "import future.keywords.and\nimport future.keywords.or\n" : "",
        add_not ? "import future.keywords.not\n" : "", STR_FMT(str_sub(text, end, text.n)));
}

static struct rego_policy *compile_row(struct row *r)
{
    struct val modules = val_get_str(r->c, "modules"), asts = val_get_str(r->c, "moduleASTs");
    struct val one = val_get_str(r->c, "module");
    size_t n = 0, most = 2 + (val_is(modules, V_ARRAY) ? val_len(modules) : 0) +
                         (val_is(asts, V_ARRAY) ? val_len(asts) : 0);
    struct rego_source *src = arena_array(r->a, struct rego_source, most);
    for (uint32_t i = 0; val_is(asts, V_ARRAY) && i < val_len(asts); i++) {
        struct val args = val_get_str(val_nth(asts, i), "args");
        src[n].name = arena_printf(r->a, "%zu", n);
        src[n].version = REGO_V1;
        src[n++].text = val_text(val_nth(args, 0));
    }
    for (uint32_t i = 0; val_is(modules, V_ARRAY) && i < val_len(modules); i++) {
        src[n].name = arena_printf(r->a, "%zu", n);
        src[n].version = REGO_V1;
        src[n++].text = with_imports(r, val_text(val_nth(modules, i)));
    }
    if (val_is(one, V_STRING)) {
        src[n] = (struct rego_source){.name = S("test.rego"), .version = REGO_V1};
        src[n++].text = with_imports(r, val_text(one));
    }
    struct rego_errors errors = {.a = r->a};
    struct rego_policy *p;
    if (!rego_compile(src, n, NULL, &errors, &p)) {
        r->problem = arena_printf(r->a, "compile: %.*s", STR_FMT(errors.v[0].message));
        return NULL;
    }
    return p;
}

static struct str *strings(struct row *r, const char *name, size_t *n)
{
    struct val v = val_get_str(r->c, name);
    *n = val_is(v, V_ARRAY) ? val_len(v) : 0;
    struct str *s = arena_array(r->a, struct str, *n + 1);
    for (size_t i = 0; i < *n; i++) {
        struct val item = val_nth(v, (uint32_t)i);
        s[i] = val_is(item, V_STRING) ? val_text(item) : STR_EMPTY;
    }
    return s;
}

static struct val json_of(struct row *r, const char *name)
{
    struct val text = val_get_str(r->c, name), v = VAL_UNDEF;
    if (!val_is(text, V_STRING) || failed(val_from_json(r->a, val_text(text), &v))) {
        return VAL_UNDEF;
    }
    return v;
}

static bool same_set(struct row *r, const char *what, struct str *want, size_t nw, struct str *got,
                     size_t ng)
{
    struct buf b;
    buf_init(&b, 16 << 20);
    for (int side = 0; side < 2; side++) {
        struct str *x = side == 0 ? want : got, *y = side == 0 ? got : want;
        size_t nx = side == 0 ? nw : ng, ny = side == 0 ? ng : nw;
        for (size_t i = 0; i < nx; i++) {
            bool found = false;
            for (size_t k = 0; k < ny; k++) {
                found |= str_eq(x[i], y[k]);
            }
            if (!found) {
                buf_printf(&b, "\n  %s %s: %.*s", side == 0 ? "missing" : "extra", what,
                           STR_FMT(x[i]));
            }
        }
    }
    if (b.n > 0) {
        r->problem = arena_str(r->a, buf_str(&b));
    } else if (nw != ng) {
        r->problem = arena_printf(r->a, "%zu of %s wanted, %zu came", nw, what, ng);
    }
    buf_release(&b);
    return r->problem.n == 0;
}

static struct parse_options options_of(const struct row *r)
{
    return (struct parse_options){.version = REGO_V1,
                                  .all_future_keywords = r->keywords && r->not_bodies,
                                  .query_keywords_v2 = r->not_bodies || r->keywords};
}

static bool check_queries(struct row *r, const struct rego_partial_result *out)
{
    size_t n;
    struct str *want = strings(r, "wantQueries", &n);
    bool sorted = flag(r, "ignoreOrder");
    for (size_t i = 0; i < n; i++) {
        struct rego_errors errors = {.a = r->a};
        struct parse_options po = options_of(r);
        struct body *b;
        if (want[i].n == 0) {
            continue;
        }
        if (!rego_parse_query(r->a, want[i], &po, &errors, &b)) {
            r->problem = arena_printf(r->a, "expectation: %.*s", STR_FMT(errors.v[0].message));
            return false;
        }
        want[i] = canon_body(r->a, b, sorted);
    }
    struct str *got = arena_array(r->a, struct str, out->n_queries + 1);
    for (size_t i = 0; i < out->n_queries; i++) {
        got[i] = canon_body(r->a, out->queries[i], sorted);
    }
    return same_set(r, "query", want, n, got, out->n_queries);
}

static bool check_support(struct row *r, const struct rego_partial_result *out)
{
    size_t n;
    struct str *want = strings(r, "wantSupport", &n);
    for (size_t i = 0; i < n; i++) {
        struct rego_errors errors = {.a = r->a};
        struct parse_options po = {.version = REGO_V1};
        struct module *m;
        if (!rego_parse_module(r->a, S("want"), with_imports(r, want[i]), &po, &errors, &m)) {
            r->problem = arena_printf(r->a, "expectation: %.*s", STR_FMT(errors.v[0].message));
            return false;
        }
        want[i] = canon_module(r->a, m);
    }
    struct str *got = arena_array(r->a, struct str, out->n_support + 1);
    for (size_t i = 0; i < out->n_support; i++) {
        got[i] = canon_module(r->a, out->support[i]);
    }
    return same_set(r, "support", want, n, got, out->n_support);
}

static void ignore(void *ctx, const struct rego_event *e)
{
    (void)ctx;
    (void)e;
}

static void partial_row(struct row *r, const struct rego_topdown *t, struct str query,
                        struct rego_partial_result *out)
{
    struct rego_errors errors = {.a = r->a};
    struct rego_query_options qo = {.version = REGO_V1,
                                    .v2_keywords = r->keywords || r->not_bodies};
    struct rego_topdown_query *q;
    if (!rego_topdown_prepare(t, query, &qo, &errors, &q)) {
        r->problem = arena_printf(r->a, "query: %.*s", STR_FMT(errors.v[0].message));
        return;
    }
    struct val data = json_of(r, "data");
    struct rego_partial_options o = {
        .eval = {.input = json_of(r, "input"), .data = val_undef(data) ? val_empty_object() : data},
        .shallow = flag(r, "shallow"),
        .nondeterministic = flag(r, "nondeterministicBuiltins"),
        .skip_namespace = flag(r, "skipPartialNamespace"),
        .keep_equal = true,
        .var_prefix = S("x"),
    };
    o.unknowns = strings(r, "unknowns", &o.n_unknowns);
    o.disable_inlining = strings(r, "disableInlining", &o.n_disable_inlining);
    struct rego_tracer tracer = {.event = ignore}; /* the table was made under one */
    rego_partial(q, &o, &tracer, r->a, out);
    if (out->failed) {
        r->problem = arena_printf(r->a, "%s: %.*s", out->error.code, STR_FMT(out->error.message));
    }
    rego_topdown_query_free(q);
}

static bool holds(struct row *r, const struct rego_policy *p, const char *query, struct val input)
{
    struct rego_errors errors = {.a = r->a};
    struct rego_query *q;
    struct rego_result out;
    if (!rego_prepare(p, str_of(query), NULL, &errors, &q)) {
        return false;
    }
    rego_eval(q, &(struct rego_eval_options){.input = input}, r->a, &out);
    rego_query_free(q);
    return out.n_rows > 0;
}

/* Rows that only ask that the residual queries mean the same as the policy. */
static void check_meaning(struct row *r, const struct rego_policy *p,
                          const struct rego_partial_result *out)
{
    struct buf text;
    buf_init(&text, 1 << 20);
    buf_puts(&text, S("package test_residual\n"));
    for (size_t i = 0; i < out->n_queries; i++) {
        buf_puts(&text, S("p if {\n"));
        for (size_t k = 0; k < out->queries[i]->n; k++) {
            expr_write(&text, out->queries[i]->v[k]);
            buf_putc(&text, '\n');
        }
        buf_puts(&text, S("}\n"));
    }
    struct rego_source src = {.name = S("residual"), .version = REGO_V1};
    src.text = with_imports(r, buf_str(&text));
    struct rego_errors errors = {.a = r->a};
    struct rego_policy *residual;
    if (!rego_compile(&src, 1, NULL, &errors, &residual)) {
        r->problem = arena_printf(r->a, "residual: %.*s", STR_FMT(errors.v[0].message));
        buf_release(&text);
        return;
    }
    size_t n;
    struct str *inputs = strings(r, "inputs", &n);
    for (size_t i = 0; i < n; i++) {
        struct val input;
        if (failed(val_from_json(r->a, inputs[i], &input)) ||
            holds(r, p, "data.test.p", input) !=
                holds(r, residual, "data.test_residual.p", input)) {
            r->problem = arena_printf(r->a, "differs for %.*s", STR_FMT(inputs[i]));
        }
    }
    rego_policy_free(residual);
    buf_release(&text);
}

static bool comparable(const struct row *r)
{
    return val_undef(val_get_str(r->c, "wantQueryASTs"));
}

static void run_variant(struct row *r)
{
    struct rego_policy *p = compile_row(r);
    if (p == NULL) {
        return;
    }
    struct rego_topdown *t = rego_topdown_new(p);
    struct rego_partial_result out = {0};
    struct val query = val_get_str(r->c, "query");
    bool meaning = !val_is(query, V_STRING);
    partial_row(r, t, meaning ? S("data.test.p = true") : val_text(query), &out);
    if (r->problem.n == 0 && meaning) {
        check_meaning(r, p, &out);
    } else if (r->problem.n == 0 && !comparable(r)) {
        r->problem = S("the expectation is code");
    } else if (r->problem.n == 0 && check_queries(r, &out)) {
        (void)check_support(r, &out);
    }
    rego_topdown_free(t);
    rego_policy_free(p);
}

/* Rows about negation hold for the old `not` and for the one that takes bodies. */
static bool run_row(struct val c, bool negation)
{
    struct str problem = STR_EMPTY;
    bool ok = true;
    for (int variant = 0; variant <= negation; variant++) {
        struct arena a;
        arena_init(&a, 256 << 20);
        struct row r = {
            .a = &a, .c = c, .keywords = val_is_true(val_get_str(c, "experimentalKeywords"))};
        r.keywords |= !val_undef(val_get_str(c, "module"));
        r.not_bodies = variant == 1;
        if (variant == 1 || !val_is_true(val_get_str(c, "notBodyOnly"))) {
            run_variant(&r);
        }
        problem = r.problem;
        if (problem.n > 0 && verbose) {
            printf("FAIL %.*s%s: %.*s\n", STR_FMT(val_text(val_get_str(c, "note"))),
                   variant == 1 ? " (not-body)" : "", STR_FMT(problem));
        }
        ok &= problem.n == 0;
        arena_release(&a);
    }
    return ok;
}

static struct val find_row(struct val table, struct val func, struct val note)
{
    for (uint32_t i = 0; !val_undef(table) && i < val_len(table); i++) {
        struct val t = val_nth(table, i), cases = val_get_str(t, "cases");
        for (uint32_t k = 0; val_eq(val_get_str(t, "func"), func) && k < val_len(cases); k++) {
            if (val_eq(val_get_str(val_nth(cases, k), "note"), note)) {
                return val_nth(cases, k);
            }
        }
    }
    return VAL_UNDEF;
}

struct count {
    size_t passed, total;
};

/* All rows of `table`; those that `other` has, too, are taken from it or, with `only_new`, left out. */
static void run_table(struct val table, struct val other, bool only_new, const char *only,
                      struct count *n)
{
    for (uint32_t i = 0; !val_undef(table) && i < val_len(table); i++) {
        struct val t = val_nth(table, i), cases = val_get_str(t, "cases");
        struct val func = val_get_str(t, "func");
        bool negation = str_ends(val_text(func), S("Negation"));
        for (uint32_t k = 0; val_is(cases, V_ARRAY) && k < val_len(cases); k++) {
            struct val c = val_nth(cases, k), note = val_get_str(c, "note");
            struct val same = find_row(other, func, note);
            if ((only != NULL && !str_is(val_text(note), only)) || (only_new && !val_undef(same))) {
                continue;
            }
            n->total++;
            n->passed += run_row(val_undef(same) ? c : same, negation);
        }
    }
}

static size_t read_floor(const char *path)
{
    unsigned long n = 0;
    FILE *f = path != NULL ? fopen(path, "r") : NULL;
    if (f != NULL) {
        n = fscanf(f, "%lu", &n) == 1 ? n : 0;
        fclose(f);
    }
    return n;
}

int main(int argc, char **argv)
{
    const char *floor_file = NULL, *only = NULL, *refresh_file = NULL;
    struct arena a;
    arena_init(&a, (size_t)1 << 30);
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "-v") == 0) {
            verbose = true;
        } else if (strcmp(argv[i], "-n") == 0 && i + 1 < argc) {
            only = argv[++i];
        } else if (strcmp(argv[i], "--floor") == 0 && i + 1 < argc) {
            floor_file = argv[++i];
        } else if (strcmp(argv[i], "--refresh") == 0 && i + 1 < argc) {
            refresh_file = argv[++i];
        }
    }
    struct str text = argc > 1 ? read_file(&a, argv[1]) : STR_EMPTY;
    if (text.n == 0) {
        printf("skipped: the table %s is not here\n", argc > 1 ? argv[1] : "");
        return 77;
    }
    struct val table, refresh = VAL_UNDEF;
    struct count n = {0};
    if (failed(val_from_json(&a, text, &table)) ||
        (refresh_file != NULL &&
         failed(val_from_json(&a, read_file(&a, refresh_file), &refresh)))) {
        printf("%s\n", err_detail());
        return 1;
    }
    run_table(table, refresh, false, only, &n);
    run_table(refresh, table, true, only, &n);
    arena_release(&a);
    printf("total %zu/%zu\n", n.passed, n.total);
    if (n.passed < read_floor(floor_file)) {
        printf("below the floor of %zu\n", read_floor(floor_file));
        return 1;
    }
    return 0;
}
