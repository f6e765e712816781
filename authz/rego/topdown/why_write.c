/* Accounts of a decision as text and as JSON. */
#include "authz/rego/why.h"

static void put_value(struct buf *out, struct val v)
{
    if (val_undef(v)) {
        buf_puts(out, S("undefined"));
    } else {
        val_to_rego(out, v);
    }
}

static void put_wish(struct buf *out, const struct rego_change *c)
{
    bool bare = str_is(c->relation, "defined") || str_is(c->relation, "undefined") ||
                str_is(c->relation, "true") || str_is(c->relation, "false");
    if (bare) {
        buf_printf(out, ", want it %.*s", STR_FMT(c->relation));
        return;
    }
    buf_puts(out, S(", want "));
    if (str_is(c->relation, "in") && val_is_collection(c->want)) {
        buf_puts(out, S("one of "));
    } else if (!str_is(c->relation, "==")) {
        buf_printf(out, "%.*s ", STR_FMT(c->relation));
    }
    put_value(out, c->want);
}

static void put_change(struct buf *out, const struct rego_change *c)
{
    buf_printf(out, "  %.*s:%u  ", STR_FMT(c->file), c->loc.row);
    if (c->what.n == 0) {
        buf_printf(out, "%.*s: want it %.*s", STR_FMT(c->expr), STR_FMT(c->relation));
        return;
    }
    bool about = str_is(c->relation, "true") || str_is(c->relation, "false");
    if (about && !str_eq(c->expr, c->what)) {
        buf_printf(out, "%.*s: ", STR_FMT(c->expr));
    }
    buf_printf(out, "%.*s is ", STR_FMT(c->what));
    put_value(out, c->is);
    put_wish(out, c);
}

void rego_why_to_text(struct buf *out, const struct rego_why *w)
{
    if (w->failed) {
        rego_error_write(out, &w->error);
        buf_putc(out, '\n');
        return;
    }
    buf_printf(out, "%.*s is ", STR_FMT(w->path));
    put_value(out, w->value);
    if (w->by_loc.row > 0) {
        buf_printf(out, " (%.*s:%u)", STR_FMT(w->by_file), w->by_loc.row);
    }
    buf_puts(out, S(".\n"));
    if (w->n_ways == 0) {
        bool same = !val_undef(w->value) && !val_undef(w->want) && val_eq(w->value, w->want);
        buf_puts(
            out,
            same ? S("That is what was asked for.\n")
                 : S("No change of what its rules read was found that gives the other answer.\n"));
        return;
    }
    for (size_t i = 0; i < w->n_ways; i++) {
        const struct rego_way *way = &w->ways[i];
        buf_puts(out, i == 0 ? S("It would be ") : S("Or "));
        if (i == 0 && val_undef(w->want)) {
            buf_puts(out, S("something else"));
        } else if (i == 0) {
            put_value(out, w->want);
        }
        buf_printf(out, "%sby the rule at %.*s:%u, if %s:\n", i == 0 ? " " : "", STR_FMT(way->file),
                   way->loc.row,
                   way->n_changes == 1 ? "this were different" : "these were different");
        for (size_t k = 0; k < way->n_changes; k++) {
            put_change(out, &way->changes[k]);
            buf_putc(out, '\n');
        }
    }
}

static void put_json_string(struct buf *out, const char *key, struct str s)
{
    buf_printf(out, ",\"%s\":", key);
    val_json_string(out, s, true);
}

static void put_json_value(struct buf *out, const char *key, struct val v)
{
    if (!val_undef(v)) {
        buf_printf(out, ",\"%s\":", key);
        val_to_json(out, v, true);
    }
}

static void put_place(struct buf *out, struct str file, struct loc l)
{
    buf_puts(out, S("\"location\":{\"file\":"));
    val_json_string(out, file, true);
    buf_printf(out, ",\"row\":%u,\"col\":%u}", l.row, l.col);
}

static void put_way(struct buf *out, const struct rego_way *way)
{
    buf_putc(out, '{');
    put_place(out, way->file, way->loc);
    put_json_string(out, "rule", way->rule);
    buf_puts(out, S(",\"changes\":["));
    for (size_t i = 0; i < way->n_changes; i++) {
        const struct rego_change *c = &way->changes[i];
        buf_puts(out, i > 0 ? S(",{") : S("{"));
        put_place(out, c->file, c->loc);
        put_json_string(out, "expression", c->expr);
        if (c->what.n > 0) {
            put_json_string(out, "what", c->what);
        }
        put_json_value(out, "is", c->is);
        put_json_string(out, "relation", c->relation);
        put_json_value(out, "want", c->want);
        buf_putc(out, '}');
    }
    buf_puts(out, S("]}"));
}

void rego_why_to_json(struct buf *out, const struct rego_why *w)
{
    buf_puts(out, S("{\"path\":"));
    val_json_string(out, w->path, true);
    if (w->failed) {
        put_json_string(out, "code", str_of(w->error.code));
        put_json_string(out, "error", w->error.message);
        buf_putc(out, '}');
        return;
    }
    put_json_value(out, "value", w->value);
    put_json_value(out, "want", w->want);
    if (w->by_loc.row > 0) {
        buf_putc(out, ',');
        put_place(out, w->by_file, w->by_loc);
    }
    buf_puts(out, S(",\"ways\":["));
    for (size_t i = 0; i < w->n_ways; i++) {
        buf_puts(out, i > 0 ? S(",") : S(""));
        put_way(out, &w->ways[i]);
    }
    buf_puts(out, S("]}"));
}
