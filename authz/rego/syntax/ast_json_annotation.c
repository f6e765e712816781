/* Annotations in the tree's JSON. */
#include "authz/rego/syntax/annotation.h"
#include "authz/rego/syntax/ast_json_priv.h"

/* References in annotations were read from texts of their own: their places say nothing. */
static void put_placeless(struct json_writer *w, const struct term *ref)
{
    const struct ast_json_options *o = w->o;
    w->o = NULL;
    json_put_list(w, ref->list.v, ref->list.n);
    w->o = o;
}

/* The reference to a schema keeps its places in the text of the annotation's entry. */
static void put_schema_ref(struct json_writer *w, const struct term *ref)
{
    buf_putc(w->out, '[');
    for (size_t i = 0; i < ref->list.n; i++) {
        const struct term *t = ref->list.v[i];
        bool name = t->type == T_VAR || t->type == T_STRING;
        struct str text = t->type == T_VAR ? t->var.name : t->type == T_STRING ? t->str : STR_EMPTY;
        buf_puts(w->out, i > 0 ? S(",{") : S("{"));
        if (name && json_wants_loc(w, t->loc)) {
            buf_printf(w->out,
                       "\"location\":{\"file\":\"\",\"row\":%u,\"col\":%u,\"text\":", t->loc.row,
                       t->loc.col);
            ast_json_bytes(w->out, text);
            buf_puts(w->out, S("},"));
        }
        buf_printf(w->out, "\"type\":\"%s\",\"value\":", t->type == T_VAR ? "var" : "string");
        val_json_string(w->out, text, true);
        buf_putc(w->out, '}');
    }
    buf_putc(w->out, ']');
}

static void put_schemas(struct json_writer *w, const struct annotation *n)
{
    for (size_t i = 0; i < n->n_schemas; i++) {
        const struct schema_note *s = &n->schemas[i];
        buf_puts(w->out, i == 0 ? S("[{\"path\":") : S(",{\"path\":"));
        put_placeless(w, s->path);
        if (s->schema != NULL) {
            buf_puts(w->out, S(",\"schema\":"));
            put_schema_ref(w, s->schema);
        } else {
            buf_puts(w->out, S(",\"definition\":"));
            val_to_json(w->out, s->definition, true);
        }
        buf_putc(w->out, '}');
    }
    buf_putc(w->out, ']');
}

static void put_compile(struct json_writer *w, const struct annotation *n)
{
    buf_puts(w->out, S("{\"unknowns\":"));
    buf_puts(w->out, n->n_unknowns == 0 ? S("null") : S("["));
    for (size_t i = 0; i < n->n_unknowns; i++) {
        buf_puts(w->out, i > 0 ? S(",") : S(""));
        put_placeless(w, n->unknowns[i]);
    }
    buf_puts(w->out, n->n_unknowns == 0 ? S("") : S("]"));
    if (n->mask_rule != NULL) {
        buf_puts(w->out, S(",\"mask_rule\":"));
        put_placeless(w, n->mask_rule);
    }
    buf_putc(w->out, '}');
}

/* The text of a block is that of its comments, not of the module. */
void json_put_block_place(struct json_writer *w, const struct annotation *n)
{
    buf_puts(w->out, S("{\"file\":"));
    val_json_string(w->out, w->m->file, true);
    buf_printf(w->out, ",\"row\":%u,\"col\":%u", n->loc.row, n->loc.col);
    if (json_wants_loc(w, n->loc)) {
        buf_puts(w->out, S(",\"text\":"));
        ast_json_bytes(w->out, n->text);
    }
    buf_putc(w->out, '}');
}

static void put_annotation_field(struct json_writer *w, const struct annotation *n, uint32_t i)
{
    struct str key = val_text(val_nth_key(NULL, n->value, i));
    val_json_string(w->out, key, true);
    buf_putc(w->out, ':');
    if (str_is(key, "schemas")) {
        put_schemas(w, n);
    } else if (str_is(key, "compile")) {
        put_compile(w, n);
    } else {
        val_to_json(w->out, val_nth(n->value, i), true);
    }
}

/* Members in the order of their names, the place among them. */
void json_put_annotation(struct json_writer *w, const struct annotation *n)
{
    bool located = !json_wants_loc(w, n->loc);
    buf_putc(w->out, '{');
    for (uint32_t i = 0; i <= val_len(n->value); i++) {
        bool last = i == val_len(n->value);
        struct str key = last ? STR_EMPTY : val_text(val_nth_key(NULL, n->value, i));
        if (!located && (last || str_cmp(key, S("location")) > 0)) {
            buf_puts(w->out, i > 0 ? S(",\"location\":") : S("\"location\":"));
            json_put_block_place(w, n);
            buf_puts(w->out, i == 0 && !last ? S(",") : S(""));
            located = true;
        }
        if (!last) {
            buf_puts(w->out, i > 0 ? S(",") : S(""));
            put_annotation_field(w, n, i);
        }
    }
    buf_putc(w->out, '}');
}

/* As far as it has no variables. */
static size_t ground_length(const struct term *ref)
{
    size_t n = 1;
    while (n < ref->list.n && term_is_ground(ref->list.v[n])) {
        n++;
    }
    return n;
}

static bool same_path(const struct rule *a, const struct rule *b)
{
    const struct term *x = a->head->ref, *y = b->head->ref;
    size_t n = ground_length(x);
    bool same = n == ground_length(y);
    for (size_t i = 0; same && i < n; i++) {
        same = term_cmp(x->list.v[i], y->list.v[i]) == 0;
    }
    return same;
}

static bool belongs(const struct annotation *n, const struct rule *r)
{
    if (n->scope == SCOPE_DOCUMENT) {
        return n->rule != NULL && same_path(n->rule, r);
    }
    return n->scope == SCOPE_RULE && n->rule == r;
}

/* Of a rule: those of all rules of its path and its own. */
void json_put_rule_annotations(struct json_writer *w, const struct rule *r)
{
    size_t n = 0;
    for (size_t i = 0; w->m != NULL && !r->is_else && i < w->m->n_annotations; i++) {
        if (belongs(w->m->annotations[i], r)) {
            buf_puts(w->out, n++ == 0 ? S("\"annotations\":[") : S(","));
            json_put_annotation(w, w->m->annotations[i]);
        }
    }
    buf_puts(w->out, n > 0 ? S("],") : S(""));
}
