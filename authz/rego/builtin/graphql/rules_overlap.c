/*
 * OverlappingFieldsCanBeMerged (section 5.3.2): fields that answer under one name must be one field.
 *
 * The fields of a selection set are compared among themselves; those of a fragment that it spreads are
 * compared with them, and fragments with each other, once a pair. What two fields select is compared
 * in the same manner below them. Memory of what was compared keeps cycles of fragments from going on
 * for ever; the bound on work keeps the rest in reason.
 */
#include "authz/rego/builtin/graphql/validate.h"

#include <stdlib.h>

/* The fields of a set by the name under which they answer, in the order of first appearance. */
struct answer {
    struct str name;
    struct gql_list fields; /* gql_selection */
};

struct answers {
    struct gql_list all;     /* struct answer */
    struct gql_list spreads; /* gql_selection */
};

struct gql_overlap {
    struct map pairs;         /* "a b" -> exclusive or merged below */
    struct gql_strs compared; /* fragments that were compared with the fields at hand */
};

struct conflict {
    struct str name, why; /* `why` empty: because of `inner` */
    struct gql_list inner;
    struct gql_pos pos;
};

static char exclusive_mark, merged_mark;

void gql_overlap_init(struct gql_walk *w)
{
    w->overlap = arena_new(w->g->a, struct gql_overlap);
    map_init(&w->overlap->pairs);
}

void gql_overlap_release(struct gql_walk *w)
{
    map_release(&w->overlap->pairs);
}

static struct str answer_name(const struct gql_selection *f)
{
    return f->alias.n > 0 ? f->alias : f->name;
}

/* Depth is that of inline fragments, bounded by the parser or the value. */
static void collect(struct gql_walk *w, const struct gql_list *set, struct map *index,
                    struct answers *out)
{
    for (size_t i = 0; i < set->n && !gql_spend(w->g, 1); i++) {
        struct gql_selection *s = set->v[i];
        if (s->kind == GQL_INLINE) {
            collect(w, &s->selections, index, out);
        } else if (s->kind == GQL_SPREAD) {
            gql_push(w->g, &out->spreads, s);
        } else {
            struct answer *a = map_get(index, answer_name(s));
            if (a == NULL) {
                a = arena_new(w->g->a, struct answer);
                a->name = answer_name(s);
                (void)map_set(index, a->name, a);
                gql_push(w->g, &out->all, a);
            }
            gql_push(w->g, &a->fields, s);
        }
    }
}

static struct answers answers_of(struct gql_walk *w, const struct gql_list *set)
{
    struct answers out = {0};
    struct map index;
    map_init(&index);
    collect(w, set, &index, &out);
    map_release(&index);
    return out;
}

static bool same_value(struct gql_walk *w, const struct gql_value *a, const struct gql_value *b);

static int by_name(const void *a, const void *b)
{
    return str_cmp((*(struct gql_child *const *)a)->name, (*(struct gql_child *const *)b)->name);
}

static void **by_field_name(struct gql_walk *w, const struct gql_list *l)
{
    void **v = arena_array(w->g->a, void *, l->n + 1);
    memcpy(v, l->v, l->n * sizeof *v);
    qsort(v, l->n, sizeof *v, by_name);
    return v;
}

static bool same_children(struct gql_walk *w, const struct gql_value *a, const struct gql_value *b)
{
    void **x = a->children.v, **y = b->children.v;
    if (a->kind == GQL_OBJECT && a->children.n > 1) {
        x = by_field_name(w, &a->children);
        y = by_field_name(w, &b->children);
    }
    for (size_t i = 0; i < a->children.n; i++) {
        const struct gql_child *c = x[i], *d = y[i];
        if (!str_eq(c->name, d->name) || !same_value(w, c->value, d->value)) {
            return false;
        }
    }
    return true;
}

static bool same_value(struct gql_walk *w, const struct gql_value *a, const struct gql_value *b)
{
    return !gql_spend(w->g, 1 + a->children.n) && a->kind == b->kind && str_eq(a->raw, b->raw) &&
           a->children.n == b->children.n && (a->children.n == 0 || same_children(w, a, b));
}

static bool same_arguments(struct gql_walk *w, const struct gql_list *a, const struct gql_list *b)
{
    if (a->n != b->n) {
        return false;
    }
    for (size_t i = 0; i < a->n; i++) {
        const struct gql_argument *x = a->v[i];
        bool found = false;
        for (size_t k = 0; k < b->n && !found && !gql_spend(w->g, 1); k++) {
            const struct gql_argument *y = b->v[k];
            found = str_eq(x->name, y->name) && same_value(w, x->value, y->value);
        }
        if (!found) {
            return false;
        }
    }
    return true;
}

