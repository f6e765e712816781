/* Rules: heads, bodies, else branches. */
#include "authz/rego/syntax/parse_priv.h"

struct body *true_body(struct parser *p, struct loc loc)
{
    struct expr *e = expr_of(p, term_bool(p->a, true, loc), loc);
    e->generated = true;
    struct body *b = body_of(p, e);
    b->loc = loc;
    return b;
}

struct term *single_ref(struct parser *p, struct term *t)
{
    if (t->type == T_REF) {
        return t;
    }
    struct term *r = term_new(p->a, T_REF, t->loc);
    term_push(p->a, r, t);
    return r;
}

static struct str head_name(struct parser *p, const struct head *h)
{
    struct buf b;
    buf_init(&b, 4096);
    term_write(&b, h->ref);
    struct str s = arena_str(p->a, buf_str(&b));
    buf_release(&b);
    return s;
}

/* The name of the rule and, for functions, its parameters. */
static struct term *head_reference(struct parser *p)
{
    struct term *t = parse_var(p);
    uint32_t offset = here(p).off;
    parser_scan_ws(p);
    enum token k = tok(p);
    bool operator=(k >= TOK_ADD && k <= TOK_OR) || k == TOK_EQUAL || (k >= TOK_NEQ && k <= TOK_LTE);
    if (operator) {
        parser_illegal(p, NULL);
    } else if (k == TOK_WHITESPACE) {
        parser_scan(p);
    }
    if (tok(p) == TOK_LPAREN || tok(p) == TOK_DOT || tok(p) == TOK_LBRACK) {
        return parse_ref_tail(p, t, offset);
    }
    return t;
}

static bool take_reference(struct parser *p, struct head *h, struct term *t)
{
    if (t->type != T_CALL) {
        h->ref = single_ref(p, t);
        h->named = h->ref->list.n == 1;
        return h->ref->list.v[0]->type == T_VAR;
    }
    h->ref = single_ref(p, t->list.v[0]);
    h->named = h->ref->list.n == 1;
    if (h->ref->list.v[0]->type != T_VAR) {
        parser_illegal(p, "rule head ref %.*s invalid", STR_FMT(head_name(p, h)));
        return false;
    }
    h->is_func = true;
    h->args = t->list.v + 1;
    h->n_args = t->list.n - 1;
    return true;
}

static void missing_value(struct parser *p, const struct head *h, bool is_default)
{
    struct str name = head_name(p, h);
    if (!h->assign) {
        parser_illegal(p, "expected rule value term (e.g., %.*s[<nil>] = <VALUE> { ... })",
                       STR_FMT(name));
    } else if (h->n_args > 0) {
        parser_illegal(p, "expected function value term (e.g., %.*s(...) := <VALUE> { ... })",
                       STR_FMT(name));
    } else if (is_default) {
        parser_illegal(p, "expected default rule value term (e.g., default %.*s := <VALUE>)",
                       STR_FMT(name));
    } else {
        parser_illegal(p, "expected rule value term (e.g., %.*s := <VALUE> { ... })",
                       STR_FMT(name));
    }
}

static void head_contains(struct parser *p, struct head *h)
{
    if (h->is_func) {
        parser_illegal(p,
                       "the contains keyword can only be used with multi-value rule definitions "
                       "(e.g., %.*s contains <VALUE> { ... })",
                       STR_FMT(head_name(p, h)));
    }
    parser_scan(p);
    h->key = parse_infix(p);
    h->uses_contains = true;
    if (h->key == NULL) {
        parser_illegal(p, "expected rule key term (e.g., %.*s contains <VALUE> { ... })",
                       STR_FMT(head_name(p, h)));
    }
}

