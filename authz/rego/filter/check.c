/* Which expressions a target cannot say, and why. */
#include "authz/rego/filter/filter_priv.h"

#include <stdarg.h>

static void complain(struct filter_run *r, struct loc loc, struct str file, const char *details,
                     const char *fmt, ...) PRINTF_LIKE(5, 6);

static void complain(struct filter_run *r, struct loc loc, struct str file, const char *details,
                     const char *fmt, ...)
{
    char text[4096];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    rego_errors_add(r->errors, "pe_fragment_error", file, loc, "%s", text);
    if (details != NULL) {
        r->errors->v[r->errors->n - 1].details = arena_str(r->a, str_of(details));
    }
}

static const char *text_of(struct filter_run *r, const struct term *t)
{
    struct buf b;
    buf_init(&b, 1 << 16);
    term_write(&b, t);
    const char *s = arena_cstr(r->a, buf_str(&b));
    buf_release(&b);
    return s;
}

static const char *expr_text(struct filter_run *r, const struct expr *e)
{
    struct buf b;
    buf_init(&b, 1 << 16);
    expr_write(&b, e);
    const char *s = arena_cstr(r->a, buf_str(&b));
    buf_release(&b);
    return s;
}

/* "unsupported for A\nunsupported for B", or NULL when all targets can. */
static const char *lacking(struct filter_run *r, unsigned feature, const char *feature_name,
                           const char *builtin)
{
    const char *s = NULL;
    for (size_t i = 0; i < r->n_targets; i++) {
        const struct capability *c = r->targets[i];
        const char *word = builtin != NULL ? arena_printf(r->a, " %s ", builtin).p : NULL;
        if (word != NULL ? strstr(c->builtins, word) != NULL : (c->features & feature) != 0) {
            continue;
        }
        struct str one = word != NULL ? arena_printf(r->a, "unsupported for %s", c->name)
                                      : arena_printf(r->a, "unsupported feature \"%s\" for %s",
                                                     feature_name, c->name);
        s = s == NULL ? one.p : arena_printf(r->a, "%s\n%s", s, one.p).p;
    }
    return s;
}

static bool is_data(const struct term *t)
{
    const struct term *head = t->type == T_REF ? t->list.v[0] : t;
    return head->type == T_VAR && str_is(head->var.name, "data");
}

static bool is_partial(const struct term *t)
{
    return t->type == T_REF && is_data(t) && t->list.n > 2 && t->list.v[1]->type == T_STRING &&
           str_is(t->list.v[1]->str, "partial");
}

/* What of the policy a support rule stands for. */
static const char *support_details(struct filter_run *r, const struct term *ref)
{
    const char *want = text_of(r, ref);
    for (size_t i = 0; i < r->partial->n_support; i++) {
        const struct module *m = r->partial->support[i];
        size_t count = 0;
        for (size_t k = 0; k < m->n_rules; k++) {
            const struct rule *rule = m->rules[k];
            struct term *path = term_copy(r->a, m->package);
            for (size_t j = 0; j < rule->head->ref->list.n; j++) {
                struct term *p = rule->head->ref->list.v[j];
                term_push(r->a, path, j == 0 ? term_string(r->a, p->var.name, p->loc) : p);
            }
            if (strcmp(text_of(r, path), want) != 0) {
                continue;
            }
            count++;
            const char *what = rule->is_default ? "default" : count > 1 ? "multi-value" : NULL;
            if (what != NULL) {
                struct term *plain = term_new(r->a, T_REF, ref->loc);
                for (size_t j = 0; j < ref->list.n; j++) {
                    if (j != 1) {
                        term_push(r->a, plain, ref->list.v[j]);
                    }
                }
                return arena_printf(r->a, "use of %s rule in %s", what, text_of(r, plain)).p;
            }
        }
    }
    return "";
}

static void check_statement(struct filter_run *r, const struct expr *e)
{
    const struct term *t = e->term;
    if (is_partial(t)) {
        complain(r, t->list.v[t->list.n - 1]->loc, e->file, NULL, "%s", support_details(r, t));
    } else if (is_data(t)) {
        const char *details = arena_printf(r->a, "has rule \"%s\" an `else`?", text_of(r, t)).p;
        complain(r, e->loc, e->file, details, "invalid data reference \"%s\"", expr_text(r, e));
    } else {
        const char *details = arena_printf(r->a, "try `%s != false`", expr_text(r, e)).p;
        complain(r, e->loc, e->file, details, "invalid statement \"%s\"", expr_text(r, e));
    }
}

static void check_form(struct filter_run *r, const struct expr *e)
{
    bool call = e->kind == E_TERM && e->term->type == T_CALL;
    if (e->negated) {
        const char *why = call ? lacking(r, CAN_NOT, "not", NULL) : NULL;
        if (!call) {
            complain(r, e->loc, e->file, NULL, "\"not\" not permitted");
        } else if (why != NULL) {
            complain(r, e->loc, e->file, NULL, "\"not\" not permitted: %s", why);
        }
    } else if (call) {
        return;
    } else if (e->kind == E_EVERY) {
        complain(r, e->loc, e->file, NULL, "\"every\" not permitted");
    } else if (e->n_with > 0) {
        complain(r, e->loc, e->file, NULL, "\"with\" not permitted");
    } else {
        check_statement(r, e);
    }
}

