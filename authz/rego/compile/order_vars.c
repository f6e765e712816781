/* Which variables an expression needs, which it binds, and what stands in its closures. */
#include "authz/rego/compile/order_priv.h"
#include "authz/rego/syntax/visit.h"

#include <stdlib.h>

static void add_var(const struct term *t, struct varset *out)
{
    if (t->var.local != NULL) {
        varset_add(out, t->var.local->id);
    }
}

static void direct_in_operand(const struct body *b, struct varset *out)
{
    for (size_t i = 0; b != NULL && i < b->n; i++) {
        needed_vars(b->v[i], out);
    }
}

void direct_vars(const struct term *t, struct varset *out)
{
    switch (t->type) {
    case T_VAR:
        add_var(t, out);
        break;
    case T_REF:
    case T_CALL:
    case T_ARRAY:
    case T_SET:
    case T_OBJECT:
        for (size_t i = t->type == T_CALL; i < t->list.n; i++) {
            direct_vars(t->list.v[i], out);
        }
        break;
    case T_NOT:
    case T_AND:
    case T_OR:
        if (!t->logic.explicit_lhs) {
            direct_in_operand(t->logic.lhs, out);
        }
        if (!t->logic.explicit_rhs) {
            direct_in_operand(t->logic.rhs, out);
        }
        break;
    default:
        break;
    }
}

void needed_vars(const struct expr *e, struct varset *out)
{
    if (e->kind == E_TERM) {
        direct_vars(e->term, out);
    } else if (e->kind == E_EVERY) {
        direct_vars(e->every.domain, out);
    }
    for (size_t i = 0; i < e->n_with; i++) {
        direct_vars(e->with[i]->value, out);
    }
}

static void all_in_body(const struct body *b, struct varset *out);

static void all_vars(const struct term *t, struct varset *out)
{
    switch (t->type) {
    case T_VAR:
        add_var(t, out);
        break;
    case T_REF:
    case T_CALL:
    case T_ARRAY:
    case T_SET:
    case T_OBJECT:
    case T_TEMPLATE:
        for (size_t i = t->type == T_CALL; i < t->list.n; i++) {
            all_vars(t->list.v[i], out);
        }
        break;
    case T_EXPR: {
        struct expr *e = t->expr;
        struct body b = {.v = &e, .n = 1};
        all_in_body(&b, out);
        break;
    }
    case T_ARRAY_COMP:
    case T_SET_COMP:
    case T_OBJECT_COMP:
        if (t->comp.key != NULL) {
            all_vars(t->comp.key, out);
        }
        all_vars(t->comp.value, out);
        all_in_body(t->comp.body, out);
        break;
    case T_AND:
    case T_OR:
    case T_NOT:
        all_in_body(t->logic.lhs, out);
        all_in_body(t->logic.rhs, out);
        break;
    default:
        break;
    }
}

static void all_in_body(const struct body *b, struct varset *out)
{
    for (size_t i = 0; b != NULL && i < b->n; i++) {
        const struct expr *e = b->v[i];
        if (e->term != NULL) {
            all_vars(e->term, out);
        }
        if (e->kind == E_EVERY) {
            all_vars(e->every.domain, out);
            all_in_body(e->every.body, out);
        }
        for (size_t k = 0; k < e->n_with; k++) {
            all_vars(e->with[k]->value, out);
        }
    }
}

static void closures_in_term(const struct term *t, struct varset *out);

static void closures_in_operand(const struct body *b, bool explicit, struct varset *out)
{
    if (explicit) {
        all_in_body(b, out);
        return;
    }
    for (size_t i = 0; b != NULL && i < b->n; i++) {
        needed_vars(b->v[i], out);
        closure_vars(b->v[i], out);
    }
}

static void closures_in_term(const struct term *t, struct varset *out)
{
    switch (t->type) {
    case T_REF:
    case T_CALL:
    case T_ARRAY:
    case T_SET:
    case T_OBJECT:
        for (size_t i = t->type == T_CALL; i < t->list.n; i++) {
            closures_in_term(t->list.v[i], out);
        }
        break;
    case T_TEMPLATE:
    case T_ARRAY_COMP:
    case T_SET_COMP:
    case T_OBJECT_COMP:
        all_vars(t, out);
        break;
    case T_NOT:
    case T_AND:
    case T_OR:
        closures_in_operand(t->logic.lhs, t->logic.explicit_lhs, out);
        closures_in_operand(t->logic.rhs, t->logic.explicit_rhs, out);
        break;
    default:
        break;
    }
}

