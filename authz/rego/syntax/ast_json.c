#include "authz/rego/syntax/ast_json.h"

#include "authz/rego/syntax/annotation.h"
#include "authz/rego/syntax/ast_json_priv.h"

static void put_term(struct json_writer *w, const struct term *t);
static void put_body(struct json_writer *w, const struct body *b);

/* Bytes in base64, as upstream's marshaller writes them. */
void ast_json_bytes(struct buf *out, struct str s)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    if (s.p == NULL) {
        buf_puts(out, S("null"));
        return;
    }
    buf_putc(out, '"');
    for (size_t i = 0; i < s.n; i += 3) {
        uint32_t v = 0;
        size_t n = MIN(s.n - i, (size_t)3);
        for (size_t k = 0; k < 3; k++) {
            v = v << 8 | (k < n ? (unsigned char)s.p[i + k] : 0);
        }
        for (size_t k = 0; k < 4; k++) {
            buf_putc(out, k <= n ? letters[v >> (18 - 6 * k) & 63] : '=');
        }
    }
    buf_putc(out, '"');
}

static void put_place(struct json_writer *w, struct loc l)
{
    buf_puts(w->out, S("{\"file\":"));
    val_json_string(w->out, w->m->file, true);
    buf_printf(w->out, ",\"row\":%u,\"col\":%u", l.row, l.col);
    if (w->o != NULL && w->o->locations && l.end > l.off) {
        buf_puts(w->out, S(",\"text\":"));
        ast_json_bytes(w->out, str_sub(w->m->source, l.off, l.end));
    }
    buf_putc(w->out, '}');
}

bool json_wants_loc(const struct json_writer *w, struct loc l)
{
    return w->o != NULL && w->o->locations && l.row > 0;
}

static void lead_loc(struct json_writer *w, struct loc l)
{
    if (json_wants_loc(w, l)) {
        buf_puts(w->out, S("\"location\":"));
        put_place(w, l);
        buf_putc(w->out, ',');
    }
}

static void trail_loc(struct json_writer *w, struct loc l)
{
    if (json_wants_loc(w, l)) {
        buf_puts(w->out, S(",\"location\":"));
        put_place(w, l);
    }
}

void json_put_list(struct json_writer *w, struct term *const *v, size_t n)
{
    buf_putc(w->out, '[');
    for (size_t i = 0; i < n; i++) {
        buf_puts(w->out, i > 0 ? S(",") : S(""));
        put_term(w, v[i]);
    }
    buf_putc(w->out, ']');
}

static void put_object(struct json_writer *w, const struct term *t)
{
    buf_putc(w->out, '[');
    for (size_t i = 0; i + 1 < t->list.n; i += 2) {
        buf_puts(w->out, i > 0 ? S(",") : S(""));
        json_put_list(w, t->list.v + i, 2);
    }
    buf_putc(w->out, ']');
}

static void put_comp(struct json_writer *w, const struct term *t)
{
    buf_puts(w->out, S("{"));
    if (t->type == T_OBJECT_COMP) {
        buf_puts(w->out, S("\"key\":"));
        put_term(w, t->comp.key);
        buf_puts(w->out, S(",\"value\":"));
        put_term(w, t->comp.value);
    } else {
        buf_puts(w->out, S("\"term\":"));
        put_term(w, t->comp.value);
    }
    buf_puts(w->out, S(",\"body\":"));
    put_body(w, t->comp.body);
    buf_putc(w->out, '}');
}

/* The operator of a call is a reference, even of one name. */
static void put_operator(struct json_writer *w, const struct term *t)
{
    if (t->type == T_REF) {
        put_term(w, t);
        return;
    }
    buf_putc(w->out, '{');
    lead_loc(w, t->loc);
    buf_puts(w->out, S("\"type\":\"ref\",\"value\":["));
    put_term(w, t);
    buf_puts(w->out, S("]}"));
}

