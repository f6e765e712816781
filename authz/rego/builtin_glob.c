#include "builtin.h"

#include "lib/base/map.h"
#include "lib/regex/regex.h"

/*
 * glob.*: patterns as gobwas/glob 1.0 means them, by translation into one linear-time regular expression:
 *
 *     *      any run of characters without a delimiter      [abc] [a-c] [!a-c]   one character of a class
 *     **     any run of characters                          {cat,[fr]at}         alternatives, nested
 *     ?      one character that is no delimiter             \x                   x itself
 */

enum { CACHE_MAX = 512, PATTERN_MAX = 64 * 1024, NESTING_MAX = 32 };

struct translation {
    struct str in;
    size_t at;
    struct buf out;
    struct str not_delimiter; /* a class, or "." when there are no delimiters */
    unsigned nesting;
};

static void put_literal(struct buf *out, char c)
{
    if (c != '\0' && strchr("\\.+*?()|[]{}^$-&~#/:\"'", c) != NULL) {
        buf_putc(out, '\\');
    }
    buf_putc(out, c);
}

/* "[...]" up to its bracket; false when it has none or is empty. */
static bool put_class(struct translation *t)
{
    struct str rest = str_sub(t->in, t->at + 1, t->in.n);
    size_t end = str_find_char(rest, ']');
    if (end == STR_NPOS || end == 0) {
        return false;
    }
    struct str body = str_sub(rest, 0, end);
    bool inverted = body.p[0] == '!';
    body = str_sub(body, inverted, body.n);
    buf_puts(&t->out, inverted ? S("[^") : S("["));
    bool range = body.n == 3 && body.p[1] == '-';
    for (size_t i = 0; i < body.n; i++) {
        if (range && i == 1) {
            buf_putc(&t->out, '-');
        } else {
            put_literal(&t->out, body.p[i]);
        }
    }
    buf_putc(&t->out, ']');
    t->at += end + 2;
    return body.n > 0;
}

static void put_star(struct translation *t)
{
    size_t stars = 0;
    while (t->at < t->in.n && t->in.p[t->at] == '*') {
        stars++, t->at++;
    }
    if (stars > 1) {
        buf_puts(&t->out, S("(?s:.)*"));
    } else {
        buf_puts(&t->out, t->not_delimiter);
        buf_putc(&t->out, '*');
    }
}

/* One item of the pattern; false when it is malformed. */
static bool put_item(struct translation *t)
{
    char c = t->in.p[t->at];
    switch (c) {
    case '*':
        put_star(t);
        return true;
    case '?':
        buf_puts(&t->out, t->not_delimiter);
        break;
    case '[':
        return put_class(t);
    case '{':
        buf_puts(&t->out, S("(?:"));
        t->at++;
        return ++t->nesting <= NESTING_MAX;
    case '}':
        buf_puts(&t->out, t->nesting > 0 ? S(")") : S("\\}"));
        t->nesting -= t->nesting > 0;
        break;
    case ',':
        buf_puts(&t->out, t->nesting > 0 ? S("|") : S(","));
        break;
    case '\\':
        if (++t->at == t->in.n) {
            return false;
        }
        put_literal(&t->out, t->in.p[t->at]);
        break;
    default:
        put_literal(&t->out, c);
    }
    t->at++;
    return true;
}

static bool translate(struct translation *t)
{
    buf_puts(&t->out, S("^(?:"));
    while (t->at < t->in.n) {
        if (!put_item(t)) {
            return false;
        }
    }
    buf_puts(&t->out, S(")$"));
    return t->nesting == 0 && buf_ok(&t->out);
}

/* "[^./]", or "(?s:.)" without delimiters. */
static bool delimiter_class(struct bcall *b, struct val delimiters, struct str *out)
{
    if (val_is(delimiters, V_NULL)) {
        *out = S("(?s:.)");
        return true;
    }
    if (!val_is(delimiters, V_ARRAY)) {
        b_type(b, 2, "one of {null, array}");
        return false;
    }
    struct buf text;
    buf_init(&text, 4096);
    buf_puts(&text, S("[^"));
    for (uint32_t i = 0; i < val_len(delimiters); i++) {
        struct val d = val_nth(delimiters, i);
        if (!val_is(d, V_STRING)) {
            buf_release(&text);
            b_type_of_item(b, 2, "array of strings", d);
            return false;
        }
        for (size_t k = 0; k < val_len(d); k++) {
            put_literal(&text, val_text(d).p[k]);
        }
    }
    if (val_len(delimiters) == 0) {
        put_literal(&text, '.');
    }
    buf_putc(&text, ']');
    *out = arena_str(b->a, buf_str(&text));
    bool ok = buf_ok(&text);
    buf_release(&text);
    if (!ok) {
        b_fail(b, "too many delimiters");
    }
    return ok;
}

static struct regex *compile(struct bcall *b, struct str pattern, struct str not_delimiter)
{
    static struct map cache; /* of the process: patterns are few, requests are many */
    struct str key = arena_printf(b->a, "%.*s\n%.*s", STR_FMT(not_delimiter), STR_FMT(pattern));
    struct regex *re = map_get(&cache, key);
    if (re != NULL) {
        return re;
    }
    struct translation t = {.in = pattern, .not_delimiter = not_delimiter};
    buf_init(&t.out, PATTERN_MAX);
    if (!translate(&t)) {
        b_fail(b, "invalid glob pattern: %.*s", STR_FMT(pattern));
    } else {
        struct err e = regex_compile(buf_str(&t.out), 0, &re);
        if (failed(e)) {
            re = NULL;
            b_fail_err(b, e);
        }
    }
    buf_release(&t.out);
    if (re != NULL && map_len(&cache) >= CACHE_MAX) {
        size_t cursor = 0;
        struct map_entry *oldest = map_at(&cache, &cursor);
        regex_free(map_del(&cache, oldest->key));
    }
    if (re != NULL) {
        map_set(&cache, key, re);
    }
    return re;
}

static enum b_status glob_match(struct bcall *b)
{
    struct str pattern, text, not_delimiter;
    if (!b_string(b, 1, &pattern) || !delimiter_class(b, b->args[1], &not_delimiter) ||
        !b_string(b, 3, &text)) {
        return B_ERROR;
    }
    struct regex *re = compile(b, pattern, not_delimiter);
    return re != NULL ? b_out(b, val_bool(regex_match(re, text, NULL, 0))) : B_ERROR;
}

static enum b_status glob_quote_meta(struct bcall *b)
{
    struct str text;
    if (!b_string(b, 1, &text)) {
        return B_ERROR;
    }
    struct buf out;
    buf_init(&out, text.n * 2 + 1);
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] != '\0' && strchr("*?\\[]{},", text.p[i]) != NULL && text.p[i] != ',') {
            buf_putc(&out, '\\');
        }
        buf_putc(&out, text.p[i]);
    }
    return b_buf(b, &out);
}

const struct builtin builtins_glob[] = {
    {"glob.match", 3, glob_match, 0},
    {"glob.quote_meta", 1, glob_quote_meta, 0},
    {0},
};
