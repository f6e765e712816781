/* The rules about literals and variables in the places where they stand. */
#include "authz/rego/builtin/graphql/validate.h"

#include <math.h>
#include <stdlib.h>

/* NoUndefinedVariables */
static void check_defined(struct gql_walk *w, const struct gql_value *v)
{
    if (w->op == NULL || v->kind != GQL_VARIABLE || v->variable != NULL) {
        return;
    }
    if (w->op->name.n > 0) {
        gql_report(w, &v->pos, "Variable \"$%.*s\" is not defined by operation \"%.*s\".",
                   STR_FMT(v->raw), STR_FMT(w->op->name));
    } else {
        gql_report(w, &v->pos, "Variable \"$%.*s\" is not defined.", STR_FMT(v->raw));
    }
}

/* UniqueInputFieldNames */
static void check_unique_fields(struct gql_walk *w, const struct gql_value *v)
{
    for (size_t i = 1; v->kind == GQL_OBJECT && i < v->children.n; i++) {
        const struct gql_child *c = v->children.v[i];
        struct gql_list before = {v->children.v, i, i};
        if (gql_named(w->g, &before, c->name) != NULL) {
            gql_report(w, &c->pos, "There can be only one input field named \"%.*s\".",
                       STR_FMT(c->name));
        }
    }
}

/* ValuesOfCorrectType */

enum integer { NOT_INTEGER, FITS_32, FITS_64, TOO_LARGE };

static enum integer integer_of(struct str raw)
{
    bool minus = raw.n > 0 && raw.p[0] == '-', sign = minus || (raw.n > 0 && raw.p[0] == '+');
    uint64_t most = (uint64_t)INT64_MAX + minus, v = 0;
    if (raw.n == (size_t)sign) {
        return NOT_INTEGER;
    }
    bool large = false;
    for (size_t i = sign; i < raw.n; i++) {
        unsigned digit = (unsigned)(raw.p[i] - '0');
        if (digit > 9) {
            return NOT_INTEGER;
        }
        large = large || v > (most - digit) / 10;
        v = v * 10 + digit;
    }
    return large ? TOO_LARGE : v <= (uint64_t)INT32_MAX + minus ? FITS_32 : FITS_64;
}

/* Does the literal stand for nothing that can be counted with? */
static bool unreadable(struct gql_walk *w, const struct gql_value *v)
{
    enum integer n;
    if (gql_spend(w->g, 1)) {
        return false;
    }
    if (v->kind == GQL_INT) {
        n = integer_of(v->raw);
        return n == NOT_INTEGER || n == TOO_LARGE;
    }
    if (v->kind == GQL_FLOAT) {
        char *end, *text = arena_cstr(w->g->a, v->raw);
        return !isfinite(strtod(text, &end)) || *end != '\0' || end == text;
    }
    if (v->kind == GQL_LIST || v->kind == GQL_OBJECT) {
        for (size_t i = 0; i < v->children.n; i++) {
            if (unreadable(w, ((const struct gql_child *)v->children.v[i])->value)) {
                return true;
            }
        }
    }
    return false;
}

static bool is_builtin_scalar(const struct gql_definition *d)
{
    static const char *const names[] = {"Int", "Float", "String", "Boolean", "ID"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (str_is(d->name, names[i])) {
            return true;
        }
    }
    return false;
}

static bool one_of(struct str s, const char *a, const char *b, const char *c)
{
    return str_is(s, a) || str_is(s, b) || str_is(s, c);
}

static struct str unexpected(struct gql_walk *w, const struct gql_value *v)
{
    struct arena *a = w->g->a;
    struct str type = gql_type_text(w->g, v->expected), text = gql_value_text(w->g, v);
    if (one_of(type, "Int", "Int!", "Int")) {
        enum integer n = integer_of(v->raw);
        return arena_printf(a, "Int cannot represent %s value: %.*s",
                            n == FITS_64 || n == TOO_LARGE ? "non 32-bit signed integer"
                                                           : "non-integer",
                            STR_FMT(text));
    }
    if (one_of(type, "String", "String!", "[String]")) {
        return arena_printf(a, "String cannot represent a non string value: %.*s", STR_FMT(text));
    }
    if (one_of(type, "Boolean", "Boolean!", "Boolean")) {
        return arena_printf(a, "Boolean cannot represent a non boolean value: %.*s", STR_FMT(text));
    }
    if (one_of(type, "Float", "Float!", "Float")) {
        return arena_printf(a, "Float cannot represent non numeric value: %.*s", STR_FMT(text));
    }
    if (one_of(type, "ID", "ID!", "ID")) {
        return arena_printf(a, "ID cannot represent a non-string and non-integer value: %.*s",
                            STR_FMT(text));
    }
    if (gql_kind_is(v->def, "ENUM")) {
        return arena_printf(a, "Enum \"%.*s\" cannot represent non-enum value: %.*s.",
                            STR_FMT(type), STR_FMT(text));
    }
    return arena_printf(a, "Expected value of type \"%.*s\", found %.*s.", STR_FMT(type),
                        STR_FMT(text));
}

