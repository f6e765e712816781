/* Rules: heads, bodies, else branches. */
#include "authz/rego/syntax/format_priv.h"

static bool is_true(const struct term *t)
{
    return t->type == T_BOOL && t->boolean;
}

/* `p := 1` has the body `true`, which is not written. */
static bool expanded_const(const struct rule *r)
{
    const struct expr *e = r->body->n == 1 ? r->body->v[0] : NULL;
    return e != NULL && r->otherwise == NULL && e->kind == E_TERM && !e->negated &&
           e->n_with == 0 && is_true(e->term);
}

static enum written head_name(struct writer *w, struct rule *r, bool *whole)
{
    struct head *h = r->head;
    struct term **v = h->ref->list.v;
    size_t n = h->ref->list.n;
    if (r->is_else) {
        enum written e = insert_comments(w, row_of(h->loc));
        put(w, "else");
        return e;
    }
    if (w->ref_heads || n == 1) {
        return write_ref(w, v, n);
    }
    if (w->next < w->n_comments && row_of(v[1]->loc) == row_of(w->comments[w->next].loc)) {
        write_unformatted(w, h->loc);
        *whole = true;
        return W_OK;
    }
    term_write(w->out, v[0]);
    put(w, "[");
    term_write(w->out, v[1]);
    put(w, "]");
    return W_OK;
}

static enum written head_value(struct writer *w, struct rule *r, bool expanded)
{
    struct head *h = r->head;
    bool keyed = h->map_key != NULL;
    if (h->value == NULL || h->key != NULL ||
        (!keyed && is_true(h->value) && !expanded && !r->is_default)) {
        return W_OK;
    }
    bool constant = w->v1 && expanded && h->n_args == 0;
    if (h->value_at_head && !r->is_else && is_true(h->value) && !constant) {
        return W_OK;
    }
    put(w, h->assign || w->v1 ? " := " : " = ");
    return write_term(w, h->value);
}

static enum written write_head(struct writer *w, struct rule *r, bool expanded)
{
    struct head *h = r->head;
    bool whole = false;
    enum written e = head_name(w, r, &whole);
    if (whole) {
        return e;
    }
    if (h->n_args > 0 && !r->is_else) {
        put(w, "(");
        enum written args = write_list(w, h->args, h->n_args, h->loc,
                                       closing_row(w, h->loc, '(', ')'), false, false);
        put(w, ")");
        e = args != W_OK ? args : e;
    }
    if (h->key != NULL) {
        put(w, w->contains ? " contains " : "[");
        e = write_term(w, h->key) != W_OK ? W_UNEXPECTED : e;
        put(w, w->contains ? "" : "]");
    }
    return head_value(w, r, expanded) != W_OK ? W_UNEXPECTED : e;
}

static bool lone_set(const struct body *b)
{
    const struct expr *e = b->v[0];
    return b->n == 1 && e->kind == E_TERM && !e->negated && e->term->type == T_SET;
}

static void write_rule(struct writer *w, struct rule *r);

/* Did something stand before `else` on its line, as in `} else {`? */
static bool else_follows(const struct writer *w, const struct rule *r)
{
    struct str text = loc_text(w, r->loc);
    int64_t want = row_of(r->otherwise->loc) - row_of(r->loc);
    for (int64_t row = 0; text.p != NULL; row++) {
        struct str line = str_split(&text, '\n');
        if (row == want) {
            return row > 0 && !str_starts(str_trim(line), S("else"));
        }
    }
    return false;
}

static void write_else(struct writer *w, struct rule *r)
{
    struct rule *e = r->otherwise;
    bool follows = else_follows(w, r);
    bool comment = w->waiting != NULL || comments_before(w, row_of(e->head->loc));
    if (!comment && follows) {
        put(w, " ");
    } else {
        blank_line(w);
        start_line(w);
    }
    (void)insert_comments(w, row_of(e->head->loc));
    if (comment && !follows) {
        start_line(w);
    }
    if (e->head->value != NULL) { /* comments go by the row of the word else */
        w->else_value = e->head->value;
        w->else_text = e->head->value->loc;
        e->head->value->loc = e->head->loc;
    }
    write_rule(w, e);
}

static bool body_on_head_line(const struct writer *w, const struct rule *r)
{
    return r->body->n == 1 && !lone_set(r->body) &&
           row_of(r->body->v[0]->loc) == end_row(w, r->head->loc);
}

static int64_t body_closing_row(const struct writer *w, const struct rule *r)
{
    const struct head *h = r->head;
    if (h->n_args > 0 && !r->is_else) {
        return closing_row_behind(w, r->loc, '(', ')', '{', '}');
    }
    if (h->key != NULL || h->map_key != NULL) {
        return closing_row_behind(w, r->loc, '[', ']', '{', '}');
    }
    return closing_row(w, r->loc, '{', '}');
}

static void write_block(struct writer *w, struct rule *r, bool unexpected, bool uses_if)
{
    if (unexpected && comments_before(w, row_of(r->body->v[0]->loc) + 1)) {
        put(w, " { ");
    } else {
        put(w, " {");
        end_line(w);
    }
    if (uses_if && !r->is_else) {
        mark_union_lead(w, r->body->v[0]);
    }
    w->level++;
    write_body(w, r->body);
    (void)insert_comments(w, body_closing_row(w, r));
    w->level--;
    start_line(w);
    put(w, "}");
    if (r->otherwise != NULL) {
        write_else(w, r);
    }
}

static void write_rule(struct writer *w, struct rule *r)
{
    if (!r->is_else) {
        start_line(w);
    }
    put(w, r->is_default ? "default " : "");
    bool expanded = expanded_const(r);
    w->last_row_comment = expanded;
    size_t all = w->n_comments;
    w->n_comments = r->chained ? w->next : all; /* that head stands elsewhere */
    bool unexpected = write_head(w, r, expanded) != W_OK;
    w->n_comments = all;
    if (expanded) {
        end_line(w);
        return;
    }
    w->last_row_comment = true;
    bool uses_if = (w->v1 || w->ifs) && (w->contains || r->head->key == NULL);
    if (!uses_if) {
        write_block(w, r, unexpected, false);
        return;
    }
    put(w, " if");
    if (!body_on_head_line(w, r)) {
        write_block(w, r, unexpected, true);
        return;
    }
    put(w, " ");
    (void)write_expr(w, r->body->v[0]);
    end_line(w);
    if (r->otherwise != NULL) {
        write_else(w, r);
    }
}

static bool groupable(const struct writer *w, const struct rule *r)
{
    bool shape = r->body->n <= 1 && !r->is_default && r->otherwise == NULL && !lone_set(r->body);
    return shape && (w->v1 || w->ifs) && (w->contains || r->head->key == NULL);
}

void write_rules(struct writer *w, struct rule **v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        (void)insert_comments(w, row_of(v[i]->loc));
        write_rule(w, v[i]);
        bool together = i + 1 < n && groupable(w, v[i]) && groupable(w, v[i + 1]) &&
                        row_of(v[i + 1]->loc) == row_of(v[i]->loc) + 1;
        if (!together) {
            blank_line(w);
        }
    }
}
