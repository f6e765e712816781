/* PEM (RFC 7468): blocks found by label, their text decoded strictly. */
#include "cert.h"

#include "lib/base/codec.h"

enum { PEM_LINE = 64, PEM_LABEL_MAX = 64 };

void pem_put(struct buf *out, const char *label, struct str der)
{
    struct buf text;
    buf_init_secret(&text, der.n * 2 + 8);
    base64_put(&text, der, BASE64_STD);
    buf_printf(out, "-----BEGIN %s-----\n", label);
    struct str rest = buf_str(&text);
    while (rest.n > 0) {
        buf_puts(out, str_sub(rest, 0, PEM_LINE));
        buf_putc(out, '\n');
        rest = str_sub(rest, PEM_LINE, rest.n);
    }
    buf_printf(out, "-----END %s-----\n", label);
    buf_release(&text);
}

/* The text between the two lines of a block. */
static struct err find_block(struct str *rest, const char *label, struct str *body)
{
    char begin[PEM_LABEL_MAX + 32], end[PEM_LABEL_MAX + 32];
    snprintf(begin, sizeof(begin), "-----BEGIN %s-----", label);
    snprintf(end, sizeof(end), "-----END %s-----", label);
    size_t at = str_find(*rest, str_of(begin));
    ENSURE(at != STR_NPOS, ERR_NOT_FOUND, "no PEM block '%s'", label);
    struct str text = str_sub(*rest, at + strlen(begin), rest->n);
    size_t stop = str_find(text, str_of(end));
    ENSURE(stop != STR_NPOS, ERR_SYNTAX, "the PEM block '%s' has no END line", label);
    *body = str_sub(text, 0, stop);
    *rest = str_sub(text, stop + strlen(end), text.n);
    return OK;
}

/* base64 with blanks and line breaks in it. */
static struct err decode_body(struct str body, struct buf *der)
{
    struct buf text;
    buf_init_secret(&text, body.n + 1);
    for (size_t i = 0; i < body.n; i++) {
        if (body.p[i] != '\n' && body.p[i] != '\r' && body.p[i] != ' ' && body.p[i] != '\t') {
            buf_putc(&text, body.p[i]);
        }
    }
    buf_clear(der);
    size_t n = 0;
    char *room = buf_reserve(der, text.n / 4 * 3 + 3);
    struct err e =
        room == NULL ? err_make(ERR_LIMIT, "a PEM block of %zu bytes", body.n)
                     : base64_decode_into(buf_str(&text), BASE64_STD, room, text.n / 4 * 3 + 3, &n);
    buf_release(&text);
    if (!failed(e)) {
        buf_commit(der, n);
    }
    return e;
}

struct err pem_next_buf(struct str *rest, const char *label, struct buf *der)
{
    struct str body = STR_EMPTY;
    TRY(find_block(rest, label, &body));
    struct err e = decode_body(body, der);
    return failed(e) ? err_wrap(e, "PEM block '%s'", label) : OK;
}

static struct str take_line(struct str *rest)
{
    size_t nl = str_find_char(*rest, '\n');
    struct str line = str_sub(*rest, 0, nl);
    *rest = nl == STR_NPOS ? str_sub(*rest, rest->n, rest->n) : str_sub(*rest, nl + 1, rest->n);
    return str_trim(line);
}

/* What stands behind "-----BEGIN " of a line: false when it is no block. */
static bool read_block(struct str *text, struct str *label, struct buf *der)
{
    struct str rest = *text, line = take_line(&rest);
    if (!str_ends(line, S("-----"))) {
        return false;
    }
    struct str name = str_sub(line, 0, line.n - 5), body = rest;
    for (struct str after = rest; after.n > 0; body = after) { /* headers */
        if (str_find_char(take_line(&after), ':') == STR_NPOS) {
            break;
        }
    }
    for (rest = body; rest.n > 0;) {
        struct str at = rest;
        line = take_line(&rest);
        if (!str_starts(line, S("-----END "))) {
            continue;
        }
        bool same = line.n == name.n + 14 && str_eq(str_sub(line, 9, 9 + name.n), name) &&
                    str_ends(line, S("-----"));
        body = str_sub(body, 0, (size_t)(at.p - body.p));
        if (!same || failed(decode_body(body, der))) {
            return false;
        }
        *label = name;
        *text = rest;
        return true;
    }
    return false;
}

struct err pem_next_any(struct str *rest, struct str *label, struct buf *der)
{
    static const struct str begin = STR_INIT("-----BEGIN ");
    struct str at = *rest;
    bool start = true; /* of a line, without the line break in front */
    for (;;) {
        size_t i = start && str_starts(at, begin) ? 0 : str_find(at, S("\n-----BEGIN "));
        ENSURE(i != STR_NPOS, ERR_NOT_FOUND, "no PEM block");
        at = str_sub(at, i + (at.p[i] == '\n') + begin.n, at.n);
        start = false;
        struct str block = at;
        if (read_block(&block, label, der)) {
            *rest = block;
            return OK;
        }
    }
}

struct err pem_next(struct arena *a, struct str *rest, const char *label, struct str *der)
{
    struct buf b;
    buf_init(&b, rest->n + 8);
    struct err e = pem_next_buf(rest, label, &b);
    if (!failed(e)) {
        *der = arena_str(a, buf_str(&b));
    }
    buf_release(&b);
    return e;
}