static void put_call(struct json_writer *w, const struct term *t)
{
    buf_putc(w->out, '[');
    put_operator(w, t->list.v[0]);
    for (size_t i = 1; i < t->list.n; i++) {
        buf_putc(w->out, ',');
        put_term(w, t->list.v[i]);
    }
    buf_putc(w->out, ']');
}

static void put_expr(struct json_writer *w, const struct expr *e, size_t index, bool indexed);

static void put_template(struct json_writer *w, const struct term *t)
{
    if (t->list.n == 0) {
        buf_printf(w->out, "{\"parts\":null,\"multi_line\":%s}", t->raw ? "true" : "false");
        return;
    }
    buf_puts(w->out, S("{\"parts\":["));
    for (size_t i = 0; i < t->list.n; i++) {
        buf_puts(w->out, i > 0 ? S(",") : S(""));
        if (t->list.v[i]->type == T_EXPR) {
            put_expr(w, t->list.v[i]->expr, 0, true);
        } else {
            put_term(w, t->list.v[i]);
        }
    }
    buf_printf(w->out, "],\"multi_line\":%s}", t->raw ? "true" : "false");
}

static void put_value(struct json_writer *w, const struct term *t)
{
    switch (t->type) {
    case T_NULL:
        buf_puts(w->out, S("{}")); /* upstream's spelling of null */
        break;
    case T_BOOL:
        buf_puts(w->out, t->boolean ? S("true") : S("false"));
        break;
    case T_NUMBER:
        num_write(w->out, t->num);
        break;
    case T_STRING:
        val_json_string(w->out, t->str, true);
        break;
    case T_VAR:
        val_json_string(w->out, t->var.name, true);
        break;
    case T_REF:
    case T_ARRAY:
    case T_SET:
        json_put_list(w, t->list.v, t->list.n);
        break;
    case T_CALL:
        put_call(w, t);
        break;
    case T_OBJECT:
        put_object(w, t);
        break;
    case T_TEMPLATE:
        put_template(w, t);
        break;
    default:
        put_comp(w, t);
    }
}

static void put_logic(struct json_writer *w, const struct term *t)
{
    if (t->type == T_NOT) {
        buf_puts(w->out, S("{\"body\":"));
        put_body(w, t->logic.lhs);
        buf_printf(w->out, ",\"explicit_body\":%s,\"type\":\"not\"}",
                   t->logic.explicit_lhs ? "true" : "false");
        return;
    }
    buf_puts(w->out, S("{"));
    buf_puts(w->out, t->logic.explicit_lhs ? S("\"explicit_lhs\":true,") : S(""));
    buf_puts(w->out, t->logic.explicit_rhs ? S("\"explicit_rhs\":true,") : S(""));
    buf_puts(w->out, S("\"lhs\":"));
    put_body(w, t->logic.lhs);
    buf_puts(w->out, S(",\"rhs\":"));
    put_body(w, t->logic.rhs);
    buf_printf(w->out, ",\"type\":\"%s\"}", t->type == T_AND ? "and" : "or");
}

static void put_term(struct json_writer *w, const struct term *t)
{
    static const char *const names[] = {"null",
                                        "boolean",
                                        "number",
                                        "string",
                                        "templatestring",
                                        "var",
                                        "ref",
                                        "array",
                                        "object",
                                        "set",
                                        "arraycomprehension",
                                        "setcomprehension",
                                        "objectcomprehension",
                                        "call"};
    if (t->type >= T_AND) {
        put_logic(w, t);
        return;
    }
    buf_putc(w->out, '{');
    lead_loc(w, t->loc);
    buf_printf(w->out, "\"type\":\"%s\",\"value\":", names[t->type]);
    put_value(w, t);
    buf_putc(w->out, '}');
}

