/*
 * Rules that read themselves. The path that is told is one that surely closes if there is one; else it
 * hangs on the value of a variable, and the error says on which.
 */
#include "authz/rego/compile/graph.h"
#include "authz/rego/syntax/visit.h"

enum { CONDITIONS_MAX = 2, MEMBERS_MAX = 5, TEXT_MAX = 1 << 16 };

/* ---- Is an edge certain? ---- */

struct var_search {
    const struct local *local;
    bool found;
};

static bool find_local(struct visitor *v, struct term *t)
{
    struct var_search *s = v->ctx;
    s->found |= t->type == T_VAR && t->var.local == s->local;
    return !s->found;
}

/* May the variable have a value before expression `at`? From the head, or an earlier expression. */
static bool bound_before(const struct rule *r, size_t at, const struct local *l)
{
    struct var_search s = {.local = l};
    struct visitor v = {.term = find_local, .ctx = &s};
    visit_head(&v, r->head);
    for (size_t i = 0; i < MIN(at, r->body->n) && !s.found; i++) {
        visit_expr(&v, r->body->v[i]);
    }
    return s.found;
}

static size_t times_in(const struct term *ref, const struct local *l)
{
    size_t n = 0;
    for (size_t i = 0; i < ref->list.n; i++) {
        n += ref->list.v[i]->type == T_VAR && ref->list.v[i]->var.local == l;
    }
    return n;
}

/* Terms of `ref` that must equal the rule's for the reference to mean it; more than `max`: max + 1. */
static size_t open_terms(struct compiler *c, const struct crule *from, const struct known_list *l,
                         const struct ref_use *u, const struct crule *to, size_t *at, size_t max)
{
    size_t n = 0;
    for (size_t i = 1; i < MIN(u->ref->list.n, graph_rule_length(to)); i++) {
        const struct term *t = u->ref->list.v[i];
        struct known room = {0};
        const struct known *k = graph_values(c, l, u->at, t, &room);
        bool free = t->type == T_VAR && t->var.local != NULL &&
                    !bound_before(from->rule, u->at, t->var.local) &&
                    times_in(u->ref, t->var.local) == 1;
        if (val_undef(graph_rule_term(c, to, i)) || free || (k != NULL && k->n == 1)) {
            continue;
        }
        if (n < max) {
            at[n] = i;
        }
        n++;
    }
    return n;
}

/* The first use by which `from` may read `to`; NULL in *use if one reads it for certain. */
static bool uncertain(struct compiler *c, struct crule *from, struct crule *to, struct ref_use *use)
{
    size_t n;
    bool any = false;
    struct ref_use *uses = graph_uses(c, from, &n);
    struct known_list l = graph_known(c, from->rule);
    for (size_t i = 0; i < n; i++) {
        if (!graph_may_refer(c, &l, &uses[i], to)) {
            continue;
        }
        if (open_terms(c, from, &l, &uses[i], to, NULL, 0) == 0) {
            return false;
        }
        if (!any) {
            *use = uses[i];
            any = true;
        }
    }
    return any;
}

/* ---- Paths ---- */

struct search {
    struct compiler *c;
    struct graph *g;
    uint32_t goal;
    bool certain;
    uint8_t *seen;
    uint32_t *came_from;
};

/* Rules that stand between two others on the way through places and subtrees count as one step. */
static bool usable(struct search *s, uint32_t last_rule, uint32_t to)
{
    struct ref_use use;
    return to >= s->g->n_rules || !s->certain ||
           !uncertain(s->c, s->g->rules[last_rule], s->g->rules[to], &use);
}

struct frame {
    uint32_t v, rule;
    size_t next;
};

