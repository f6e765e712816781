/* What a single expression would need, told with the values seen. */
#include "authz/rego/topdown/why_priv.h"

static struct str text_of(struct why *w, const struct tt *t)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    term_write(&b, term_from_tt(w->a, t));
    struct str s = arena_str(w->a, buf_str(&b));
    buf_release(&b);
    return s;
}

/* The expression that gave the variable its value: generated ones stand before the one written. */
static const struct tt *source_of(const struct te *e, const struct tt *t)
{
    for (size_t i = 0; t->kind == TT_VAR && i < e->query->n; i++) {
        const struct texpr *x = e->query->v[i];
        if (x->eq && x->t[1]->kind == TT_VAR && x->t[1]->sym == t->sym && x->t[2]->kind == TT_REF) {
            return x->t[2];
        }
    }
    return t;
}

/* The reference with variables that have a value replaced. */
static const struct tt *readable(struct why *w, struct te *e, const struct tt *t)
{
    t = source_of(e, t);
    return t->kind == TT_REF ? plug(w->td, (struct tt *)(uintptr_t)t, e->b) : t;
}

struct k_values {
    struct k k;
    struct td *td;
    struct tt *var;
    struct binds *b;
    struct vlist list;
};

enum { VALUES_MAX = 20 };

static struct halt *take_value(struct k *self)
{
    struct k_values *c = (struct k_values *)self;
    struct tt *p = plug(c->td, c->var, c->b);
    if (p->kind == TT_VAL && c->list.n < VALUES_MAX) {
        vlist_add(&c->list, p->v);
    }
    return NULL;
}

/* All values of a term, with what is bound; a set. */
static struct val values_of(struct why *w, struct te *e, const struct tt *t)
{
    struct td *td = w->td;
    struct k_values c = {.k = {take_value}, .td = td, .b = e->b, .list = {.a = td->a}};
    if (t->kind == TT_VAL) {
        vlist_add(&c.list, t->v);
        return vlist_set(&c.list);
    }
    c.var = tt_var(td->a, sym_get(&td->syms, S("_why")), t->loc);
    (void)unify(e, (struct tt *)(uintptr_t)t, c.var, e->b, e->b, &c.k);
    return vlist_set(&c.list);
}

static struct val value_of(struct why *w, struct te *e, const struct tt *t)
{
    struct val all = values_of(w, e, t);
    return val_len(all) == 1 ? val_nth(all, 0) : VAL_UNDEF;
}

static bool reads(const struct tt *t, const struct sym *root)
{
    if (t->kind == TT_VAR) {
        return t->sym == root;
    }
    for (size_t i = 0; tt_is_list(t) && i < t->list.n; i++) {
        if (reads(t->list.v[i], root)) {
            return true;
        }
    }
    return false;
}

bool why_reads_input(struct why *w, struct te *e, const struct texpr *x)
{
    for (size_t i = x->kind == TX_CALL; i < x->n; i++) {
        if (reads(source_of(e, x->t[i]), w->td->t->input)) {
            return true;
        }
    }
    for (size_t i = 0; x->lhs != NULL && i < x->lhs->n; i++) {
        if (why_reads_input(w, e, x->lhs->v[i])) {
            return true;
        }
    }
    return false;
}

static const struct {
    const char *name, *sign, *opposite;
} relations[] = {{"equal", "==", "!="},
                 {"neq", "!=", "=="},
                 {"lt", "<", ">="},
                 {"lte", "<=", ">"},
                 {"gt", ">", "<="},
                 {"gte", ">=", "<"},
                 {"internal.member_2", "in", "not in"}};

static const char *sign_of(const struct texpr *x, bool opposite)
{
    for (size_t i = 0; x->builtin != NULL && i < ARRAY_LEN(relations); i++) {
        if (strcmp(x->builtin->name, relations[i].name) == 0) {
            return opposite ? relations[i].opposite : relations[i].sign;
        }
    }
    return NULL;
}

static bool is_free(struct why *w, struct te *e, const struct tt *t)
{
    return t->kind == TT_VAR && plug(w->td, (struct tt *)(uintptr_t)t, e->b)->kind == TT_VAR;
}

/* `a = b`: the side that reads the input is told about, the other is what it should be. */
static void describe_eq(struct why *w, struct te *e, const struct texpr *x, bool opposite,
                        struct rego_change *out)
{
    const struct sym *input = w->td->t->input;
    const struct tt *a = x->t[1], *b = x->t[2];
    if (is_free(w, e, a) || is_free(w, e, b)) {
        a = readable(w, e, is_free(w, e, a) ? b : a);
        out->what = a->kind == TT_REF ? text_of(w, a) : STR_EMPTY;
        out->relation = opposite ? S("undefined") : S("defined");
        return;
    }
    a = readable(w, e, a);
    b = readable(w, e, b);
    if ((!reads(a, input) && reads(b, input)) || a->kind == TT_VAL) {
        const struct tt *t = a;
        a = b;
        b = t;
    }
    struct val want = values_of(w, e, b);
    out->what = a->kind == TT_REF ? text_of(w, a) : STR_EMPTY;
    out->is = value_of(w, e, a);
    bool one = val_len(want) == 1;
    out->relation = one ? (opposite ? S("!=") : S("==")) : (opposite ? S("not in") : S("in"));
    out->want = one ? val_nth(want, 0) : want;
}