static void put_every(struct json_writer *w, const struct expr *e)
{
    buf_puts(w->out, S("{\"body\":"));
    put_body(w, e->every.body);
    buf_puts(w->out, S(",\"domain\":"));
    put_term(w, e->every.domain);
    buf_puts(w->out, S(",\"key\":"));
    if (e->every.key != NULL) {
        put_term(w, e->every.key);
    } else {
        buf_puts(w->out, S("null"));
    }
    trail_loc(w, e->word);
    buf_puts(w->out, S(",\"value\":"));
    put_term(w, e->every.value);
    buf_putc(w->out, '}');
}

static void put_terms(struct json_writer *w, const struct expr *e)
{
    if (e->kind == E_SOME) {
        buf_puts(w->out, S("{"));
        lead_loc(w, e->word);
        buf_puts(w->out, S("\"symbols\":"));
        json_put_list(w, e->symbols, e->n_symbols);
        buf_putc(w->out, '}');
        return;
    }
    if (e->kind == E_EVERY) {
        put_every(w, e);
        return;
    }
    if (e->term->type == T_CALL) {
        put_call(w, e->term);
    } else {
        put_term(w, e->term);
    }
}

static void put_expr(struct json_writer *w, const struct expr *e, size_t index, bool indexed)
{
    buf_putc(w->out, '{');
    if (e->generated) {
        buf_puts(w->out, S("\"generated\":true,"));
    }
    if (indexed) {
        buf_printf(w->out, "\"index\":%zu,", index);
    }
    lead_loc(w, e->loc);
    if (e->negated) {
        buf_puts(w->out, S("\"negated\":true,"));
    }
    buf_puts(w->out, S("\"terms\":"));
    put_terms(w, e);
    for (size_t i = 0; i < e->n_with; i++) {
        buf_puts(w->out, i == 0 ? S(",\"with\":[{") : S(",{"));
        lead_loc(w, e->with[i]->loc);
        buf_puts(w->out, S("\"target\":"));
        put_term(w, e->with[i]->target);
        buf_puts(w->out, S(",\"value\":"));
        put_term(w, e->with[i]->value);
        buf_putc(w->out, '}');
    }
    buf_puts(w->out, e->n_with > 0 ? S("]}") : S("}"));
}

static void put_body(struct json_writer *w, const struct body *b)
{
    buf_putc(w->out, '[');
    for (size_t i = 0; i < b->n; i++) {
        buf_puts(w->out, i > 0 ? S(",") : S(""));
        put_expr(w, b->v[i], i, true);
    }
    buf_putc(w->out, ']');
}

static void put_head(struct json_writer *w, const struct head *h)
{
    const struct term *key = h->key != NULL ? h->key : h->map_key;
    buf_putc(w->out, '{');
    if (h->named) {
        buf_puts(w->out, S("\"name\":"));
        val_json_string(w->out, h->ref->list.v[0]->var.name, true);
        buf_putc(w->out, ',');
    }
    if (h->n_args > 0) {
        buf_puts(w->out, S("\"args\":"));
        json_put_list(w, h->args, h->n_args);
        buf_putc(w->out, ',');
    }
    if (key != NULL) {
        buf_puts(w->out, S("\"key\":"));
        put_term(w, key);
        buf_putc(w->out, ',');
    }
    if (h->value != NULL && h->key == NULL) {
        buf_puts(w->out, S("\"value\":"));
        put_term(w, h->value);
        buf_putc(w->out, ',');
    }
    buf_puts(w->out, h->assign ? S("\"assign\":true,") : S(""));
    buf_puts(w->out, S("\"ref\":"));
    json_put_list(w, h->ref->list.v, h->ref->list.n);
    trail_loc(w, h->loc);
    buf_putc(w->out, '}');
}