/* A name that stands for a column without its table. */
static bool is_short(struct filter_run *r, struct str name)
{
    struct val m = r->o->mappings.w == 0 ? VAL_UNDEF : r->o->mappings;
    for (uint32_t i = 0; val_is(m, V_OBJECT) && i < val_len(m); i++) {
        struct val inner = val_nth(m, i);
        struct val own = val_is(inner, V_OBJECT) ? val_get(inner, val_str(r->a, name)) : VAL_UNDEF;
        if (val_is(own, V_OBJECT) && !val_undef(val_get_str(own, "$table"))) {
            return true;
        }
    }
    return false;
}

static bool check_operand(struct filter_run *r, const struct expr *e, struct loc loc,
                          const char *op, const struct term *t)
{
    if (t->type == T_CALL) {
        loc = loc.row == 0 ? t->list.v[0]->loc : loc;
        complain(r, loc, e->file, NULL, "%s: nested call operand: %s", op, text_of(r, t));
        return false;
    }
    if (t->type != T_REF) {
        return true;
    }
    bool field =
        is_input_ref(t) && (t->list.n == 3 || (t->list.n == 2 && t->list.v[1]->type == T_STRING &&
                                               is_short(r, t->list.v[1]->str)));
    for (size_t i = 1; field && i < t->list.n; i++) {
        field = t->list.v[i]->type == T_STRING || t->list.v[i]->type == T_VAR;
    }
    if (!field) {
        complain(r, loc.row == 0 ? t->loc : loc, e->file, NULL, "%s: invalid ref operand: %s", op,
                 text_of(r, t));
    }
    return field;
}

static bool is_scalar(const struct term *t)
{
    return t->type <= T_STRING;
}

/* A comparison: one side a field, the other a value, a field, or for `=` nothing at all. */
static void check_comparison(struct filter_run *r, const struct expr *e, struct loc loc,
                             const struct term *x, const struct term *y, bool eq)
{
    size_t fields = (x->type == T_REF) + (y->type == T_REF);
    const struct term *sides[] = {x, y};
    if (is_scalar(x) || is_scalar(y)) {
        return;
    }
    if (eq && fields == 1) {
        for (size_t i = 0; i < 2; i++) {
            bool exists = sides[i]->type == T_VAR || sides[i]->type == T_REF;
            const char *why = exists ? lacking(r, CAN_EXIST, "existence-ref", NULL) : NULL;
            if (why != NULL) {
                complain(r, loc, e->file, NULL, "existence of field: %s", why);
                return;
            }
            if (!exists) {
                complain(r, loc, e->file, NULL, "both rhs and lhs non-scalar/non-ground");
                return;
            }
        }
        return;
    }
    if (fields != 2) {
        complain(r, loc, e->file, NULL, "both rhs and lhs non-scalar/non-ground");
    }
}

static void check_call(struct filter_run *r, const struct expr *e)
{
    const struct term *t = e->term;
    struct str name = term_call_name(r->a, t);
    const char *op = arena_cstr(r->a, name);
    bool eq = str_is(name, "eq");
    struct loc op_loc = eq ? (struct loc){0} : t->list.v[0]->loc;
    struct loc loc = op_loc.row != 0 ? op_loc : e->loc;
    bool compares = eq || str_is(name, "neq") || str_is(name, "lt") || str_is(name, "lte") ||
                    str_is(name, "gt") || str_is(name, "gte");
    bool first = str_is(name, "startswith") || str_is(name, "endswith") ||
                 str_is(name, "contains") || str_is(name, "internal.member_2");
    if (str_is(name, "internal.member_3")) {
        complain(r, loc, e->file, NULL, "invalid use of \"... in ...\"");
        return;
    }
    if (!compares && !first) {
        if (str_starts(name, S("data."))) {
            const char *details = arena_printf(r->a, "has function \"%s(...)\" an `else`?", op).p;
            complain(r, e->loc, e->file, details, "invalid data reference \"%s\"", expr_text(r, e));
        } else {
            complain(r, loc, e->file, NULL, "invalid builtin `%s`", op);
        }
        return;
    }
    const char *why = first ? lacking(r, 0, NULL, op) : NULL;
    if (why != NULL) {
        complain(r, loc, e->file, NULL, "invalid builtin `%s`: %s",
                 str_is(name, "internal.member_2") ? "in" : op, why);
        return;
    }
    if (t->list.n != 3) {
        complain(r, loc, e->file, NULL, "%s: missing operand", op);
        return;
    }
    const struct term *x = t->list.v[1], *y = t->list.v[2];
    if (!check_operand(r, e, op_loc, op, x) || !check_operand(r, e, op_loc, op, y)) {
        return;
    }
    why = x->type == T_REF && y->type == T_REF ? lacking(r, CAN_FIELDS, "field-ref", NULL) : NULL;
    if (why != NULL) {
        complain(r, loc, e->file, NULL, "reference to field: %s", why);
    } else if (compares) {
        check_comparison(r, e, loc, x, y, eq);
    } else if (x->type != T_REF) {
        complain(r, loc, e->file, NULL, "rhs of %s must be known", op);
    }
}

void filter_check(struct filter_run *r)
{
    for (size_t i = 0; i < r->partial->n_queries; i++) {
        const struct body *b = r->partial->queries[i];
        for (size_t k = 0; k < b->n; k++) {
            const struct expr *e = b->v[k];
            check_form(r, e);
            if (e->kind == E_TERM && e->term->type == T_CALL && e->n_with == 0) {
                check_call(r, e);
            }
        }
    }
}