void closure_vars(const struct expr *e, struct varset *out)
{
    if (e->kind == E_TERM) {
        closures_in_term(e->term, out);
    } else if (e->kind == E_EVERY) {
        closures_in_term(e->every.domain, out);
        all_in_body(e->every.body, out);
    }
    for (size_t i = 0; i < e->n_with; i++) {
        closures_in_term(e->with[i]->value, out);
    }
}

static bool all_safe(const struct term *t, const struct varset *safe)
{
    struct varset vars = {.words = safe->words};
    uint64_t few[16] = {0};
    uint64_t *many = safe->words > ARRAY_LEN(few) ? calloc(safe->words, sizeof *many) : NULL;
    vars.bits = many != NULL ? many : few;
    direct_vars(t, &vars);
    bool ok = true;
    for (size_t i = 0; i < safe->words && ok; i++) {
        ok = (vars.bits[i] & ~safe->bits[i]) == 0;
    }
    free(many);
    return ok;
}

static void outputs_of_term(const struct term *t, const struct varset *safe, struct varset *out);

/* `f(x[i])[0]`: the head stands by itself before the reference, and its operands bind what they can. */
static bool head_safe(const struct term *head, const struct varset *safe)
{
    struct varset known = {.words = safe->words};
    uint64_t few[16] = {0};
    uint64_t *many = safe->words > ARRAY_LEN(few) ? calloc(safe->words, sizeof *many) : NULL;
    known.bits = many != NULL ? many : few;
    outputs_of_term(head, safe, &known);
    for (size_t i = 0; i < safe->words; i++) {
        known.bits[i] |= safe->bits[i];
    }
    bool ok = all_safe(head, &known);
    free(many);
    return ok;
}

static bool ref_safe(const struct term *ref, const struct varset *safe)
{
    const struct term *head = ref->list.v[0];
    if (head->type == T_VAR) {
        return head->var.local == NULL || varset_has(safe, head->var.local->id);
    }
    return head_safe(head, safe);
}

/* Variables that enumerating a reference binds: those of its operands, calls aside. */
static void ref_operand_vars(const struct term *t, struct varset *out)
{
    switch (t->type) {
    case T_VAR:
        add_var(t, out);
        break;
    case T_REF:
        for (size_t i = 1; i < t->list.n; i++) {
            ref_operand_vars(t->list.v[i], out);
        }
        break;
    case T_ARRAY:
        for (size_t i = 0; i < t->list.n; i++) {
            ref_operand_vars(t->list.v[i], out);
        }
        break;
    case T_OBJECT:
        for (size_t i = 1; i < t->list.n; i += 2) {
            ref_operand_vars(t->list.v[i], out);
        }
        break;
    default:
        break;
    }
}

static void outputs_of_term(const struct term *t, const struct varset *safe, struct varset *out)
{
    switch (t->type) {
    case T_REF:
        if (!ref_safe(t, safe)) {
            return;
        }
        for (size_t i = 1; i < t->list.n; i++) {
            ref_operand_vars(t->list.v[i], out);
            outputs_of_term(t->list.v[i], safe, out);
        }
        outputs_of_term(t->list.v[0], safe, out);
        break;
    case T_CALL:
    case T_ARRAY:
    case T_SET:
    case T_OBJECT:
        for (size_t i = t->type == T_CALL; i < t->list.n; i++) {
            outputs_of_term(t->list.v[i], safe, out);
        }
        break;
    default:
        break;
    }
}

/* Every variable of a pattern, keys and closures aside. */
static bool mark_pattern(const struct term *t, struct varset *out)
{
    bool changed = false;
    switch (t->type) {
    case T_VAR:
        changed = t->var.local != NULL && !varset_has(out, t->var.local->id);
        add_var(t, out);
        break;
    case T_ARRAY:
    case T_OBJECT:
    case T_REF:
        for (size_t i = t->type == T_ARRAY ? 0 : 1; i < t->list.n;
             i += t->type == T_OBJECT ? 2 : 1) {
            changed |= mark_pattern(t->list.v[i], out);
        }
        break;
    default:
        break;
    }
    return changed;
}

static bool is_pattern(const struct term *t)
{
    return t->type == T_ARRAY || t->type == T_OBJECT;
}

