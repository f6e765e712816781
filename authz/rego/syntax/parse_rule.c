/* Rules: heads, bodies, else branches, and the statements that are rules without saying so. */
#include "authz/rego/syntax/parse_priv.h"

struct body *true_body(struct parser *p, struct loc loc)
{
    struct expr *e = expr_of(p, term_bool(p->a, true, loc), loc);
    e->generated = true;
    struct body *b = body_of(p, e);
    b->loc = loc;
    return b;
}

static struct term *single_ref(struct parser *p, struct term *t)
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
        return h->ref->list.v[0]->type == T_VAR;
    }
    h->ref = single_ref(p, t->list.v[0]);
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
    if (h->n_args > 0) {
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

static bool head_contains(struct parser *p, struct head *h)
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
        return false;
    }
    return true;
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
        if (!head_contains(p, h)) {
            return NULL;
        }
    } else if (tok(p) == TOK_UNIFY || tok(p) == TOK_ASSIGN) {
        h->assign = tok(p) == TOK_ASSIGN;
        parser_scan(p);
        h->value = parse_infix(p);
        if (h->value == NULL) {
            missing_value(p, h, is_default);
            return NULL;
        }
    } else if (h->ref->list.n != 2 || h->is_func) {
        h->generated_value = true;
        h->value = term_bool(p->a, true, h->loc);
    }
    h->loc.end = p->s.last_end;
    return h;
}

static const char *default_refuses(const struct term *t)
{
    switch (t->type) {
    case T_VAR:
        return "var";
    case T_REF:
        return "ref";
    case T_CALL:
        return "call";
    case T_ARRAY:
    case T_SET:
    case T_OBJECT:
        for (size_t i = 0; i < t->list.n; i++) {
            const char *why = default_refuses(t->list.v[i]);
            if (why != NULL) {
                return why;
            }
        }
        return NULL;
    default:
        return NULL;
    }
}

static bool check_default_args(struct parser *p, const struct rule *r)
{
    const struct head *h = r->head;
    for (size_t i = 0; i < h->n_args; i++) {
        if (h->args[i]->type != T_VAR) {
            parser_error(p, r->loc, "illegal default rule (arguments cannot contain %s)",
                         term_kind(h->args[i]));
            return false;
        }
        for (size_t k = 0; k < i; k++) {
            if (str_eq(h->args[k]->var.name, h->args[i]->var.name)) {
                parser_error(p, r->loc, "illegal default rule (arguments cannot be repeated %.*s)",
                             STR_FMT(h->args[i]->var.name));
                return false;
            }
        }
    }
    return true;
}

static struct rule *default_rule(struct parser *p, struct rule *r)
{
    if (r->head->value == NULL || r->head->key != NULL || r->head->generated_value) {
        parser_error(p, r->loc, "illegal default rule (must have a value)");
        return NULL;
    }
    const char *why = default_refuses(r->head->value);
    if (why != NULL) {
        parser_error(p, r->loc, "illegal default rule (value cannot contain %s)", why);
        return NULL;
    }
    if (!check_default_args(p, r)) {
        return NULL;
    }
    r->body = true_body(p, r->loc);
    r->loc.end = p->s.last_end;
    return r;
}