static struct head *parse_head(struct parser *p, bool is_default)
{
    struct head *h = arena_new(p->a, struct head);
    h->loc = here(p);
    struct term *t = head_reference(p);
    if (t == NULL) {
        parser_illegal(p, "expected rule head name");
        return NULL;
    }
    if (!take_reference(p, h, t)) {
        return NULL;
    }
    if (tok(p) == TOK_CONTAINS) {
        head_contains(p, h);
    } else if (tok(p) == TOK_UNIFY || tok(p) == TOK_ASSIGN) {
        h->assign = tok(p) == TOK_ASSIGN;
        parser_scan(p);
        h->value = parse_infix(p);
        if (h->value == NULL) {
            missing_value(p, h, is_default);
        }
    }
    if (h->value == NULL && h->key == NULL && !h->uses_contains &&
        (h->ref->list.n != 2 || h->n_args > 0)) {
        h->generated_value = true;
        h->value = term_bool(p->a, true, (struct loc){0});
    }
    h->loc.end = p->s.last_end;
    return h;
}

static bool check_default_value(struct parser *p, const struct rule *r, const struct term *t);

static bool check_default_list(struct parser *p, const struct rule *r, struct term *const *v,
                               size_t n)
{
    bool ok = true;
    for (size_t i = 0; i < n; i++) {
        ok &= check_default_value(p, r, v[i]);
    }
    return ok;
}

/* An expression in a template: its call is a list of terms, the operator being a reference. */
static bool check_default_expr(struct parser *p, const struct rule *r, const struct expr *e)
{
    bool ok = true;
    if (e->term->type == T_CALL) {
        parser_error(p, r->loc, "illegal default rule (value cannot contain ref)");
        ok = check_default_list(p, r, e->term->list.v + 1, e->term->list.n - 1) && false;
    } else if (e->term->type < T_AND) {
        ok = check_default_value(p, r, e->term);
    }
    for (size_t i = 0; i < e->n_with; i++) {
        ok &= check_default_value(p, r, e->with[i]->target);
        ok &= check_default_value(p, r, e->with[i]->value);
    }
    return ok;
}

/* Everything in the value of a default that is not constant is an error of its own. */
static bool check_default_value(struct parser *p, const struct rule *r, const struct term *t)
{
    switch (t->type) {
    case T_VAR:
    case T_REF:
    case T_CALL:
        parser_error(p, r->loc, "illegal default rule (value cannot contain %s)", term_kind(t));
        return false;
    case T_ARRAY:
    case T_SET:
    case T_OBJECT:
    case T_TEMPLATE:
        return check_default_list(p, r, t->list.v, t->list.n);
    case T_EXPR:
        return t->expr->kind != E_TERM || check_default_expr(p, r, t->expr);
    default:
        return true;
    }
}

static bool check_default_args(struct parser *p, const struct rule *r)
{
    const struct head *h = r->head;
    bool ok = true;
    for (size_t i = 0; i < h->n_args; i++) {
        const struct term *t = h->args[i];
        if (t->type != T_VAR) {
            parser_error(p, r->loc, "illegal default rule (arguments cannot contain %s)",
                         term_kind(t));
            ok = false;
            continue;
        }
        for (size_t k = 0; k < i; k++) {
            if (h->args[k]->type == T_VAR && str_eq(h->args[k]->var.name, t->var.name)) {
                parser_error(p, r->loc, "illegal default rule (arguments cannot be repeated %.*s)",
                             STR_FMT(t->var.name));
                ok = false;
                break;
            }
        }
    }
    return ok;
}

static struct rule *default_rule(struct parser *p, struct rule *r)
{
    if (r->head->value == NULL) {
        parser_error(p, r->loc, "illegal default rule (must have a value)");
        return NULL;
    }
    if (!check_default_value(p, r, r->head->value) || !check_default_args(p, r)) {
        return NULL;
    }
    r->body = true_body(p, r->loc);
    return r;
}

/* Old heads: `p[x] { … }` is a member of the set p unless a value or `if` says otherwise. */
static bool old_style_head(struct parser *p, struct head *h, bool has_if)
{
    struct term **v = h->ref->list.v;
    if (h->uses_contains || h->ref->list.n != 2 || (h->n_args > 0 && !has_if)) {
        return true;
    }
    if (v[0]->type != T_VAR) {
        return false;
    }
    if (!has_if) {
        h->named = true;
        if (h->value != NULL) {
            h->map_key = v[1];
            return true;
        }
        h->ref = single_ref(p, v[0]);
        h->ref->loc = v[0]->loc;
        h->key = v[1];
        return true;
    }
    if (h->n_args == 0 && (!term_is_ground(v[1]) || v[1]->type == T_REF)) {
        h->map_key = v[1];
    }
    h->named |= h->value != NULL;
    if (h->value == NULL) {
        h->generated_value = h->value_at_head = true;
        h->value = term_bool(p->a, true, h->loc);
    }
    return true;
}

