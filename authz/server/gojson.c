/*
 * JSON that does not parse, in the words of Go's decoder: clients and their tests know them. Runs only after
 * the ordinary reader has refused a text, so it may be slow. Like that decoder it stops behind the first value.
 */
#include "server.h"

enum { GO_DEPTH_MAX = 10000 };

struct scan {
    struct str in;
    size_t at;
    const char *what; /* context of the wrong character; "" at an unexpected end */
    char literal[48];
};

static bool more(const struct scan *s)
{
    return s->at < s->in.n;
}

static int here(const struct scan *s)
{
    return more(s) ? (unsigned char)s->in.p[s->at] : -1;
}

static bool wrong(struct scan *s, const char *what)
{
    s->what = more(s) ? what : "";
    return false;
}

static void blanks(struct scan *s)
{
    while (more(s) && strchr(" \t\r\n", here(s)) != NULL && here(s) != 0) {
        s->at++;
    }
}

static bool hex(int c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool escape(struct scan *s)
{
    s->at++;
    int c = here(s);
    if (c == 'u') {
        for (int i = 0; i < 4; i++) {
            s->at++;
            if (!hex(here(s))) {
                return wrong(s, "in \\u hexadecimal character escape");
            }
        }
    } else if (c <= 0 || strchr("bfnrt\\/\"", c) == NULL) {
        return wrong(s, "in string escape code");
    }
    s->at++;
    return true;
}

static bool string(struct scan *s)
{
    s->at++;
    while (here(s) != '"') {
        int c = here(s);
        if (c < 0x20) {
            return wrong(s, "in string literal");
        }
        if (c != '\\') {
            s->at++;
        } else if (!escape(s)) {
            return false;
        }
    }
    s->at++;
    return true;
}

static bool digits(struct scan *s, const char *what)
{
    if (here(s) < '0' || here(s) > '9') {
        return wrong(s, what);
    }
    while (here(s) >= '0' && here(s) <= '9') {
        s->at++;
    }
    return true;
}

static bool number(struct scan *s)
{
    s->at += here(s) == '-';
    if (here(s) == '0') {
        s->at++;
    } else if (!digits(s, "in numeric literal")) {
        return false;
    }
    if (here(s) == '.') {
        s->at++;
        if (!digits(s, "after decimal point in numeric literal")) {
            return false;
        }
    }
    if (here(s) == 'e' || here(s) == 'E') {
        s->at++;
        s->at += here(s) == '+' || here(s) == '-';
        return digits(s, "in exponent of numeric literal");
    }
    return true;
}

static bool word(struct scan *s, const char *text)
{
    for (const char *p = text; *p != '\0'; p++, s->at++) {
        if (here(s) != *p) {
            snprintf(s->literal, sizeof s->literal, "in literal %s (expecting '%c')", text, *p);
            return wrong(s, s->literal);
        }
    }
    return true;
}

static bool scalar(struct scan *s)
{
    int c = here(s);
    switch (c) {
    case '"':
        return string(s);
    case 't':
        return word(s, "true");
    case 'f':
        return word(s, "false");
    case 'n':
        return word(s, "null");
    default:
        return c == '-' || (c >= '0' && c <= '9') ? number(s)
                                                  : wrong(s, "looking for beginning of value");
    }
}

static bool key(struct scan *s)
{
    blanks(s);
    if (here(s) != '"') {
        return wrong(s, "looking for beginning of object key string");
    }
    if (!string(s)) {
        return false;
    }
    blanks(s);
    if (here(s) != ':') {
        return wrong(s, "after object key");
    }
    s->at++;
    return true;
}

/* Opens containers until a value is whole. False: wrong. *depth tells what is open. */
static bool descend(struct scan *s, char *open, size_t *depth)
{
    for (;;) {
        blanks(s);
        int c = here(s);
        if (c != '{' && c != '[') {
            return scalar(s);
        }
        if (*depth == GO_DEPTH_MAX) {
            return wrong(s, "exceeded max depth");
        }
        s->at++;
        blanks(s);
        if (here(s) == (c == '{' ? '}' : ']')) {
            s->at++;
            return true;
        }
        open[(*depth)++] = (char)c;
        if (c == '{' && !key(s)) {
            return false;
        }
    }
}

static bool value(struct scan *s)
{
    static char open[GO_DEPTH_MAX];
    size_t depth = 0;
    for (;;) {
        if (!descend(s, open, &depth)) {
            return false;
        }
        bool next = false;
        while (depth > 0 && !next) {
            bool object = open[depth - 1] == '{';
            blanks(s);
            if (here(s) == (object ? '}' : ']')) {
                s->at++;
                depth--;
                continue;
            }
            if (here(s) != ',') {
                return wrong(s, object ? "after object key:value pair" : "after array element");
            }
            s->at++;
            next = true;
            if (object && !key(s)) {
                return false;
            }
        }
        if (depth == 0) {
            return true;
        }
    }
}

static struct str quoted(struct arena *a, int c)
{
    static const char named[] = "\a\b\f\n\r\t\v\\'", names[] = "abfnrtv\\'";
    const char *at = c != 0 ? strchr(named, c) : NULL;
    if (at != NULL) {
        return arena_printf(a, "'\\%c'", names[at - named]);
    }
    if (c < 0x20 || c == 0x7f) {
        return arena_printf(a, "'\\x%02x'", (unsigned)c);
    }
    if (c < 0x7f) {
        return arena_printf(a, "'%c'", c);
    }
    if (c < 0xa0 || c == 0xad) {
        return arena_printf(a, "'\\u%04x'", (unsigned)c);
    }
    return arena_printf(a, "'%c%c'", 0xc0 | c >> 6, 0x80 | (c & 63));
}

bool go_json_scan(struct arena *a, struct str text, struct str *first, struct str *why)
{
    struct scan s = {.in = text};
    blanks(&s);
    size_t from = s.at;
    if (!more(&s)) {
        *why = S("EOF");
        return false;
    }
    if (value(&s)) {
        *first = str_sub(text, from, s.at);
        return true;
    }
    if (s.what[0] == '\0') {
        *why = S("unexpected EOF");
    } else if (strcmp(s.what, "exceeded max depth") == 0) {
        *why = S("exceeded max depth");
    } else {
        *why = arena_printf(a, "invalid character %.*s %s", STR_FMT(quoted(a, here(&s))), s.what);
    }
    return false;
}

const char *go_json_kind(struct val v)
{
    return val_is(v, V_BOOL) ? "bool" : val_type_name(v);
}
