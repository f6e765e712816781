/* deps: rego base */
/*
 * The formatter: what it writes parses, means the same, and once formatted twice stays as it is. (The second time may
 * differ from the first, where comments found a new line.)
 */
#include "authz/rego/syntax/format.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool late_import(const struct module *m)
{
    for (size_t i = 0; i < m->n_imports; i++) {
        if (m->n_rules > 0 && m->imports[i]->loc.row >= m->rules[0]->loc.row) {
            return true;
        }
    }
    return false;
}

/* Bodies and heads are compared as the terms they would be in a comprehension. */
static bool same_body(struct body *a, struct body *b)
{
    struct term nothing = {.type = T_NULL}, x = {.type = T_SET_COMP}, y = {.type = T_SET_COMP};
    x.comp.value = y.comp.value = &nothing;
    x.comp.body = a;
    y.comp.body = b;
    return term_cmp(&x, &y) == 0;
}

static bool same_term(const struct term *a, const struct term *b)
{
    return (a == NULL) == (b == NULL) && (a == NULL || term_cmp(a, b) == 0);
}

static bool same_head(const struct head *a, const struct head *b)
{
    bool same = same_term(a->ref, b->ref) && same_term(a->key, b->key) &&
                same_term(a->value, b->value) && a->n_args == b->n_args;
    for (size_t i = 0; same && i < a->n_args; i++) {
        same = term_cmp(a->args[i], b->args[i]) == 0;
    }
    return same;
}

static bool same_rules(const struct module *a, const struct module *b)
{
    bool same = a->n_rules == b->n_rules;
    for (size_t i = 0; same && i < a->n_rules; i++) {
        const struct rule *x = a->rules[i], *y = b->rules[i];
        for (; same && x != NULL && y != NULL; x = x->otherwise, y = y->otherwise) {
            same = same_head(x->head, y->head) && same_body(x->body, y->body);
        }
        same = same && x == NULL && y == NULL;
    }
    return same;
}

/* Templates join constants with the text around them, and wildcards have numbers: those prove nothing. */
static bool comparable(struct str s)
{
    return str_find_char(s, '$') == STR_NPOS && str_find_char(s, '_') == STR_NPOS;
}

static bool format(struct arena *a, enum rego_version v, struct str in, struct str *out)
{
    struct rego_errors errors = {.a = a};
    struct format_options o = {.from = v, .to = v};
    struct buf b;
    buf_init(&b, 1 << 24);
    bool ok = rego_format(a, S("f.rego"), in, &o, &errors, &b);
    BUG_ON(ok != (errors.n == 0));
    *out = arena_str(a, buf_str(&b));
    ok = ok && buf_ok(&b);
    buf_release(&b);
    return ok;
}

static void check(struct arena *a, enum rego_version v, struct str in)
{
    struct rego_errors errors = {.a = a};
    struct parse_options o = {.version = v};
    struct module *before, *after;
    struct str once, twice, thrice;
    if (!rego_parse_module(a, S("f.rego"), in, &o, &errors, &before) || !format(a, v, in, &once) ||
        late_import(before)) {
        return;
    }
    bool parses = rego_parse_module(a, S("f.rego"), once, &o, &errors, &after);
    if (!parses || (comparable(in) && !same_rules(before, after))) {
        fprintf(stderr, "v%d:\n%.*s\nbecame\n%.*s\n", v, STR_FMT(in), STR_FMT(once));
        abort();
    }
    BUG_ON(!format(a, v, once, &twice));
    BUG_ON(!format(a, v, twice, &thrice));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 16 * 1024) {
        return 0;
    }
    for (int v = REGO_V0; v <= REGO_V2; v++) {
        struct arena a;
        arena_init(&a, 256 << 20);
        check(&a, (enum rego_version)v, str_n(data, size));
        arena_release(&a);
    }
    return 0;
}
