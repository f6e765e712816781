/* The rules that follow fragments from one to the next. */
#include "authz/rego/builtin/graphql/validate.h"

/* PossibleFragmentSpreads: some type must be both what is here and what the fragment is for. */
void gql_check_spread(struct gql_walk *w, const struct gql_selection *s, struct str condition)
{
    struct gql_definition *parent = s->object, *t = gql_type_def(w->s, condition);
    if (parent == NULL || !gql_is_composite(parent) || t == NULL || !gql_is_composite(t)) {
        return;
    }
    struct gql_list self = {(void *[]){parent}, 1, 1};
    const struct gql_list *here =
        gql_kind_is(parent, "OBJECT") ? &self : gql_possible(w->s, parent->name);
    const struct gql_list *there = gql_possible(w->s, t->name);
    for (size_t i = 0; i < there->n; i++) {
        if (gql_named(w->g, here, ((const struct gql_definition *)there->v[i])->name) != NULL) {
            return;
        }
    }
    if (s->kind == GQL_INLINE) {
        gql_report(
            w, &s->pos,
            "Fragment cannot be spread here as objects of type \"%.*s\" can never be of type "
            "\"%.*s\".",
            STR_FMT(parent->name), STR_FMT(condition));
    } else {
        gql_report(
            w, &s->pos,
            "Fragment \"%.*s\" cannot be spread here as objects of type \"%.*s\" can never be "
            "of type \"%.*s\".",
            STR_FMT(s->name), STR_FMT(parent->name), STR_FMT(condition));
    }
}

/* NoFragmentCycles */

/* Those below a selection set: its own first, then those of its last inner set, and so on. */
static struct gql_list spreads_in(struct gql_walk *w, const struct gql_list *set)
{
    struct gql_list out = {0}, waiting = {0};
    gql_push(w->g, &waiting, (void *)(uintptr_t)set);
    while (waiting.n > 0 && !gql_spend(w->g, 1)) {
        const struct gql_list *l = waiting.v[--waiting.n];
        for (size_t i = 0; i < l->n; i++) {
            struct gql_selection *s = l->v[i];
            if (s->kind == GQL_SPREAD) {
                gql_push(w->g, &out, s);
            } else {
                gql_push(w->g, &waiting, &s->selections);
            }
        }
    }
    return out;
}

struct trail {
    struct gql_list spreads; /* from the fragment on which the search began */
    struct gql_list open;    /* gql_fragment: whose spreads are being followed, in order */
};

static void report_cycle(struct gql_walk *w, const struct trail *t, size_t from)
{
    struct buf via;
    const struct gql_selection *last = t->spreads.v[t->spreads.n - 1];
    buf_init(&via, 4096);
    for (size_t i = from; i + 1 < t->spreads.n; i++) {
        buf_puts(&via, i == from ? S(" via \"") : S(", \""));
        buf_puts(&via, ((const struct gql_selection *)t->spreads.v[i])->name);
        buf_putc(&via, '"');
    }
    gql_report(w, &last->pos, "Cannot spread fragment \"%.*s\" within itself%.*s.",
               STR_FMT(last->name), STR_FMT(buf_str(&via)));
    buf_release(&via);
}

static void follow(struct gql_walk *w, struct trail *t, struct gql_fragment *f)
{
    if (gql_named(w->g, &w->cycles_seen, f->name) != NULL || !gql_walk_enter(w)) {
        return;
    }
    gql_push(w->g, &w->cycles_seen, f);
    struct gql_list spreads = spreads_in(w, &f->selections);
    gql_push(w->g, &t->open, f);
    for (size_t i = 0; i < spreads.n && !gql_spend(w->g, 1); i++) {
        struct gql_selection *s = spreads.v[i];
        size_t from = 0;
        while (from < t->open.n &&
               !str_eq(((const struct gql_fragment *)t->open.v[from])->name, s->name)) {
            from++;
        }
        (void)gql_spend(w->g, from);
        gql_push(w->g, &t->spreads, s);
        if (from < t->open.n) {
            report_cycle(w, t, from);
        } else {
            struct gql_fragment *next = gql_fragment_named(w, s->name);
            if (next != NULL) {
                follow(w, t, next);
            }
        }
        t->spreads.n--;
    }
    t->open.n--;
    w->depth--;
}