/* Old heads: `p[x] { … }` is a member of the set p unless a value or `if` says otherwise. */
static void old_style_head(struct parser *p, struct head *h, bool has_if)
{
    if (h->is_func || h->key != NULL || h->ref->list.n != 2) {
        return;
    }
    if (h->value != NULL) {
        return;
    }
    if (has_if) {
        h->generated_value = true;
        h->value = term_bool(p->a, true, h->loc);
        return;
    }
    struct term *ref = term_new(p->a, T_REF, h->ref->loc);
    term_push(p->a, ref, h->ref->list.v[0]);
    h->key = h->ref->list.v[1];
    h->ref = ref;
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
    c->key = term_copy(p->a, h->key);
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
    if (tok(p) == TOK_LBRACE || tok(p) == TOK_IF) {
        h->generated_value = true;
        h->value = term_bool(p->a, true, h->loc);
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
        r->body = true_body(p, r->loc);
        r->generated_body = true;
        return true;
    }
    if (tok(p) == TOK_LBRACE) {
        r->body = braced_body(p);
    } else if (tok(p) != TOK_EOF) {
        struct expr *e = parse_literal(p);
        r->body = e != NULL ? body_of(p, e) : NULL;
    } else {
        parser_illegal(p, "rule body expected");
    }
    if (r->body == NULL) {
        return false;
    }
    if (tok(p) == TOK_ELSE) {
        r->otherwise = parse_else(p, head);
        return r->otherwise != NULL;
    }
    return true;
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
    if (r->head->key != NULL) {
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
        r->head->loc = r->loc;
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
        if (r->is_default && tok(p) >= TOK_PACKAGE && keyword_token(lit(p), KW_V2) != TOK_IDENT) {
            parser_error(p, here(p), "%s keyword cannot be used for rule name", token_name(tok(p)));
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
    old_style_head(p, r->head, has_if);
    r->body = has_if ? if_body(p) : braced_body(p);
    if (r->body == NULL || !rule_else(p, r)) {
        return NULL;
    }
    r->loc.end = p->s.last_end;
    return further_bodies(p, r) ? r : NULL;
}

static struct rule *bare_rule(struct parser *p, struct term *target, struct term *value,
                              struct loc loc)
{
    struct rule *r = arena_new(p->a, struct rule);
    struct head *h = arena_new(p->a, struct head);
    r->head = h;
    r->loc = h->loc = loc;
    r->generated_body = true;
    if (target->type == T_CALL) {
        h->ref = single_ref(p, target->list.v[0]);
        h->is_func = true;
        h->args = target->list.v + 1;
        h->n_args = target->list.n - 1;
    } else {
        h->ref = single_ref(p, target);
    }
    h->value = value;
    h->generated_value = value == NULL;
    if (value == NULL && !h->is_func && h->ref->list.n == 2) {
        h->generated_value = false;
        old_style_head(p, h, false);
    } else if (value == NULL) {
        h->value = term_bool(p->a, true, loc);
    }
    r->body = true_body(p, loc);
    return r;
}

static const char *not_a_rule(const struct expr *e)
{
    if (e->n_with > 0) {
        return "expressions using with keyword cannot be used for rule head";
    }
    if (e->negated) {
        return "negated expressions cannot be used for rule head";
    }
    if (e->kind == E_SOME) {
        return "'some' declarations cannot be used for rule head";
    }
    return e->kind != E_TERM || e->term->type == T_AND || e->term->type == T_OR ||
                   e->term->type == T_NOT
               ? "expression cannot be used for rule head"
               : NULL;
}

static bool head_var(const struct term *t)
{
    if (t->type == T_CALL) {
        t = t->list.v[0];
    }
    return t->type == T_VAR || (t->type == T_REF && t->list.v[0]->type == T_VAR);
}

struct rule *rule_from_body(struct parser *p, struct body *b)
{
    struct expr *e = b->v[0];
    const char *why =
        b->n != 1 ? "multiple expressions cannot be used for rule head" : not_a_rule(e);
    if (why != NULL) {
        parser_error(p, e->loc, "%s", why);
        return NULL;
    }
    struct term *t = e->term, *value = NULL;
    bool assign = term_is_call_of(t, "assign");
    if ((assign || term_is_call_of(t, "eq")) && t->infix) {
        value = t->list.v[2];
        t = t->list.v[1];
    }
    if (t->type == T_CALL && t->infix) {
        parser_error(p, e->loc, "rule name conflicts with built-in function");
        return NULL;
    }
    if (!head_var(t) || (value == NULL && t->type == T_VAR)) {
        const char *hint = "";
        if (p->o.version == REGO_V0 && t->type == T_VAR) {
            struct str next = tok(p) == TOK_IDENT && here(p).row == e->loc.row ? lit(p) : STR_EMPTY;
            hint = str_is(next, "if") || str_is(t->var.name, "if")
                       ? " (hint: `import future.keywords.if` for `p if { ... }` rules)"
                   : str_is(next, "contains") || str_is(t->var.name, "contains")
                       ? " (hint: `import future.keywords.contains` for `p contains x` rules)"
                       : "";
        }
        parser_error(p, e->loc, "%s cannot be used for rule name%s", term_kind(t), hint);
        return NULL;
    }
    struct rule *r = bare_rule(p, t, value, e->loc);
    r->head->assign = assign;
    return r;
}

void check_v1_rule(struct parser *p, const struct rule *r)
{
    const char *what = r->head->is_func ? "function" : "rule";
    struct str name = r->head->ref->list.v[0]->var.name;
    if (r->head->ref->list.n < 2 && is_keyword_in_version(name, REGO_V1)) {
        parser_error(p, r->loc, "%.*s keyword cannot be used for rule name", STR_FMT(name));
    }
    if (r->generated_body && r->head->generated_value && !r->head->is_func) {
        parser_error(p, r->loc, "%s must have value assignment and/or body declaration", what);
    }
    if (!r->generated_body && !r->head->uses_if && !r->is_default) {
        parser_error(p, r->loc, "`if` keyword is required before %s body", what);
    }
    if (r->head->key != NULL && !r->head->uses_contains) {
        parser_error(p, r->loc, "`contains` keyword is required for partial set rules");
    }
}