static void report_unexpected(struct gql_walk *w, const struct gql_value *v)
{
    gql_report(w, &v->pos, "%.*s", STR_FMT(unexpected(w, v)));
}

static struct str suggest_value(struct gql_walk *w, const struct gql_value *v, bool quoted)
{
    struct gql_strs names = {0};
    for (size_t i = 0; gql_kind_is(v->def, "ENUM") && i < v->def->values.n; i++) {
        gql_push_str(w->g, &names, ((const struct gql_enum_value *)v->def->values.v[i])->name);
    }
    return gql_suggest(w, "Did you mean the enum value", quoted, v->raw, &names);
}

static void check_text(struct gql_walk *w, const struct gql_value *v)
{
    if (gql_kind_is(v->def, "ENUM")) {
        gql_report(w, &v->pos, "Enum \"%.*s\" cannot represent non-enum value: %.*s.%.*s",
                   STR_FMT(gql_type_text(w->g, v->expected)), STR_FMT(gql_value_text(w->g, v)),
                   STR_FMT(suggest_value(w, v, true)));
    } else if (!one_of(v->def->name, "String", "ID", "ID")) {
        report_unexpected(w, v);
    }
}

static void check_enum(struct gql_walk *w, const struct gql_value *v)
{
    if (!gql_kind_is(v->def, "ENUM")) {
        gql_report(w, &v->pos, "%.*s%.*s", STR_FMT(unexpected(w, v)),
                   STR_FMT(suggest_value(w, v, false)));
    } else if (gql_named(w->g, &v->def->values, v->raw) == NULL) {
        gql_report(w, &v->pos, "Value \"%.*s\" does not exist in \"%.*s\" enum.%.*s",
                   STR_FMT(v->raw), STR_FMT(gql_type_text(w->g, v->expected)),
                   STR_FMT(suggest_value(w, v, true)));
    }
}

/* An input object of which one key alone is given (@oneOf). */
static void check_single_key(struct gql_walk *w, const struct gql_value *v)
{
    if (v->children.n != 1) {
        gql_report(w, &v->pos, "OneOf Input Object \"%.*s\" must specify exactly one key.",
                   STR_FMT(v->def->name));
        return;
    }
    const struct gql_value *only = ((const struct gql_child *)v->children.v[0])->value;
    if (only->kind == GQL_NULL && v->def->fields.n > 0) {
        gql_report(w, &only->pos, "Field \"%.*s.%.*s\" must be non-null.", STR_FMT(v->def->name),
                   STR_FMT(((const struct gql_field *)v->def->fields.v[0])->name));
    }
}

static void check_object(struct gql_walk *w, const struct gql_value *v)
{
    const struct gql_list *fields = &v->def->fields;
    for (size_t i = 0; i < fields->n; i++) {
        const struct gql_field *f = fields->v[i];
        if (f->type->non_null && f->fallback == NULL &&
            gql_named(w->g, &v->children, f->name) == NULL) {
            gql_report(
                w, &v->pos, "Field \"%.*s.%.*s\" of required type \"%.*s\" was not provided.",
                STR_FMT(v->def->name), STR_FMT(f->name), STR_FMT(gql_type_text(w->g, f->type)));
        }
    }
    for (size_t i = 0; i < v->def->directives.n; i++) {
        if (str_is(((const struct gql_directive *)v->def->directives.v[i])->name, "oneOf")) {
            check_single_key(w, v);
        }
    }
    for (size_t i = 0; i < v->children.n; i++) {
        const struct gql_child *c = v->children.v[i];
        struct gql_strs names = {0};
        if (gql_named(w->g, fields, c->name) != NULL) {
            continue;
        }
        for (size_t k = 0; k < fields->n; k++) {
            gql_push_str(w->g, &names, ((const struct gql_field *)fields->v[k])->name);
        }
        gql_report(w, &c->pos, "Field \"%.*s\" is not defined by type \"%.*s\".%.*s",
                   STR_FMT(c->name), STR_FMT(v->def->name),
                   STR_FMT(gql_suggest(w, "Did you mean", true, c->name, &names)));
    }
}