void gql_check_cycles(struct gql_walk *w, struct gql_fragment *f)
{
    struct trail t = {0};
    follow(w, &t, f);
}

/* MaxIntrospectionDepth: lists of types inside of lists of types, three deep. */

enum { INTROSPECTION_LISTS_MAX = 3 };

static bool too_deep(struct gql_walk *w, const struct gql_list *set, struct gql_list *open,
                     unsigned lists);

static bool field_too_deep(struct gql_walk *w, const struct gql_selection *f, struct gql_list *open,
                           unsigned lists)
{
    static const char *const names[] = {"fields", "interfaces", "possibleTypes", "inputFields"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (str_is(f->name, names[i]) && ++lists >= INTROSPECTION_LISTS_MAX) {
            return true;
        }
    }
    return too_deep(w, &f->selections, open, lists);
}

static bool spread_too_deep(struct gql_walk *w, const struct gql_selection *s,
                            struct gql_list *open, unsigned lists)
{
    if (s->fragment == NULL || gql_named(w->g, open, s->name) != NULL) {
        return false;
    }
    gql_push(w->g, open, s->fragment);
    bool deep = too_deep(w, &s->fragment->selections, open, lists);
    open->n--;
    return deep;
}

static bool too_deep(struct gql_walk *w, const struct gql_list *set, struct gql_list *open,
                     unsigned lists)
{
    bool deep = false;
    if (!gql_walk_enter(w)) {
        return false;
    }
    for (size_t i = 0; i < set->n && !deep && !gql_spend(w->g, 1); i++) {
        const struct gql_selection *s = set->v[i];
        deep = s->kind == GQL_FIELD    ? field_too_deep(w, s, open, lists)
               : s->kind == GQL_SPREAD ? spread_too_deep(w, s, open, lists)
                                       : too_deep(w, &s->selections, open, lists);
    }
    w->depth--;
    return deep;
}

void gql_check_introspection(struct gql_walk *w, const struct gql_selection *f)
{
    struct gql_list open = {0};
    if ((str_is(f->name, "__schema") || str_is(f->name, "__type")) &&
        field_too_deep(w, f, &open, 0)) {
        gql_report(w, &f->pos, "Maximum introspection depth exceeded");
    }
}

/* SingleFieldSubscriptions */

struct top {
    struct gql_list fields; /* gql_selection, one of each name */
    struct gql_list open;   /* gql_fragment that was entered */
};

static void top_fields(struct gql_walk *w, const struct gql_list *set, struct top *t)
{
    if (!gql_walk_enter(w)) {
        return;
    }
    for (size_t i = 0; i < set->n && !gql_spend(w->g, 1); i++) {
        struct gql_selection *s = set->v[i];
        if (s->kind == GQL_FIELD) {
            if (gql_named(w->g, &t->fields, s->name) == NULL) {
                gql_push(w->g, &t->fields, s);
            }
        } else if (s->kind == GQL_INLINE) {
            top_fields(w, &s->selections, t);
        } else if (s->fragment == NULL) {
            break; /* as upstream: what follows an unknown fragment is not looked at */
        } else if (gql_named(w->g, &t->open, s->fragment->name) == NULL) {
            gql_push(w->g, &t->open, s->fragment);
            top_fields(w, &s->fragment->selections, t);
        }
    }
    w->depth--;
}

void gql_check_subscription(struct gql_walk *w, const struct gql_operation *o)
{
    struct top t = {0};
    if (w->s->subscription == NULL || !str_is(o->operation, "subscription")) {
        return;
    }
    top_fields(w, &o->selections, &t);
    struct str name = S("Anonymous Subscription");
    if (o->name.n > 0) {
        name = arena_printf(w->g->a, "Subscription %.*s", STR_FMT(gql_quoted(w->g, o->name)));
    }
    if (t.fields.n > 1) {
        gql_report(w, &((const struct gql_selection *)t.fields.v[1])->pos,
                   "%.*s must select only one top level field.", STR_FMT(name));
    }
    for (size_t i = 0; i < t.fields.n; i++) {
        const struct gql_selection *f = t.fields.v[i];
        if (str_starts(f->name, S("__"))) {
            gql_report(w, &f->pos, "%.*s must not select an introspection top level field.",
                       STR_FMT(name));
        }
    }
}