/* Depth first, as a path of rules from `from` to itself. Its length; 0: none. */
static size_t find_path(struct search *s, uint32_t from, uint32_t *path)
{
    struct frame *stack = arena_array(s->g->a, struct frame, s->g->n + 2);
    size_t n = 0;
    stack[n++] = (struct frame){from, from, 0};
    s->seen[from] = 1;
    while (n > 0) {
        struct frame *f = &stack[n - 1];
        const struct vertex *x = &s->g->vertices[f->v];
        if (f->next >= x->n) {
            n--;
            continue;
        }
        uint32_t to = x->to[f->next++];
        if (s->g->component[to] != s->g->component[from] || (s->seen[to] && to != from) ||
            !usable(s, f->rule, to)) {
            continue;
        }
        if (to == from) {
            size_t k = 0;
            for (size_t i = 0; i < n; i++) {
                if (stack[i].v < s->g->n_rules) {
                    path[k++] = stack[i].v;
                }
            }
            path[k++] = from;
            return k;
        }
        s->seen[to] = 1;
        stack[n++] = (struct frame){to, to < s->g->n_rules ? to : f->rule, 0};
    }
    return 0;
}

static size_t path_to_itself(struct compiler *c, uint32_t from, bool certain, uint32_t *path)
{
    struct search s = {.c = c, .g = c->graph, .certain = certain};
    s.seen = arena_array(s.g->a, uint8_t, s.g->n + 1);
    return find_path(&s, from, path);
}

/* ---- Where a value comes from ---- */

struct origin {
    enum {
        FROM_UNKNOWN,
        FROM_INPUT,
        FROM_RULE,
        FROM_COLLECTION,
        FROM_BUILTIN,
        FROM_KEY,
        FROM_ARG
    } kind;
    const struct term *ref;
    struct val collection;
    const char *builtin;
};

static bool is_root(const struct term *t, const char *name)
{
    const struct term *h = t->type == T_REF ? t->list.v[0] : t;
    return h->type == T_VAR && h->var.local == NULL && str_is(h->var.name, name);
}

/* What the first equation before `at` says that the variable is. */
static const struct term *binding_of(const struct rule *r, size_t at, const struct local *l)
{
    for (size_t i = 0; i < MIN(at, r->body->n); i++) {
        const struct expr *e = r->body->v[i];
        if (e->kind != E_TERM || e->negated || e->n_with > 0 || !term_is_call_of(e->term, "eq") ||
            e->term->list.n != 3) {
            continue;
        }
        for (size_t side = 1; side <= 2; side++) {
            const struct term *t = e->term->list.v[side];
            if (t->type == T_VAR && t->var.local == l) {
                return e->term->list.v[3 - side];
            }
        }
    }
    return NULL;
}

static struct val collection_of(struct compiler *c, const struct rule *r, size_t at,
                                const struct term *t)
{
    for (size_t i = 0; t != NULL && t->type == T_VAR && i <= r->body->n; i++) {
        t = t->var.local != NULL ? binding_of(r, at, t->var.local) : NULL;
    }
    struct val v = t != NULL ? term_const(c->a, t) : VAL_UNDEF;
    return val_is_collection(v) ? v : VAL_UNDEF;
}

static struct origin head_origin(const struct rule *r, const struct local *l)
{
    for (size_t i = 0; i < r->head->n_args; i++) {
        if (r->head->args[i]->type == T_VAR && r->head->args[i]->var.local == l) {
            return (struct origin){.kind = FROM_ARG};
        }
    }
    const struct term *key = r->head->key;
    if (key != NULL && key->type == T_VAR && key->var.local == l) {
        return (struct origin){.kind = FROM_KEY};
    }
    return (struct origin){.kind = times_in(r->head->ref, l) > 0 ? FROM_KEY : FROM_UNKNOWN};
}

static struct origin origin_of(struct compiler *c, const struct rule *r, size_t at,
                               const struct local *l)
{
    for (size_t steps = 0; steps <= r->body->n; steps++) {
        const struct term *t = binding_of(r, at, l);
        if (t != NULL && t->type == T_VAR && t->var.local != NULL) {
            l = t->var.local;
            continue;
        }
        struct callee callee;
        if (t != NULL && t->type == T_CALL && find_callee(c, t->list.v[0], &callee) &&
            callee.builtin != NULL) {
            return (struct origin){.kind = FROM_BUILTIN, .builtin = callee.builtin->name};
        }
        if (t != NULL && t->type == T_REF) {
            if (is_root(t, "input") || is_root(t, "data")) {
                return (struct origin){.kind = is_root(t, "input") ? FROM_INPUT : FROM_RULE,
                                       .ref = t};
            }
            struct val v = t->list.n == 2 && val_undef(term_const(c->a, t->list.v[1]))
                               ? collection_of(c, r, at, t->list.v[0])
                               : VAL_UNDEF;
            if (!val_undef(v)) {
                return (struct origin){.kind = FROM_COLLECTION, .collection = v};
            }
        }
        return head_origin(r, l);
    }
    return (struct origin){.kind = FROM_UNKNOWN};
}