static void describe_builtin(struct why *w, struct te *e, const struct texpr *x, bool opposite,
                             struct rego_change *out)
{
    const char *sign = sign_of(x, opposite);
    if (sign == NULL || x->n < 3) {
        out->relation = opposite ? S("false") : S("true");
        const struct tt *first = x->n > 1 ? readable(w, e, x->t[1]) : NULL;
        if (first != NULL && first->kind == TT_REF) {
            out->what = text_of(w, first);
            out->is = value_of(w, e, first);
        }
        return;
    }
    const struct tt *a = readable(w, e, x->t[1]);
    out->what = a->kind == TT_REF ? text_of(w, a) : STR_EMPTY;
    out->is = value_of(w, e, a);
    out->relation = str_of(sign);
    out->want = value_of(w, e, readable(w, e, x->t[2]));
}

/* The expression as it stands in the source; of generated ones, the line. */
static struct str written(struct why *w, const struct te *e, const struct texpr *x)
{
    const struct rego_policy *p = w->td->t->p;
    for (size_t i = 0; i < rego_policy_modules(p); i++) {
        const struct module *m = rego_policy_module(p, i);
        if (!str_eq(m->file, e->file)) {
            continue;
        }
        if (!x->generated && x->loc.end > x->loc.off) {
            struct str all = str_sub(m->source, x->loc.off, x->loc.end);
            return arena_str(w->a, all);
        }
        struct str rest = m->source;
        for (uint32_t row = 1; row < x->loc.row && rest.p != NULL; row++) {
            (void)str_split(&rest, '\n');
        }
        return rest.p != NULL ? arena_str(w->a, str_trim(str_split(&rest, '\n'))) : STR_EMPTY;
    }
    return STR_EMPTY;
}

void why_describe(struct why *w, struct te *e, const struct texpr *x, bool hold,
                  struct rego_change *out)
{
    *out = (struct rego_change){.file = arena_str(w->a, e->file),
                                .loc = x->loc,
                                .expr = written(w, e, x),
                                .is = VAL_UNDEF,
                                .want = VAL_UNDEF};
    bool negative = x->negated || x->kind == TX_NOT;
    const struct texpr *inner = x->kind == TX_NOT && x->lhs->n == 1 ? x->lhs->v[0] : x;
    bool opposite = negative != hold;
    if (inner->kind == TX_CALL && inner->eq) {
        describe_eq(w, e, inner, opposite, out);
    } else if (inner->kind == TX_CALL) {
        describe_builtin(w, e, inner, opposite, out);
    } else if (inner->kind == TX_TERM) {
        const struct tt *t = readable(w, e, inner->t[0]);
        out->what = text_of(w, t);
        out->is = value_of(w, e, t);
        out->relation = opposite ? S("false") : S("true");
    } else {
        out->relation = opposite ? S("false") : S("true");
    }
    out->is = val_undef(out->is) ? VAL_UNDEF : val_copy(w->a, out->is);
    out->want = val_undef(out->want) ? VAL_UNDEF : val_copy(w->a, out->want);
}

static bool uses(const struct tt *t, const struct wished *s)
{
    return t->kind == TT_VAR && t->sym == s->sym;
}

const struct wished *why_find_wished(const struct why *w, struct te *e, const struct texpr *x)
{
    struct vset vars = {.a = w->td->a};
    tx_vars(x, VARS_ALL, &vars);
    for (size_t i = 0; w->n_wished > 0 && i < vars.n; i++) {
        struct tt var = {.kind = TT_VAR}, *t = &var;
        struct binds *b = e->b;
        var.sym = vars.v[i];
        binds_apply(&t, &b);
        for (size_t k = 0; t->kind == TT_VAR && k < w->n_wished; k++) {
            if (w->wished[k].sym == t->sym && w->wished[k].b == b) {
                return &w->wished[k];
            }
        }
    }
    return NULL;
}

void why_refine(struct why *w, struct te *e, const struct texpr *x, struct rego_change *c)
{
    const struct wished *s = why_find_wished(w, e, x);
    if (!str_is(c->relation, "defined") || x->kind != TX_CALL || x->n < 3 || s == NULL) {
        return;
    }
    const char *sign = x->eq ? (x->negated ? "!=" : "==") : sign_of(x, x->negated);
    size_t other = uses(x->t[1], s) ? 2 : 1;
    struct val v = sign != NULL ? value_of(w, e, readable(w, e, x->t[other])) : VAL_UNDEF;
    if (val_undef(v) || (other == 1 && !x->eq)) {
        return;
    }
    c->relation = str_of(sign);
    c->want = val_copy(w->a, v);
    c->loc = x->loc;
    c->expr = written(w, e, x);
}