static void put_rule(struct json_writer *w, const struct rule *r)
{
    buf_puts(w->out, S("{"));
    json_put_rule_annotations(w, r);
    buf_puts(w->out, S("\"body\":"));
    put_body(w, r->body);
    buf_puts(w->out, r->is_default ? S(",\"default\":true") : S(""));
    if (r->otherwise != NULL) {
        buf_puts(w->out, S(",\"else\":"));
        put_rule(w, r->otherwise);
    }
    buf_puts(w->out, S(",\"head\":"));
    put_head(w, r->head);
    trail_loc(w, r->loc);
    buf_putc(w->out, '}');
}

static void put_imports(struct json_writer *w)
{
    for (size_t i = 0; i < w->m->n_imports; i++) {
        const struct import *imp = w->m->imports[i];
        buf_puts(w->out, i == 0 ? S(",\"imports\":[{") : S(",{"));
        if (imp->alias.n > 0) {
            buf_puts(w->out, S("\"alias\":"));
            val_json_string(w->out, imp->alias, true);
            buf_putc(w->out, ',');
        }
        if (json_wants_loc(w, imp->alias_loc)) {
            buf_puts(w->out, S("\"alias_location\":"));
            put_place(w, imp->alias_loc);
            buf_putc(w->out, ',');
        }
        lead_loc(w, imp->loc);
        buf_puts(w->out, S("\"path\":"));
        put_term(w, imp->path);
        buf_putc(w->out, '}');
    }
    buf_puts(w->out, w->m->n_imports > 0 ? S("]") : S(""));
}

/* The first line of a block of annotations has the place of the block. */
static void put_comment_place(struct json_writer *w, size_t i, size_t *at)
{
    const struct module *m = w->m;
    struct loc l = m->comments[i].loc;
    if (*at < m->n_annotations && m->annotations[*at]->loc.off == l.off) {
        json_put_block_place(w, m->annotations[(*at)++]);
    } else {
        put_place(w, l);
    }
}

void ast_to_json(struct buf *out, const struct module *m, const struct ast_json_options *o)
{
    struct json_writer w = {.out = out, .o = o, .m = m};
    buf_puts(out, S("{\"package\":{"));
    lead_loc(&w, m->package_loc);
    buf_puts(out, S("\"path\":"));
    json_put_list(&w, m->package->list.v, m->package->list.n);
    buf_putc(out, '}');
    put_imports(&w);
    for (size_t i = 0; i < m->n_annotations; i++) {
        buf_puts(out, i == 0 ? S(",\"annotations\":[") : S(","));
        json_put_annotation(&w, m->annotations[i]);
    }
    buf_puts(out, m->n_annotations > 0 ? S("]") : S(""));
    for (size_t i = 0; i < m->n_rules; i++) {
        buf_puts(out, i == 0 ? S(",\"rules\":[") : S(","));
        put_rule(&w, m->rules[i]);
    }
    buf_puts(out, m->n_rules > 0 ? S("]") : S(""));
    for (size_t i = 0, at = 0; o != NULL && o->comments && i < m->n_comments; i++) {
        buf_puts(out, i == 0 ? S(",\"comments\":[{\"Text\":") : S(",{\"Text\":"));
        ast_json_bytes(out, m->comments[i].text);
        buf_puts(out, S(",\"Location\":"));
        put_comment_place(&w, i, &at);
        buf_putc(out, '}');
    }
    buf_puts(out, o != NULL && o->comments && m->n_comments > 0 ? S("]}") : S("}"));
}

void ast_term_to_json(struct buf *out, const struct term *t)
{
    struct json_writer w = {.out = out};
    put_term(&w, t);
}

void ast_expr_to_json(struct buf *out, const struct expr *e, size_t index)
{
    struct json_writer w = {.out = out};
    put_expr(&w, e, index, true);
}

void ast_body_to_json(struct buf *out, const struct body *b)
{
    struct json_writer w = {.out = out};
    put_body(&w, b);
}

void ast_rule_to_json(struct buf *out, const struct rule *r)
{
    struct json_writer w = {.out = out};
    put_rule(&w, r);
}