/* What a literal of each kind may stand for. */
static void check_kind(struct gql_walk *w, const struct gql_value *v)
{
    struct str type = v->def->name;
    bool fits = true;
    switch ((enum gql_kind)v->kind) {
    case GQL_LIST:
        fits = v->expected->elem != NULL;
        break;
    case GQL_INT:
        fits = one_of(type, "Int", "Float", "ID");
        break;
    case GQL_FLOAT:
        fits = str_is(type, "Float");
        break;
    case GQL_BOOLEAN:
        fits = str_is(type, "Boolean");
        break;
    case GQL_STRING:
    case GQL_BLOCK:
        check_text(w, v);
        break;
    case GQL_ENUM:
        check_enum(w, v);
        break;
    case GQL_OBJECT:
        check_object(w, v);
        break;
    case GQL_NULL:
    case GQL_VARIABLE:
        break;
    }
    if (!fits) {
        report_unexpected(w, v);
    }
}

static void check_type(struct gql_walk *w, const struct gql_value *v)
{
    if (v->def == NULL || v->expected == NULL) {
        return;
    }
    if (v->kind == GQL_NULL && v->expected->non_null) {
        gql_report(w, &v->pos, "Expected value of type \"%.*s\", found %.*s.",
                   STR_FMT(gql_type_text(w->g, v->expected)), STR_FMT(v->raw));
    }
    if (gql_kind_is(v->def, "SCALAR") && !is_builtin_scalar(v->def)) {
        return; /* what a scalar of the schema's own looks like is not known */
    }
    if (unreadable(w, v)) {
        report_unexpected(w, v);
    }
    check_kind(w, v);
}

/* VariablesInAllowedPosition */

static void check_position(struct gql_walk *w, const struct gql_value *v)
{
    if (v->kind != GQL_VARIABLE || v->expected == NULL || v->variable == NULL || w->op == NULL) {
        return;
    }
    const struct gql_variable *var = v->variable;
    struct gql_type wanted = *v->expected;
    if ((var->fallback != NULL && var->fallback->kind != GQL_NULL) || v->expected_default) {
        wanted.non_null = false; /* a default stands in for null */
    }
    if (!gql_type_fits(var->type, &wanted)) {
        gql_report(w, &v->pos,
                   "Variable \"$%.*s\" of type \"%.*s\" used in position expecting type \"%.*s\".",
                   STR_FMT(v->raw), STR_FMT(gql_type_text(w->g, var->type)),
                   STR_FMT(gql_type_text(w->g, v->expected)));
    }
}

static void check_single_key_variables(struct gql_walk *w, const struct gql_value *v)
{
    if (v->kind != GQL_OBJECT || v->def == NULL ||
        gql_named(w->g, &v->def->directives, S("oneOf")) == NULL) {
        return;
    }
    for (size_t i = 0; i < v->children.n; i++) {
        const struct gql_value *c = ((const struct gql_child *)v->children.v[i])->value;
        if (c->kind == GQL_VARIABLE && c->variable != NULL && !c->variable->type->non_null) {
            gql_report(w, c->variable->pos.known ? &c->variable->pos : &c->pos,
                       "Variable \"$%.*s\" is of type \"%.*s\" but must be non-nullable to be used "
                       "for OneOf Input Object \"%.*s\".",
                       STR_FMT(c->raw), STR_FMT(gql_type_text(w->g, c->variable->type)),
                       STR_FMT(v->def->name));
        }
    }
}

void gql_on_value(struct gql_walk *w, struct gql_value *v)
{
    check_defined(w, v);
    check_unique_fields(w, v);
    check_type(w, v);
    check_position(w, v);
    check_single_key_variables(w, v);
}