static bool gives_value(const struct term *t, const struct varset *known)
{
    switch (t->type) {
    case T_VAR:
        return t->var.local == NULL || varset_has(known, t->var.local->id);
    case T_REF:
        return ref_safe(t, known);
    case T_CALL:
        return all_safe(t, known);
    case T_ARRAY:
    case T_OBJECT:
        return all_safe(t, known);
    default:
        return true;
    }
}

static const struct term *object_get(const struct term *t, const struct term *key)
{
    for (size_t i = 0; i + 1 < t->list.n; i += 2) {
        const struct term *k = t->list.v[i];
        if (k->type == key->type && ((k->type == T_STRING && str_eq(k->str, key->str)) ||
                                     (k->type == T_NUMBER && num_cmp(k->num, key->num) == 0) ||
                                     (k->type == T_VAR && k->var.local == key->var.local))) {
            return t->list.v[i + 1];
        }
    }
    return NULL;
}

static bool unify_step(const struct term *a, const struct term *b, struct varset *known);

static bool unify_pairs(const struct term *a, const struct term *b, struct varset *known)
{
    bool changed = false;
    if (a->type != b->type || a->list.n != b->list.n) {
        return false;
    }
    if (a->type == T_ARRAY) {
        for (size_t i = 0; i < a->list.n; i++) {
            changed |= unify_step(a->list.v[i], b->list.v[i], known);
        }
        return changed;
    }
    for (size_t i = 0; i + 1 < a->list.n; i += 2) {
        const struct term *other = object_get(b, a->list.v[i]);
        changed |= other != NULL && unify_step(a->list.v[i + 1], other, known);
    }
    return changed;
}

/* One pass of unification over what is known: true when it learnt something. */
static bool unify_step(const struct term *a, const struct term *b, struct varset *known)
{
    if (is_pattern(a) && is_pattern(b)) {
        return unify_pairs(a, b, known);
    }
    bool changed = false;
    if (gives_value(a, known) && (b->type == T_VAR || is_pattern(b))) {
        changed |= mark_pattern(b, known);
    }
    if (gives_value(b, known) && (a->type == T_VAR || is_pattern(a))) {
        changed |= mark_pattern(a, known);
    }
    return changed;
}

static void eq_outputs(struct compiler *c, const struct term *call, const struct varset *safe,
                       struct varset *out)
{
    outputs_of_term(call, safe, out);
    struct varset known = varset_new(c);
    for (size_t i = 0; i < known.words; i++) {
        known.bits[i] = out->bits[i] | (i < safe->words ? safe->bits[i] : 0);
    }
    if (call->generated) {
        struct varset left = varset_new(c);
        mark_pattern(call->list.v[1], &left);
        for (size_t i = 0; i < known.words; i++) {
            known.bits[i] &= ~left.bits[i];
        }
    }
    while (unify_step(call->list.v[1], call->list.v[2], &known)) {
    }
    for (size_t i = 0; i < known.words; i++) {
        out->bits[i] = known.bits[i] & ~(i < safe->words ? safe->bits[i] : 0);
    }
}

static void call_outputs(struct compiler *c, const struct term *call, const struct varset *safe,
                         struct varset *out)
{
    struct callee callee;
    outputs_of_term(call, safe, out);
    if (!find_callee(c, call->list.v[0], &callee)) {
        return;
    }
    size_t inputs = (size_t)callee.arity + 1;
    if (inputs >= call->list.n) {
        return;
    }
    struct varset known = varset_new(c);
    for (size_t i = 0; i < known.words; i++) {
        known.bits[i] = out->bits[i] | (i < safe->words ? safe->bits[i] : 0);
    }
    for (size_t i = 1; i < inputs; i++) {
        if (!all_safe(call->list.v[i], &known)) {
            memset(out->bits, 0, out->words * sizeof *out->bits);
            return;
        }
    }
    for (size_t i = inputs; i < call->list.n; i++) {
        mark_pattern(call->list.v[i], out);
    }
}

void expr_outputs(struct compiler *c, const struct expr *e, const struct varset *safe,
                  struct varset *out)
{
    if (e->negated) {
        return;
    }
    for (size_t i = 0; i < e->n_with; i++) {
        if (!all_safe(e->with[i]->value, safe)) {
            return;
        }
    }
    if (e->kind == E_EVERY) {
        outputs_of_term(e->every.domain, safe, out);
    } else if (e->kind == E_TERM && e->term->type == T_CALL) {
        if (term_is_call_of(e->term, "eq") && e->term->list.n == 3) {
            eq_outputs(c, e->term, safe, out);
        } else {
            call_outputs(c, e->term, safe, out);
        }
    } else if (e->kind == E_TERM) {
        outputs_of_term(e->term, safe, out);
    }
}