static bool types_conflict(struct gql_walk *w, const struct gql_type *a, const struct gql_type *b)
{
    while (a->elem != NULL && b->elem != NULL) {
        a = a->elem;
        b = b->elem;
    }
    if (a->elem != NULL || b->elem != NULL || a->non_null != b->non_null) {
        return true;
    }
    const struct gql_definition *x = gql_type_def(w->s, a->named),
                                *y = gql_type_def(w->s, b->named);
    return x != NULL && y != NULL && gql_is_leaf(x) && gql_is_leaf(y) && !str_eq(x->name, y->name);
}

static void compare_sets(struct gql_walk *w, bool exclusive, const struct gql_list *a,
                         const struct gql_list *b, struct gql_list *out);

static struct conflict *conflict_of(struct gql_walk *w, const struct gql_selection *a,
                                    const struct gql_selection *b, struct str why)
{
    struct conflict *c = arena_new(w->g->a, struct conflict);
    c->name = answer_name(a);
    c->why = why;
    c->pos = b->pos;
    return c;
}

/* Fields of different objects never answer together: they need only agree in shape. */
static bool are_exclusive(const struct gql_selection *a, const struct gql_selection *b)
{
    return !str_eq(a->object->name, b->object->name) && gql_kind_is(a->object, "OBJECT") &&
           gql_kind_is(b->object, "OBJECT") && a->def != NULL && b->def != NULL;
}

static struct conflict *compare_fields(struct gql_walk *w, bool exclusive,
                                       const struct gql_selection *a, const struct gql_selection *b)
{
    struct arena *mem = w->g->a;
    if (a->object == NULL || b->object == NULL || gql_spend(w->g, 1)) {
        return NULL;
    }
    exclusive = exclusive || are_exclusive(a, b);
    if (!exclusive && !str_eq(a->name, b->name)) {
        return conflict_of(w, a, b,
                           arena_printf(mem, "\"%.*s\" and \"%.*s\" are different fields",
                                        STR_FMT(a->name), STR_FMT(b->name)));
    }
    if (!exclusive && !same_arguments(w, &a->arguments, &b->arguments)) {
        return conflict_of(w, a, b, S("they have differing arguments"));
    }
    if (a->def != NULL && b->def != NULL && types_conflict(w, a->def->type, b->def->type)) {
        return conflict_of(w, a, b,
                           arena_printf(mem, "they return conflicting types \"%.*s\" and \"%.*s\"",
                                        STR_FMT(gql_type_text(w->g, a->def->type)),
                                        STR_FMT(gql_type_text(w->g, b->def->type))));
    }
    struct gql_list inner = {0};
    if (gql_walk_enter(w)) {
        compare_sets(w, exclusive, &a->selections, &b->selections, &inner);
        w->depth--;
    }
    if (inner.n == 0) {
        return NULL;
    }
    struct conflict *c = conflict_of(w, a, b, STR_EMPTY);
    c->inner = inner;
    return c;
}

static void add(struct gql_walk *w, struct gql_list *out, struct conflict *c)
{
    if (c != NULL) {
        gql_push(w->g, out, c);
    }
}

static void compare_between(struct gql_walk *w, bool exclusive, const struct answers *a,
                            const struct answers *b, struct gql_list *out)
{
    for (size_t i = 0; i < a->all.n; i++) {
        const struct answer *x = a->all.v[i], *y = gql_named(w->g, &b->all, x->name);
        for (size_t k = 0; y != NULL && k < x->fields.n; k++) {
            for (size_t m = 0; m < y->fields.n; m++) {
                add(w, out, compare_fields(w, exclusive, x->fields.v[k], y->fields.v[m]));
            }
        }
    }
}

static bool same_answers(const struct answers *a, const struct answers *b)
{
    if (a->all.n != b->all.n) {
        return false;
    }
    for (size_t i = 0; i < a->all.n; i++) {
        const struct answer *x = a->all.v[i], *y = b->all.v[i];
        if (!str_eq(x->name, y->name) || x->fields.n != y->fields.n ||
            memcmp(x->fields.v, y->fields.v, x->fields.n * sizeof *x->fields.v) != 0) {
            return false;
        }
    }
    return true;
}

/* Fields with a fragment, and with those that it spreads. */
static void compare_with_fragment(struct gql_walk *w, bool exclusive, const struct answers *fields,
                                  const struct gql_selection *spread, struct gql_list *out)
{
    struct gql_strs *compared = &w->overlap->compared;
    if (gql_has_str(w->g, compared, spread->name)) {
        return;
    }
    gql_push_str(w->g, compared, spread->name);
    if (spread->fragment == NULL || !gql_walk_enter(w)) {
        return;
    }
    struct answers theirs = answers_of(w, &spread->fragment->selections);
    if (!same_answers(fields, &theirs)) {
        compare_between(w, exclusive, fields, &theirs, out);
        for (size_t i = 0; i < theirs.spreads.n; i++) {
            const struct gql_selection *inner = theirs.spreads.v[i];
            if (!str_eq(inner->name, spread->name)) {
                compare_with_fragment(w, exclusive, fields, inner, out);
            }
        }
    }
    w->depth--;
}

