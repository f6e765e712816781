/*
 * Safety: expressions of a body are put into an order in which every variable is bound before it is
 * needed. What cannot be ordered is unsafe. Closures (comprehensions, every, braces) are ordered after
 * the body they stand in, with its variables as their own inputs.
 */
#include "authz/rego/compile/order_priv.h"
#include "authz/rego/syntax/visit.h"

struct varset varset_new(struct compiler *c)
{
    struct varset s = {.words = c->n_locals / 64 + 1};
    s.bits = arena_array(c->a, uint64_t, s.words);
    return s;
}

void varset_add(struct varset *s, uint32_t id)
{
    BUG_ON(id / 64 >= s->words);
    s->bits[id / 64] |= UINT64_C(1) << (id % 64);
}

static struct varset copy_set(struct compiler *c, const struct varset *s)
{
    struct varset r = varset_new(c);
    memcpy(r.bits, s->bits, MIN(s->words, r.words) * sizeof *r.bits);
    return r;
}

static void add_all(struct varset *to, const struct varset *from)
{
    for (size_t i = 0; i < MIN(to->words, from->words); i++) {
        to->bits[i] |= from->bits[i];
    }
}

static void remove_all(struct varset *from, const struct varset *what)
{
    for (size_t i = 0; i < MIN(what->words, from->words); i++) {
        from->bits[i] &= ~what->bits[i];
    }
}

static void keep_only(struct varset *from, const struct varset *what)
{
    for (size_t i = 0; i < from->words; i++) {
        from->bits[i] &= i < what->words ? what->bits[i] : 0;
    }
}

static bool is_empty(const struct varset *s)
{
    for (size_t i = 0; i < s->words; i++) {
        if (s->bits[i] != 0) {
            return false;
        }
    }
    return true;
}

static bool same_set(const struct varset *a, const struct varset *b)
{
    return a->words == b->words && memcmp(a->bits, b->bits, a->words * sizeof *a->bits) == 0;
}

static bool subset(const struct varset *a, const struct varset *b)
{
    for (size_t i = 0; i < a->words; i++) {
        if ((a->bits[i] & ~(i < b->words ? b->bits[i] : 0)) != 0) {
            return false;
        }
    }
    return true;
}

struct work {
    struct expr *e;
    struct varset unsafe;
    bool done;
};

static void take_outputs(struct varset *unsafe, const struct varset *out, const struct varset *safe)
{
    remove_all(unsafe, out);
    remove_all(unsafe, safe);
}

/* One round over the body: true when something new found its place. */
static bool place_some(struct compiler *c, struct work *w, size_t n, struct body *ordered,
                       struct varset *safe, struct varset *placed, const struct varset *body_vars,
                       const struct varset *globals)
{
    size_t before = ordered->n;
    for (size_t i = 0; i < n; i++) {
        if (w[i].done) {
            continue;
        }
        struct varset out = varset_new(c), closed = varset_new(c);
        expr_outputs(c, w[i].e, safe, &out);
        closure_vars(w[i].e, &closed);
        keep_only(&closed, body_vars);
        remove_all(&closed, globals);
        if (!subset(&closed, placed)) {
            remove_all(&closed, placed);
            if (same_set(&closed, &out)) {
                continue;
            }
            w[i].unsafe = copy_set(c, &closed);
        }
        take_outputs(&w[i].unsafe, &out, safe);
        if (is_empty(&w[i].unsafe)) {
            w[i].done = true;
            body_push(c->a, ordered, w[i].e);
            add_all(safe, &out);
            add_all(placed, &out);
        }
    }
    return ordered->n > before;
}

static struct local *local_by_id(struct compiler *c, uint32_t id)
{
    struct local *l = c->locals;
    while (l != NULL && l->id != id) {
        l = l->next;
    }
    return l;
}

/* A local that was found unsafe, the first place of that, and whether only `:=` gives it a value. */
struct unsafe_var {
    struct local *local;
    struct loc loc;
    bool assigned;
};

static bool before(struct loc a, struct loc b)
{
    return a.row != b.row ? a.row < b.row : a.col < b.col;
}

static void note_unsafe(struct compiler *c, uint32_t id, struct loc loc, bool assigned)
{
    struct local *l = local_by_id(c, id);
    for (size_t i = 0; i < c->n_unsafe && l != NULL; i++) {
        struct unsafe_var *u = &c->unsafe[i];
        if (u->local == l) {
            u->loc = before(loc, u->loc) ? loc : u->loc;
            u->assigned |= assigned;
            return;
        }
    }
    if (l != NULL) {
        c->unsafe = arena_grow(c->a, c->unsafe, c->n_unsafe, c->n_unsafe + 1, &c->cap_unsafe,
                               sizeof *c->unsafe);
        c->unsafe[c->n_unsafe++] = (struct unsafe_var){l, loc, assigned};
    }
}

/*
 * The first place of a variable in an expression: calls inside of others are computed on their own, so
 * theirs is the place of what stands in them.
 */
struct place {
    uint32_t id;
    struct term *outermost;
    struct loc here, found;
    bool any;
};