/* ---- Texts ---- */

static void write_prefix(struct compiler *c, struct buf *out, const struct term *ref)
{
    struct term t = *ref;
    t.list.n = 1;
    while (t.list.n < ref->list.n && !val_undef(term_const(c->a, ref->list.v[t.list.n]))) {
        t.list.n++;
    }
    term_write(out, &t);
}

static void write_origin(struct compiler *c, struct buf *out, const struct rule *r,
                         const struct term *term, const struct origin *o)
{
    struct buf what;
    buf_init(&what, TEXT_MAX);
    if (term->type == T_REF && is_root(term, "data")) {
        buf_puts(&what, S("rule values aren't known at compile time"));
    } else if (o->kind != FROM_UNKNOWN) {
        term_write(&what, term);
    }
    switch (term->type == T_VAR ? (int)o->kind : FROM_UNKNOWN) {
    case FROM_INPUT:
        buf_puts(&what, S(" comes from "));
        write_prefix(c, &what, o->ref);
        break;
    case FROM_RULE:
        buf_puts(&what, S(" comes from rule "));
        write_prefix(c, &what, o->ref);
        buf_puts(&what, S(", whose value isn't known at compile time"));
        break;
    case FROM_COLLECTION:
        if (val_len(o->collection) > MEMBERS_MAX) {
            buf_printf(&what, " is one of %u values", val_len(o->collection));
        } else {
            buf_puts(&what, S(" is one of "));
            val_to_rego(&what, o->collection);
        }
        break;
    case FROM_BUILTIN:
        buf_printf(&what, " is computed by %s", o->builtin);
        break;
    case FROM_KEY:
        buf_printf(&what, " is a key of %.*s", STR_FMT(rule_path(c->a, r)));
        break;
    case FROM_ARG:
        buf_printf(&what, " is an argument of %.*s", STR_FMT(rule_path(c->a, r)));
        break;
    default:
        break;
    }
    if (what.n > 0) {
        buf_printf(out, " (%.*s)", STR_FMT(buf_str(&what)));
    }
    buf_release(&what);
}

/* A value that cannot be there: the condition would never be met as it stands. */
static bool impossible(const struct origin *o, struct val want)
{
    if (o->kind != FROM_COLLECTION) {
        return false;
    }
    for (uint32_t i = 0; i < val_len(o->collection); i++) {
        if (val_eq(val_nth(o->collection, i), want)) {
            return false;
        }
    }
    return true;
}

static bool same_term(struct compiler *c, const struct term *x, const struct term *y)
{
    struct buf a, b;
    buf_init(&a, TEXT_MAX);
    buf_init(&b, TEXT_MAX);
    term_write(&a, x);
    term_write(&b, y);
    bool same = str_eq(buf_str(&a), buf_str(&b));
    buf_release(&a);
    buf_release(&b);
    (void)c;
    return same;
}

struct condition {
    const struct term *term;
    struct val value;
    struct origin origin;
};

/* What must hold for the reference to mean `to`; 0 if that is too much, or cannot be. */
static size_t conditions_of(struct compiler *c, struct crule *from, const struct ref_use *u,
                            struct crule *to, struct condition out[CONDITIONS_MAX])
{
    enum { TERMS_MAX = 16 };
    size_t at[TERMS_MAX], n = 0;
    struct known_list l = graph_known(c, from->rule);
    size_t open = open_terms(c, from, &l, u, to, at, TERMS_MAX);
    for (size_t i = 0; i < open; i++) {
        if (open > TERMS_MAX) {
            return 0;
        }
        const struct term *t = u->ref->list.v[at[i]];
        struct val want = graph_rule_term(c, to, at[i]);
        size_t k = 0;
        while (k < n && !same_term(c, out[k].term, t)) {
            k++;
        }
        if (k < n) {
            if (!val_eq(out[k].value, want)) {
                return 0;
            }
            continue;
        }
        struct origin o = {0};
        if (t->type == T_VAR && t->var.local != NULL) {
            o = origin_of(c, from->rule, u->at, t->var.local);
        }
        if (n == CONDITIONS_MAX || impossible(&o, want)) {
            return 0;
        }
        out[n++] = (struct condition){t, want, o};
    }
    return n;
}

