/*
 * RFC 5322 section 3.4, as strict and as lenient as Go's net/mail: an address by itself first, else a
 * name before it in angle brackets. Characters beyond ASCII count as letters (RFC 6532).
 */
#include "authz/rego/schema/mailbox.h"

#include "authz/rego/value/utf8.h"
#include "lib/base/ip.h"

struct reader {
    struct str s;
    size_t at;
};

static int peek(const struct reader *r)
{
    return r->at < r->s.n ? (unsigned char)r->s.p[r->at] : -1;
}

static bool take(struct reader *r, char c)
{
    bool there = peek(r) == c;
    r->at += there;
    return there;
}

static void skip_blanks(struct reader *r)
{
    while (peek(r) == ' ' || peek(r) == '\t') {
        r->at++;
    }
}

static bool is_visible(uint32_t c)
{
    return c >= '!' && c != 0x7f;
}

/* The next code point; false at the end and on what is no UTF-8. */
static bool next(const struct reader *r, uint32_t *c, size_t *behind)
{
    *behind = r->at;
    if (r->at >= r->s.n) {
        return false;
    }
    *c = utf8_next(r->s, behind);
    return *c != 0xfffd || *behind - r->at > 1;
}

/* Comments nest, and a backslash takes the meaning off what follows. */
static bool comment(struct reader *r)
{
    size_t depth = 1;
    while (r->at < r->s.n && depth > 0) {
        if (peek(r) == '\\' && r->at + 1 < r->s.n) {
            r->at++;
        } else if (peek(r) == '(') {
            depth++;
        } else if (peek(r) == ')') {
            depth--;
        }
        r->at++;
    }
    return depth == 0;
}

static bool skip_comments(struct reader *r)
{
    skip_blanks(r);
    while (take(r, '(')) {
        if (!comment(r)) {
            return false;
        }
        skip_blanks(r);
    }
    return true;
}

static bool quoted(struct reader *r, size_t *n)
{
    uint32_t c;
    size_t behind;
    *n = 0;
    r->at++;
    for (bool escaped = false; next(r, &c, &behind); r->at = behind) {
        if (escaped || (c != '"' && c != '\\')) {
            if (!is_visible(c) && c != ' ' && c != '\t') {
                return false;
            }
            escaped = false;
            (*n)++;
        } else if (c == '"') {
            r->at = behind;
            return true;
        } else {
            escaped = true;
        }
    }
    return false;
}

/* Atoms with dots between them; `strict` allows no dot at either end and no two in a row. */
static bool atom(struct reader *r, bool strict)
{
    static const char specials[] = "()<>[]:;@\\,\"";
    size_t from = r->at, behind;
    uint32_t c;
    while (next(r, &c, &behind) && is_visible(c) && (c > 127 || strchr(specials, (int)c) == NULL)) {
        r->at = behind;
    }
    struct str got = str_sub(r->s, from, r->at);
    if (got.n == 0 || (r->at < r->s.n && !next(r, &c, &behind))) {
        return false;
    }
    return !strict ||
           (got.p[0] != '.' && got.p[got.n - 1] != '.' && str_find(got, S("..")) == STR_NPOS);
}

static bool domain_literal(struct reader *r)
{
    struct ip ip;
    r->at++;
    size_t close = str_find_char(str_sub(r->s, r->at, r->s.n), ']');
    if (close == STR_NPOS) {
        return false;
    }
    struct str inner = str_sub(r->s, r->at, r->at + close);
    r->at += close + 1;
    return !failed(ip_parse(inner, &ip));
}

/* local-part "@" domain. The reader stays where it was when there is none. */
static bool addr_spec(struct reader *r)
{
    struct reader kept = *r;
    size_t n;
    skip_blanks(r);
    bool ok = peek(r) == '"' ? quoted(r, &n) && n > 0 : atom(r, true);
    ok = ok && take(r, '@');
    if (ok) {
        skip_blanks(r);
        ok = peek(r) == '[' ? domain_literal(r) : atom(r, true);
    }
    if (!ok) {
        *r = kept;
    }
    return ok;
}

/* The name before an address: words, at least one. */
static bool phrase(struct reader *r)
{
    for (size_t words = 0;; words++) {
        struct reader before = *r;
        size_t n;
        if (words > 0 && !skip_comments(r)) {
            return false;
        }
        skip_blanks(r);
        if (r->at >= r->s.n) {
            return true;
        }
        before = *r;
        if (!(peek(r) == '"' ? quoted(r, &n) : atom(r, false))) {
            *r = before;
            return words > 0;
        }
    }
}

static bool mailbox(struct reader *r, bool *group);

static bool group_list(struct reader *r, size_t *n)
{
    bool inner;
    *n = 0;
    skip_blanks(r);
    if (take(r, ';')) {
        return skip_comments(r);
    }
    for (;;) {
        skip_blanks(r);
        if (!mailbox(r, &inner) || inner || !skip_comments(r)) {
            return false;
        }
        (*n)++;
        if (take(r, ';')) {
            return skip_comments(r);
        }
        if (!take(r, ',')) {
            return false;
        }
    }
}

/* *group: a name and a colon were read, and a list of addresses follows. */
static bool mailbox(struct reader *r, bool *group)
{
    *group = false;
    skip_blanks(r);
    if (r->at >= r->s.n) {
        return false;
    }
    if (addr_spec(r)) {
        skip_blanks(r);
        return !take(r, '(') || comment(r);
    }
    if (peek(r) != '<' && !phrase(r)) {
        return false;
    }
    skip_blanks(r);
    *group = take(r, ':');
    return *group || (take(r, '<') && addr_spec(r) && take(r, '>'));
}

bool mailbox_is_address(struct str text)
{
    struct reader r = {text, 0};
    bool group;
    size_t n = 1;
    if (!mailbox(&r, &group) || (group && !group_list(&r, &n))) {
        return false;
    }
    return skip_comments(&r) && r.at == text.n && n == 1;
}