static bool place_in_term(struct visitor *v, struct term *t)
{
    struct place *p = v->ctx;
    if (t->type == T_VAR && t->var.local != NULL && t->var.local->id == p->id) {
        p->found = !p->any || before(p->here, p->found) ? p->here : p->found;
        p->any = true;
        return false;
    }
    bool apart = t->type == T_CALL || t->type == T_TEMPLATE;
    if (!apart || t == p->outermost) {
        return t->type < T_ARRAY_COMP || t->type == T_CALL || t->type == T_EXPR;
    }
    struct place inner = *p;
    inner.here = t->loc;
    inner.outermost = t;
    struct visitor inside = {.term = place_in_term, .ctx = &inner};
    visit_term(&inside, t);
    p->found = inner.found;
    p->any = inner.any;
    return false;
}

static struct loc place_of(struct expr *e, uint32_t id)
{
    struct place p = {.id = id, .outermost = e->term, .here = e->loc};
    struct visitor v = {.term = place_in_term, .ctx = &p};
    visit_term(&v, e->term);
    if (e->kind == E_EVERY) { /* what is enumerated is computed before */
        p.here = e->every.domain->loc;
        visit_term(&v, e->every.domain);
    }
    for (size_t i = 0; i < e->n_with; i++) {
        struct term *value = e->with[i]->value;
        p.here = term_requires_evaluation(value) ? value->loc : e->loc;
        visit_term(&v, value);
    }
    return p.any ? p.found : e->loc;
}

static bool is_assignment(const struct expr *e)
{
    return e->kind == E_TERM && term_is_call_of(e->term, "eq") && e->term->generated;
}

/* Where a query shows the value of such an expression, that value is unsafe with it. */
static bool gives_value_to_query(struct compiler *c, const struct expr *e)
{
    bool shown =
        e->kind == E_TERM && !e->negated &&
        (e->term->type == T_VAR || (e->term->type == T_CALL && !term_is_call_of(e->term, "eq")));
    for (size_t i = 0; shown && c->captured != NULL && i < c->captured->n; i++) {
        if (c->captured->v[i] == e) {
            return true;
        }
    }
    return false;
}

static void note_expr(struct compiler *c, struct expr *e, const struct varset *unsafe)
{
    struct varset left = varset_new(c);
    if (is_assignment(e)) {
        direct_vars(e->term->list.v[1], &left);
    }
    for (uint32_t id = 0; id < c->n_locals; id++) {
        if (varset_has(unsafe, id)) {
            note_unsafe(c, id, place_of(e, id), varset_has(&left, id));
        } else if (varset_has(&left, id)) {
            for (size_t i = 0; i < c->n_unsafe; i++) {
                c->unsafe[i].assigned |= c->unsafe[i].local->id == id;
            }
        }
    }
    if (gives_value_to_query(c, e)) {
        struct local *l = new_local(c, S("$0"), e->loc);
        l->wildcard = true;
        note_unsafe(c, l->id, e->loc, false);
    }
}

void order_note_term(struct compiler *c, const struct varset *unsafe, struct loc loc)
{
    for (uint32_t id = 0; id < c->n_locals; id++) {
        if (varset_has(unsafe, id)) {
            note_unsafe(c, id, loc, false);
        }
    }
}

static struct str ground_name(struct compiler *c, const struct rule *r)
{
    struct term prefix = *r->head->ref;
    prefix.list.n = ground_prefix(r->head->ref);
    struct buf b;
    buf_init(&b, 1 << 16);
    term_write(&b, &prefix);
    struct str name = arena_str(c->a, buf_str(&b));
    buf_release(&b);
    return name;
}

/* " in rule NAME" where the row of the rule holds rules of other names too. */
static struct str scope_of(struct compiler *c)
{
    if (c->query || c->rule == NULL) {
        return STR_EMPTY;
    }
    struct str name = ground_name(c, c->rule);
    for (size_t i = 0; i < c->rule->module->n_rules; i++) {
        for (const struct rule *r = c->rule->module->rules[i]; r != NULL; r = r->otherwise) {
            if (r->loc.row == c->rule->loc.row && !str_eq(ground_name(c, r), name)) {
                return arena_printf(c->a, " in rule %.*s", STR_FMT(name));
            }
        }
    }
    return STR_EMPTY;
}

static bool is_future_keyword(struct str name)
{
    static const char *const words[] = {"and", "contains", "every", "if", "in", "not", "or"};
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (str_is(name, words[i])) {
            return true;
        }
    }
    return false;
}

static void unsafe_error(struct compiler *c, const struct local *l, struct loc loc)
{
    struct str name = l->wildcard ? S("_") : l->name, scope = scope_of(c);
    if (is_future_keyword(name)) {
        compile_error(c, "rego_unsafe_var_error", loc,
                      "var %.*s is unsafe%.*s (hint: `import future.keywords.%.*s` to import a "
                      "future keyword)",
                      STR_FMT(name), STR_FMT(scope), STR_FMT(name));
        return;
    }
    compile_error(c, "rego_unsafe_var_error", loc, "var %.*s is unsafe%.*s", STR_FMT(name),
                  STR_FMT(scope));
}