static bool order_inner(struct compiler *c, struct body *b, const struct varset *seen)
{
    struct varset safe = varset_new(c);
    memcpy(safe.bits, seen->bits, MIN(seen->words, safe.words) * sizeof *safe.bits);
    return b == NULL || order_body(c, b, &safe);
}

static bool order_in_term(struct compiler *c, struct term *t, const struct varset *seen);

/* The head of a comprehension is evaluated behind its body, whose variables it sees. */
static bool order_comprehension(struct compiler *c, struct term *t, const struct varset *seen)
{
    struct varset safe = varset_new(c), head = varset_new(c);
    struct loc outer = c->at;
    memcpy(safe.bits, seen->bits, MIN(seen->words, safe.words) * sizeof *safe.bits);
    bool ok = order_body(c, t->comp.body, &safe);
    c->at = outer;
    direct_vars(t->comp.value, &head);
    if (t->comp.key != NULL) {
        direct_vars(t->comp.key, &head);
    }
    struct varset missing = varset_new(c), outputs = varset_new(c);
    outputs_of_term(t->comp.value, &safe, &outputs);
    bool any = false;
    for (size_t i = 0; i < head.words; i++) {
        missing.bits[i] = head.bits[i] & ~(safe.bits[i] | outputs.bits[i]);
        any |= missing.bits[i] != 0;
    }
    if (any) {
        bool moved = t->comp.value->type == T_CALL || term_requires_evaluation(t->comp.value);
        order_note_term(c, &missing, moved ? t->comp.value->loc : outer);
        ok = false;
    }
    ok &= order_in_term(c, t->comp.value, &safe);
    return t->comp.key != NULL ? ok & order_in_term(c, t->comp.key, &safe) : ok;
}

static bool order_in_term(struct compiler *c, struct term *t, const struct varset *seen)
{
    bool ok = true;
    switch (t->type) {
    case T_REF:
    case T_CALL:
    case T_ARRAY:
    case T_SET:
    case T_OBJECT:
    case T_TEMPLATE: {
        struct loc outer = c->at;
        c->at = t->type == T_TEMPLATE ? t->loc : outer;
        for (size_t i = t->type == T_CALL; i < t->list.n; i++) {
            ok &= order_in_term(c, t->list.v[i], seen);
        }
        c->at = outer;
        return ok;
    }
    case T_EXPR: {
        if (t->expr->kind == E_TERM && t->expr->term->type == T_VAR) {
            struct varset vars = varset_new(c);
            direct_vars(t->expr->term, &vars);
            for (size_t i = 0; i < vars.words; i++) {
                vars.bits[i] &= ~(i < seen->words ? seen->bits[i] : 0);
                ok &= vars.bits[i] == 0;
            }
            order_note_term(c, &vars, c->at);
            return ok;
        }
        struct body *b = arena_new(c->a, struct body);
        body_push(c->a, b, t->expr);
        return order_inner(c, b, seen);
    }
    case T_ARRAY_COMP:
    case T_SET_COMP:
    case T_OBJECT_COMP:
        return order_comprehension(c, t, seen);
    case T_NOT:
    case T_AND:
    case T_OR:
        ok = order_inner(c, t->logic.lhs, seen);
        return ok & order_inner(c, t->logic.rhs, seen);
    default:
        return true;
    }
}

bool order_closures_of(struct compiler *c, struct expr *e, const struct varset *seen)
{
    bool ok = true;
    struct varset inside = varset_new(c);
    memcpy(inside.bits, seen->bits, MIN(seen->words, inside.words) * sizeof *inside.bits);
    needed_vars(e, &inside);
    if (e->kind == E_TERM) {
        ok = order_in_term(c, e->term, &inside);
    } else if (e->kind == E_EVERY) {
        ok = order_in_term(c, e->every.domain, &inside);
        if (e->every.key != NULL) {
            add_var(e->every.key, &inside);
        }
        add_var(e->every.value, &inside);
        ok &= order_inner(c, e->every.body, &inside);
    }
    for (size_t i = 0; i < e->n_with; i++) {
        ok &= order_in_term(c, e->with[i]->value, &inside);
    }
    return ok;
}
