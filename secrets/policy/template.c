/*
 * {{identity...}} in policy paths. A value that is missing or could widen the pattern is an error, so
 * that the path it stands in grants nothing.
 */
#include "policy_priv.h"

enum { TEMPLATE_OUT_MAX = 64 * 1024 };

static struct err no_value(void)
{
    return err_make(ERR_NOT_FOUND, "no value could be found for one of the template directives");
}

static struct err member_of(const struct json *obj, struct str key, struct str *out)
{
    struct str v = json_str(json_get_str(obj, key));
    if (v.n == 0) {
        return no_value();
    }
    *out = v;
    return OK;
}

static struct err plain(struct str v, struct str *out)
{
    if (v.n == 0) {
        return no_value();
    }
    *out = v;
    return OK;
}

static bool take_prefix(struct str *s, struct str prefix)
{
    if (!str_starts(*s, prefix)) {
        return false;
    }
    *s = str_sub(*s, prefix.n, s->n);
    return true;
}

static struct err of_alias(struct str what, const struct acl_entity *e, struct str *out)
{
    size_t dot = str_find_char(what, '.');
    ENSURE(dot != STR_NPOS, ERR_INVALID, "invalid alias selector");
    struct str accessor = str_sub(what, 0, dot), field = str_sub(what, dot + 1, what.n);
    for (size_t i = 0; i < e->n_aliases; i++) {
        const struct acl_alias *alias = &e->aliases[i];
        if (!str_eq(alias->accessor, accessor)) {
            continue;
        }
        if (str_is(field, "id") || str_is(field, "name")) {
            return plain(str_is(field, "id") ? alias->id : alias->name, out);
        }
        if (take_prefix(&field, S("metadata."))) {
            return member_of(alias->metadata, field, out);
        }
        if (take_prefix(&field, S("custom_metadata."))) {
            return member_of(alias->custom_metadata, field, out);
        }
        return no_value();
    }
    FAIL(ERR_NOT_FOUND, "alias not found");
}

static struct err of_entity(struct str what, const struct acl_entity *e, struct str *out)
{
    if (str_is(what, "id") || str_is(what, "name")) {
        return plain(str_is(what, "id") ? e->id : e->name, out);
    }
    if (take_prefix(&what, S("metadata."))) {
        return member_of(e->metadata, what, out);
    }
    if (take_prefix(&what, S("aliases."))) {
        return of_alias(what, e, out);
    }
    return no_value();
}

static struct err of_group(struct str what, const struct acl_entity *e, struct str *out)
{
    bool by_id = take_prefix(&what, S("ids."));
    if (!by_id && !take_prefix(&what, S("names."))) {
        return no_value();
    }
    size_t dot = str_find_char(what, '.');
    ENSURE(dot != STR_NPOS, ERR_INVALID, "invalid group selector");
    struct str key = str_sub(what, 0, dot), field = str_sub(what, dot + 1, what.n);
    for (size_t i = 0; i < e->n_groups; i++) {
        const struct acl_group *g = &e->groups[i];
        if (!str_eq(by_id ? g->id : g->name, key)) {
            continue;
        }
        if (str_is(field, "id") || str_is(field, "name")) {
            return plain(str_is(field, "id") ? g->id : g->name, out);
        }
        return take_prefix(&field, S("metadata.")) ? member_of(g->metadata, field, out)
                                                   : no_value();
    }
    FAIL(ERR_NOT_FOUND, "entity is not a member of group \"%.*s\"", STR_FMT(key));
}

static struct err directive(struct str what, const struct acl_entity *e, const char *blocked,
                            struct str *out)
{
    struct str v;
    ENSURE(e != NULL, ERR_INVALID,
           "string contains entity template directives but no entity was provided");
    if (take_prefix(&what, S("identity.entity."))) {
        TRY(of_entity(what, e, &v));
    } else if (take_prefix(&what, S("identity.groups."))) {
        TRY(of_group(what, e, &v));
    } else {
        return no_value();
    }
    for (const char *c = blocked; *c != '\0'; c++) {
        ENSURE(str_find_char(v, *c) == STR_NPOS, ERR_INVALID,
               "template substitution contains forbidden value \"%c\"", *c);
    }
    *out = v;
    return OK;
}

static struct err fill(struct buf *b, struct str text, const struct acl_entity *e,
                       const char *blocked)
{
    size_t open = str_find(text, S("{{"));
    struct str before = str_sub(text, 0, open);
    ENSURE(str_find(before, S("}}")) == STR_NPOS, ERR_SYNTAX, "unbalanced templating characters");
    buf_puts(b, before);
    while (open != STR_NPOS) {
        text = str_sub(text, open + 2, text.n);
        open = str_find(text, S("{{"));
        struct str piece = str_sub(text, 0, open);
        size_t close = str_find(piece, S("}}"));
        ENSURE(close != STR_NPOS, ERR_SYNTAX, "unbalanced templating characters");
        struct str rest = str_sub(piece, close + 2, piece.n);
        ENSURE(str_find(rest, S("}}")) == STR_NPOS, ERR_SYNTAX, "unbalanced templating characters");
        struct str v;
        TRY(directive(str_trim(str_sub(piece, 0, close)), e, blocked, &v));
        buf_puts(b, v);
        buf_puts(b, rest);
    }
    return buf_check(b);
}

struct err policy_template(struct arena *a, struct str text, const struct acl_entity *entity,
                           const char *blocked, struct str *out)
{
    struct buf b;
    buf_init(&b, TEMPLATE_OUT_MAX);
    struct err e = fill(&b, text, entity, blocked);
    if (!failed(e)) {
        *out = arena_str(a, buf_str(&b));
    }
    buf_release(&b);
    return e;
}