static bool is_made_up(const struct local *l)
{
    return l->name.n > 1 && l->name.p[0] == '$' && (l->name.p[1] < '0' || l->name.p[1] > '9');
}

/* A variable that is assigned from something unsafe is not the cause: it is told of only alone. */
void order_report(struct compiler *c)
{
    bool cause = false, told = false;
    for (size_t i = 0; i < c->n_unsafe; i++) {
        cause |= !c->unsafe[i].assigned && !is_made_up(c->unsafe[i].local);
    }
    for (size_t i = 0; i < c->n_unsafe; i++) {
        const struct unsafe_var *u = &c->unsafe[i];
        if (!is_made_up(u->local) && !(cause && u->assigned)) {
            unsafe_error(c, u->local, u->loc);
            told = true;
        }
    }
    for (size_t i = 0; i < c->n_unsafe && !told; i++) {
        compile_error(c, "rego_unsafe_var_error", c->unsafe[i].loc, "expression is unsafe%.*s",
                      STR_FMT(scope_of(c)));
    }
    c->n_unsafe = 0;
}

static bool order_closures(struct compiler *c, struct body *b, const struct varset *globals)
{
    struct varset seen = copy_set(c, globals);
    bool ok = true;
    for (size_t i = 0; i < b->n; i++) {
        c->at = b->v[i]->loc;
        ok &= order_closures_of(c, b->v[i], &seen);
        needed_vars(b->v[i], &seen);
    }
    return ok;
}

bool order_body(struct compiler *c, struct body *b, struct varset *safe_in)
{
    struct varset globals = copy_set(c, safe_in), body_vars = varset_new(c);
    struct varset safe = copy_set(c, safe_in), placed = copy_set(c, safe_in);
    struct work *w = arena_array(c->a, struct work, b->n + 1);
    for (size_t i = 0; i < b->n; i++) {
        w[i].e = b->v[i];
        w[i].unsafe = varset_new(c);
        needed_vars(b->v[i], &w[i].unsafe);
        add_all(&body_vars, &w[i].unsafe);
        remove_all(&w[i].unsafe, &globals);
    }
    struct body ordered = {.loc = b->loc};
    while (place_some(c, w, b->n, &ordered, &safe, &placed, &body_vars, &globals)) {
    }
    bool ok = ordered.n == b->n;
    for (size_t i = 0; i < b->n; i++) {
        if (!w[i].done) {
            note_expr(c, w[i].e, &w[i].unsafe);
        }
    }
    ok &= order_closures(c, &ordered, &globals);
    add_all(safe_in, &safe);
    add_all(safe_in, &body_vars);
    if (ok) {
        *b = ordered;
    }
    return ok;
}

struct in_head {
    const struct local *local;
    struct loc loc;
};

static bool find_in_head(struct visitor *v, struct term *t)
{
    struct in_head *f = v->ctx;
    if (t->type == T_VAR && t->var.local == f->local && f->loc.row == 0) {
        f->loc = t->loc;
    }
    return f->loc.row == 0;
}

static struct loc place_in_head(struct head *h, const struct local *l)
{
    struct in_head f = {.local = l};
    struct visitor v = {.term = find_in_head, .ctx = &f};
    visit_head(&v, h);
    return f.loc.row != 0 ? f.loc : l->loc;
}

/* Every variable of the head must occur in the body or among the parameters. */
void order_check_head(struct compiler *c, struct crule *cr)
{
    struct varset known = varset_new(c), vars = varset_new(c);
    struct head *h = cr->rule->head;
    for (size_t i = 0; i < h->n_args; i++) {
        direct_vars(h->args[i], &known);
    }
    for (size_t i = 0; i < cr->rule->body->n; i++) {
        needed_vars(cr->rule->body->v[i], &known);
    }
    for (size_t i = 1; i < h->ref->list.n; i++) {
        direct_vars(h->ref->list.v[i], &vars);
    }
    if (h->key != NULL) {
        direct_vars(h->key, &vars);
    }
    if (h->value != NULL) {
        direct_vars(h->value, &vars);
    }
    remove_all(&vars, &known);
    for (uint32_t id = 0; id < c->n_locals && !is_empty(&vars); id++) {
        struct local *l = varset_has(&vars, id) ? local_by_id(c, id) : NULL;
        if (l != NULL && !is_made_up(l)) {
            compile_error(c, "rego_unsafe_var_error", place_in_head(h, l), "var %.*s is unsafe%.*s",
                          STR_FMT(l->wildcard ? S("_") : l->name), STR_FMT(scope_of(c)));
        }
    }
}

bool order_rule(struct compiler *c, struct rule *r)
{
    struct varset safe = varset_new(c);
    for (size_t i = 0; i < r->head->n_args; i++) {
        direct_vars(r->head->args[i], &safe);
    }
    bool ok = order_body(c, r->body, &safe);
    order_report(c);
    return ok;
}