static void write_cause(struct compiler *c, struct buf *out, const uint32_t *path, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        struct crule *from = c->graph->rules[path[i - 1]], *to = c->graph->rules[path[i]];
        struct ref_use use;
        if (!uncertain(c, from, to, &use)) {
            continue;
        }
        struct term ref = *use.ref;
        ref.list.n = MIN(ref.list.n, graph_rule_length(to));
        buf_puts(out, S(" ("));
        term_write(out, &ref);
        if (i > 1) {
            buf_printf(out, " in %.*s", STR_FMT(rule_path(c->a, from->rule)));
        }
        struct condition conditions[CONDITIONS_MAX];
        size_t k = conditions_of(c, from, &use, to, conditions);
        buf_printf(out, " %s to %.*s", k == 0 ? "could refer" : "refers",
                   STR_FMT(rule_path(c->a, to->rule)));
        for (size_t j = 0; j < k; j++) {
            buf_puts(out, j == 0 ? S(" if ") : S(" and "));
            term_write(out, conditions[j].term);
            buf_puts(out, S(" is "));
            val_to_rego(out, conditions[j].value);
            write_origin(c, out, from->rule, conditions[j].term, &conditions[j].origin);
        }
        buf_putc(out, ')');
        return;
    }
}

static bool is_certain(struct compiler *c, const uint32_t *path, size_t n)
{
    struct ref_use use;
    for (size_t i = 1; i < n; i++) {
        if (uncertain(c, c->graph->rules[path[i - 1]], c->graph->rules[path[i]], &use)) {
            return false;
        }
    }
    return true;
}

static void tell(struct compiler *c, struct crule *cr, const uint32_t *path, size_t n, bool certain)
{
    struct buf b;
    buf_init(&b, TEXT_MAX);
    struct str name = rule_path(c->a, cr->rule);
    buf_printf(&b, "rule %.*s %s recursive: ", STR_FMT(name), certain ? "is" : "may be");
    for (size_t i = 0; i < n; i++) {
        buf_puts(&b, i > 0 ? S(" -> ") : S(""));
        buf_puts(&b, rule_path(c->a, c->graph->rules[path[i]]->rule));
    }
    if (!certain) {
        write_cause(c, &b, path, n);
    }
    c->unit = cr->unit;
    compile_error(c, "rego_recursion_error", cr->rule->loc, "%.*s", STR_FMT(buf_str(&b)));
    buf_release(&b);
}

static void check_one(struct compiler *c, uint32_t v)
{
    struct graph *g = c->graph;
    uint32_t *path = arena_array(g->a, uint32_t, g->n_rules + 2);
    size_t n = path_to_itself(c, v, false, path);
    if (n == 0) {
        return;
    }
    bool certain = is_certain(c, path, n);
    if (!certain) {
        uint32_t *other = arena_array(g->a, uint32_t, g->n_rules + 2);
        size_t m = path_to_itself(c, v, true, other);
        if (m > 0) {
            path = other, n = m;
            certain = true;
        }
    }
    tell(c, g->rules[v], path, n, certain);
}

static bool reads_itself(const struct graph *g, uint32_t v)
{
    for (size_t i = 0; i < g->vertices[v].n; i++) {
        if (g->vertices[v].to[i] == v) {
            return true;
        }
    }
    return g->sizes[g->component[v]] > 1;
}

void recursion_check(struct compiler *c)
{
    for (uint32_t v = 0; v < c->graph->n_rules && !c->enough; v++) {
        if (reads_itself(c->graph, v)) {
            check_one(c, v);
        }
    }
}
