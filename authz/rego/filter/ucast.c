/* Conditions as UCAST: fields with an operator and a value, under and, or, not. */
#include "authz/rego/filter/filter_priv.h"

static struct val node(struct arena *a, const char *type, const char *op, struct val field,
                       struct val value)
{
    struct vlist l = {.a = a};
    vlist_put(&l, "type", val_str(a, str_of(type)));
    vlist_put(&l, "operator", val_str(a, str_of(op)));
    if (!val_undef(field)) {
        vlist_put(&l, "field", field);
    }
    vlist_put(&l, "value", value);
    return vlist_object(&l);
}

static struct val mapping(struct val m, struct arena *a, struct str table, const char *key)
{
    struct val t = val_is(m, V_OBJECT) ? val_get(m, val_str(a, table)) : VAL_UNDEF;
    return val_is(t, V_OBJECT) ? val_get(t, val_str(a, str_of(key))) : VAL_UNDEF;
}

/* "table.column", by the names that the mappings give them. */
static struct val field_name(struct arena *a, const struct term *ref, struct val mappings)
{
    struct str before =
        ref->list.v[1]->type == T_STRING ? ref->list.v[1]->str : ref->list.v[1]->var.name;
    struct str after = STR_EMPTY;
    bool column = ref->list.n > 2;
    if (column) {
        const struct term *t = ref->list.v[2];
        after = t->type == T_STRING ? t->str : t->var.name;
    }
    struct val table = mapping(mappings, a, before, "$table");
    if (val_is(table, V_STRING)) {
        after = before;
        before = val_text(table);
        column = true;
    }
    struct str out_table = before, out_column = after;
    struct val self = mapping(mappings, a, before, "$self");
    if (val_is(self, V_STRING)) {
        out_table = val_text(self);
    }
    struct val own = column ? mapping(mappings, a, before, arena_cstr(a, after)) : VAL_UNDEF;
    if (val_is(own, V_STRING)) {
        out_column = val_text(own);
    }
    return column
               ? val_str(a, arena_printf(a, "%.*s.%.*s", STR_FMT(out_table), STR_FMT(out_column)))
               : val_str(a, out_table);
}

static struct val constant(struct arena *a, const struct term *t)
{
    struct vlist l = {.a = a};
    switch (t->type) {
    case T_NULL:
        return VAL_NULL;
    case T_BOOL:
        return val_bool(t->boolean);
    case T_NUMBER:
        return val_num(a, t->num);
    case T_STRING:
        return val_str(a, t->str);
    case T_ARRAY:
    case T_SET:
        for (size_t i = 0; i < t->list.n; i++) {
            struct val v = constant(a, t->list.v[i]);
            if (val_undef(v)) {
                return VAL_UNDEF;
            }
            vlist_add(&l, v);
        }
        return vlist_array(&l);
    case T_OBJECT:
        for (size_t i = 0; i < t->list.n; i++) {
            struct val v = constant(a, t->list.v[i]);
            if (val_undef(v)) {
                return VAL_UNDEF;
            }
            vlist_add(&l, v);
        }
        return vlist_object(&l);
    default:
        return VAL_UNDEF;
    }
}

static const char *const operators[][3] = {
    /* Rego's name, UCAST's, and UCAST's when the field stands on the right */
    {"eq", "eq", "eq"},
    {"neq", "ne", "ne"},
    {"lt", "lt", "gt"},
    {"lte", "lte", "gte"},
    {"gt", "gt", "lt"},
    {"gte", "gte", "lte"},
    {"startswith", "startswith", NULL},
    {"endswith", "endswith", NULL},
    {"contains", "contains", NULL},
    {"internal.member_2", "in", NULL}};

static struct val call_node(struct filter_run *r, const struct term *t, struct val mappings)
{
    struct str name = term_call_name(r->a, t);
    const struct term *field = t->list.v[1], *other = t->list.v[2];
    bool flip = field->type != T_REF;
    if (flip) {
        field = t->list.v[2];
        other = t->list.v[1];
    }
    if (field->type != T_REF) {
        return VAL_UNDEF;
    }
    for (size_t i = 0; i < ARRAY_LEN(operators); i++) {
        if (!str_is(name, operators[i][0])) {
            continue;
        }
        const char *op = operators[i][flip ? 2 : 1];
        struct val value = VAL_UNDEF;
        if (other->type == T_REF && i < 6) {
            struct vlist l = {.a = r->a};
            vlist_put(&l, "field", field_name(r->a, other, mappings));
            value = vlist_object(&l);
        } else if (other->type == T_VAR && i == 0) { /* `_ = field`: it is there */
            op = "ne";
            value = VAL_NULL;
        } else {
            value = constant(r->a, other);
        }
        return op == NULL || val_undef(value)
                   ? VAL_UNDEF
                   : node(r->a, "field", op, field_name(r->a, field, mappings), value);
    }
    return VAL_UNDEF;
}

static struct val expr_node(struct filter_run *r, const struct expr *e, struct val mappings)
{
    if (e->kind != E_TERM || e->term->type != T_CALL || e->term->list.n != 3 || e->n_with > 0) {
        return VAL_UNDEF;
    }
    struct val v = call_node(r, e->term, mappings);
    if (!e->negated || val_undef(v)) {
        return v;
    }
    return node(r->a, "compound", "not", VAL_UNDEF, val_array(r->a, &v, 1));
}

static struct val joined(struct filter_run *r, struct vlist *parts, const char *op)
{
    if (parts->n == 0) {
        return val_empty_object();
    }
    return parts->n == 1 ? parts->v[0] : node(r->a, "compound", op, VAL_UNDEF, vlist_array(parts));
}

struct val filter_ucast(struct filter_run *r, struct val mappings)
{
    struct vlist any = {.a = r->a};
    for (size_t i = 0; i < r->partial->n_queries; i++) {
        const struct body *b = r->partial->queries[i];
        struct vlist all = {.a = r->a};
        for (size_t k = 0; k < b->n; k++) {
            struct val v = expr_node(r, b->v[k], mappings);
            if (val_undef(v)) {
                return VAL_UNDEF;
            }
            vlist_add(&all, v);
        }
        if (all.n == 0) {
            return val_empty_object(); /* this one always holds, so the whole does */
        }
        vlist_add(&any, joined(r, &all, "and"));
    }
    return joined(r, &any, "or");
}