static struct body *braced_body(struct parser *p)
{
    parser_scan(p);
    struct body *b = parse_body(p, TOK_RBRACE);
    if (b != NULL) {
        parser_scan(p);
    }
    return b;
}

/* What follows `if`: an expression, or a body in braces (a set is never meant). */
static struct body *if_body(struct parser *p)
{
    parser_scan(p);
    struct parse_state before = p->s;
    bool brace = tok(p) == TOK_LBRACE;
    struct expr *e = parse_literal(p);
    bool set = e != NULL && brace && e->kind == E_TERM && e->term->type == T_SET;
    if (e != NULL && !set) {
        return body_of(p, e);
    }
    if (!brace) {
        return NULL;
    }
    parser_restore(p, &before);
    return braced_body(p);
}

static void fresh_wildcards(struct parser *p, struct head *h)
{
    for (size_t i = 0; i < h->n_args; i++) {
        if (term_is_wildcard(h->args[i])) {
            h->args[i] = term_var(p->a, wildcard_name(p), h->args[i]->loc);
        }
    }
}

static struct head *copy_head(struct parser *p, const struct head *h)
{
    struct head *c = arena_new(p->a, struct head);
    *c = *h;
    c->ref = term_copy(p->a, h->ref);
    c->map_key = term_copy(p->a, h->map_key);
    c->key = term_copy(p->a, h->key);
    c->uses_if = false;
    c->value = term_copy(p->a, h->value);
    c->args = arena_array(p->a, struct term *, h->n_args + 1);
    for (size_t i = 0; i < h->n_args; i++) {
        c->args[i] = term_copy(p->a, h->args[i]);
    }
    fresh_wildcards(p, c);
    return c;
}

static bool else_value(struct parser *p, struct head *h)
{
    h->generated_value = false;
    h->value_at_head = false;
    if (tok(p) == TOK_LBRACE || tok(p) == TOK_IF) {
        h->generated_value = true;
        h->value = term_bool(p->a, true, (struct loc){0});
        return true;
    }
    if (tok(p) != TOK_ASSIGN && tok(p) != TOK_UNIFY) {
        parser_illegal(p, "expected else value term or rule body");
        return false;
    }
    h->assign = tok(p) == TOK_ASSIGN;
    parser_scan(p);
    h->value = parse_infix(p);
    h->loc.end = p->s.last_end;
    return h->value != NULL;
}

static struct rule *parse_else(struct parser *p, const struct head *head);

static bool else_body(struct parser *p, struct rule *r, const struct head *head)
{
    r->head->uses_if = tok(p) == TOK_IF;
    if (r->head->uses_if) {
        parser_scan(p);
    } else if (tok(p) != TOK_LBRACE) {
        r->body = true_body(p, span(r->loc, p->s.last_end));
        r->generated_body = true;
        return true;
    }
    bool bare = false;
    if (tok(p) == TOK_LBRACE) {
        r->body = braced_body(p);
    } else if (tok(p) != TOK_EOF) {
        struct expr *e = parse_literal(p);
        r->body = e != NULL ? body_of(p, e) : NULL;
        bare = e != NULL;
    } else {
        parser_illegal(p, "rule body expected");
    }
    if (r->body == NULL) {
        return false;
    }
    bool more = tok(p) == TOK_ELSE;
    if (more) {
        r->otherwise = parse_else(p, head);
    }
    if (bare || r->generated_body) {
        r->loc.end = p->s.last_end;
        loc_set_deep(r->body, r->loc);
    }
    return !more || r->otherwise != NULL;
}

static struct rule *parse_else(struct parser *p, const struct head *head)
{
    struct rule *r = arena_new(p->a, struct rule);
    r->loc = here(p);
    r->is_else = true;
    r->head = copy_head(p, head);
    r->head->loc = here(p);
    if (!parser_enter(p)) {
        return NULL;
    }
    parser_scan(p);
    bool ok = else_value(p, r->head) && else_body(p, r, head);
    r->loc.end = p->s.last_end;
    parser_leave(p);
    return ok ? r : NULL;
}