static bool was_compared(struct gql_walk *w, bool exclusive, struct str a, struct str b)
{
    struct map *pairs = &w->overlap->pairs;
    struct str key = arena_printf(w->g->a, "%.*s %.*s", STR_FMT(a), STR_FMT(b));
    const char *mark = map_get(pairs, key);
    if (mark != NULL && (exclusive || mark == &merged_mark)) {
        return true;
    }
    struct str back = arena_printf(w->g->a, "%.*s %.*s", STR_FMT(b), STR_FMT(a));
    char *now = exclusive ? &exclusive_mark : &merged_mark;
    (void)map_set(pairs, key, now);
    (void)map_set(pairs, back, now);
    return false;
}

/* Two fragments, and each with those that the other spreads. */
static void compare_fragments(struct gql_walk *w, bool exclusive, const struct gql_selection *a,
                              const struct gql_selection *b, struct gql_list *out)
{
    if (str_eq(a->name, b->name) || gql_spend(w->g, 1) ||
        was_compared(w, exclusive, a->name, b->name) || a->fragment == NULL ||
        b->fragment == NULL || !gql_walk_enter(w)) {
        return;
    }
    struct answers x = answers_of(w, &a->fragment->selections);
    struct answers y = answers_of(w, &b->fragment->selections);
    compare_between(w, exclusive, &x, &y, out);
    for (size_t i = 0; i < y.spreads.n; i++) {
        compare_fragments(w, exclusive, a, y.spreads.v[i], out);
    }
    for (size_t i = 0; i < x.spreads.n; i++) {
        compare_fragments(w, exclusive, x.spreads.v[i], b, out);
    }
    w->depth--;
}

static void compare_sets(struct gql_walk *w, bool exclusive, const struct gql_list *a,
                         const struct gql_list *b, struct gql_list *out)
{
    if (a->n == 0 && b->n == 0) {
        return;
    }
    struct answers x = answers_of(w, a), y = answers_of(w, b);
    compare_between(w, exclusive, &x, &y, out);
    for (size_t i = 0; i < y.spreads.n; i++) {
        w->overlap->compared.n = 0;
        compare_with_fragment(w, exclusive, &x, y.spreads.v[i], out);
    }
    for (size_t i = 0; i < x.spreads.n; i++) {
        w->overlap->compared.n = 0;
        compare_with_fragment(w, exclusive, &y, x.spreads.v[i], out);
    }
    for (size_t i = 0; i < x.spreads.n; i++) {
        for (size_t k = 0; k < y.spreads.n; k++) {
            compare_fragments(w, exclusive, x.spreads.v[i], y.spreads.v[k], out);
        }
    }
}

/* Depth is that of compare_sets, which made the conflicts. */
static void put_reason(struct buf *out, const struct conflict *c)
{
    if (c->inner.n == 0) {
        buf_puts(out, c->why);
        return;
    }
    for (size_t i = 0; i < c->inner.n; i++) {
        const struct conflict *inner = c->inner.v[i];
        buf_puts(out, i > 0 ? S(" and ") : STR_EMPTY);
        buf_printf(out, "subfields \"%.*s\" conflict because ", STR_FMT(inner->name));
        put_reason(out, inner);
    }
}

static void report(struct gql_walk *w, const struct conflict *c)
{
    struct buf why;
    buf_init(&why, GQL_ERRORS_MAX);
    put_reason(&why, c);
    gql_report(
        w, &c->pos,
        "Fields \"%.*s\" conflict because %.*s. Use different aliases on the fields to fetch "
        "both if this was intentional.",
        STR_FMT(c->name), STR_FMT(buf_str(&why)));
    buf_release(&why);
}

void gql_check_overlap(struct gql_walk *w, const struct gql_list *selections)
{
    struct gql_list conflicts = {0};
    if (selections->n == 0) {
        return;
    }
    struct answers own = answers_of(w, selections);
    for (size_t i = 0; i < own.all.n; i++) {
        const struct answer *a = own.all.v[i];
        for (size_t k = 0; k < a->fields.n; k++) {
            for (size_t m = k + 1; m < a->fields.n; m++) {
                add(w, &conflicts, compare_fields(w, false, a->fields.v[k], a->fields.v[m]));
            }
        }
    }
    w->overlap->compared.n = 0;
    for (size_t i = 0; i < own.spreads.n; i++) {
        compare_with_fragment(w, false, &own, own.spreads.v[i], &conflicts);
        for (size_t k = i + 1; k < own.spreads.n; k++) {
            compare_fragments(w, false, own.spreads.v[i], own.spreads.v[k], &conflicts);
        }
    }
    for (size_t i = 0; i < conflicts.n && !w->g->failed; i++) {
        report(w, conflicts.v[i]);
    }
}