static bool rule_else(struct parser *p, struct rule *r)
{
    if (tok(p) != TOK_ELSE || scan_ahead_ref(p)) {
        return true;
    }
    if (r->head->ref->list.n > 1 && !term_is_ground(r->head->ref)) {
        parser_error(p, here(p), "else keyword cannot be used on rules with variables in head");
        return false;
    }
    if (r->head->key != NULL || r->head->map_key != NULL) {
        parser_error(p, here(p), "else keyword cannot be used on multi-value rules");
        return false;
    }
    r->otherwise = parse_else(p, r->head);
    return r->otherwise != NULL;
}

/* `p { … } { … }`: every further body is a rule of its own with the same head. */
static bool further_bodies(struct parser *p, struct rule *first)
{
    struct rule *last = first;
    while (tok(p) == TOK_LBRACE) {
        if (first->otherwise != NULL) {
            parser_error(p, here(p), "expected else keyword");
            return false;
        }
        struct rule *r = arena_new(p->a, struct rule);
        r->loc = here(p);
        r->body = braced_body(p);
        if (r->body == NULL) {
            return false;
        }
        r->loc.end = p->s.last_end;
        r->head = copy_head(p, first->head);
        r->head->uses_if = first->head->uses_if;
        loc_set_head(r->head, r->loc);
        r->chained = true;
        last->next_in_chain = r;
        last = r;
    }
    return true;
}

struct rule *parse_rules(struct parser *p)
{
    struct rule *r = arena_new(p->a, struct rule);
    r->loc = here(p);
    scan_ahead_ref(p);
    if (tok(p) == TOK_DEFAULT) {
        parser_scan(p);
        r->is_default = true;
        scan_ahead_ref(p);
    }
    if (tok(p) != TOK_IDENT) {
        if (r->is_default) {
            (void)keyword_as_name(p, true);
        }
        return NULL;
    }
    r->head = parse_head(p, r->is_default);
    if (r->head == NULL) {
        return NULL;
    }
    if (r->is_default) {
        return default_rule(p, r);
    }
    bool has_if = tok(p) == TOK_IF;
    r->head->uses_if = has_if;
    if (!has_if && tok(p) != TOK_LBRACE) {
        if (!r->head->uses_contains) {
            return NULL;
        }
        r->body = true_body(p, r->loc);
        r->generated_body = true;
        r->loc = r->head->loc;
        return r;
    }
    if (!old_style_head(p, r->head, has_if)) {
        return NULL;
    }
    r->body = has_if ? if_body(p) : braced_body(p);
    if (r->body == NULL || !rule_else(p, r)) {
        return NULL;
    }
    r->loc.end = p->s.last_end;
    return further_bodies(p, r) ? r : NULL;
}

/* `every := 1` and the like: a keyword where only a rule's name makes sense. */
bool keyword_as_name(struct parser *p, bool is_default)
{
    enum token t = tok(p);
    bool name = t == TOK_EVERY || t == TOK_IF || t == TOK_IN || t == TOK_SOME || t == TOK_AS;
    bool operator= t == TOK_NOT || t == TOK_LOGICAL_AND || t == TOK_LOGICAL_OR;
    bool path = t == TOK_PACKAGE || t == TOK_IMPORT;
    if (!name && !operator&& !path && t != TOK_CONTAINS) {
        return false;
    }
    struct loc loc = here(p);
    if (!is_default) {
        struct parse_state before = p->s;
        parser_scan(p);
        enum token next = tok(p);
        parser_restore(p, &before);
        bool equation = (next == TOK_ASSIGN || next == TOK_UNIFY) && t != TOK_CONTAINS;
        bool word = (next == TOK_IF || next == TOK_CONTAINS) && !path;
        bool call = next == TOK_LPAREN && (name || path);
        if (!equation && !word && !call) {
            return false;
        }
    }
    parser_error(p, loc, "%s keyword cannot be used for rule name", token_name(t));
    return true;
}
