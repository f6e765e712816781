/* RFC 9112. One pass over the head, tables for character classes, no allocation but the header table. */
#include "h1.h"

#include <string.h>

/* tchar of RFC 9110 section 5.6.2, as 128 bits. */
static const uint64_t token_bits[2] = {
    /* ! # $ % & ' * + - . 0-9 */
    (1ull << '!') | (1ull << '#') | (1ull << '$') | (1ull << '%') | (1ull << '&') | (1ull << '\'') |
        (1ull << '*') | (1ull << '+') | (1ull << '-') | (1ull << '.') | (0x3ffull << '0'),
    /* A-Z ^ _ ` a-z | ~ */
    (0x3ffffffull << ('A' - 64)) | (1ull << ('^' - 64)) | (1ull << ('_' - 64)) |
        (1ull << ('`' - 64)) | (0x3ffffffull << ('a' - 64)) | (1ull << ('|' - 64)) |
        (1ull << ('~' - 64)),
};

static bool is_tchar(unsigned char c)
{
    return c < 128 && (token_bits[c >> 6] >> (c & 63) & 1) != 0;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* field-vchar, space and tab: everything but control characters. */
static bool is_field_char(unsigned char c)
{
    return c >= 0x20 ? c != 0x7f : c == '\t';
}

bool h1_is_token(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (!is_tchar((unsigned char)s.p[i])) {
            return false;
        }
    }
    return s.n > 0;
}

/* Eight bytes of which none is below 0x20 or 0x7f, seen at once (bytes from 0x80 on are fine). */
static bool all_plain(const char *p)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), high = ones << 7;
    uint64_t w;
    memcpy(&w, p, sizeof(w));
    uint64_t low = (w - ones * 0x20) & ~w, x = w ^ (ones * 0x7f), del = (x - ones) & ~x;
    return ((low | del) & high) == 0;
}

bool h1_is_value(struct str s)
{
    size_t i = 0;
    while (i + 8 <= s.n && all_plain(s.p + i)) {
        i += 8;
    }
    for (; i < s.n; i++) {
        if (!is_field_char((unsigned char)s.p[i])) {
            return false;
        }
    }
    return true;
}

/* ---- where the head ends ---- */

static struct err scan_fail(struct h1_scan *s, int status, enum err_code code, const char *what)
{
    s->status = status;
    return err_make(code, "%s", what);
}

/* The line that ends at `at` (its LF) must end in CRLF; the first must not be empty. */
static struct err check_line_end(struct h1_scan *scan, struct str bytes, size_t at)
{
    if (at == 0 || bytes.p[at - 1] != '\r') {
        return scan_fail(scan, 400, ERR_SYNTAX, "a line that ends in a bare LF");
    }
    if (at == 1) {
        return scan_fail(scan, 400, ERR_SYNTAX, "an empty line before the message");
    }
    return OK;
}

static struct err check_scan_limits(struct h1_scan *scan, size_t n, const struct h1_limits *lim)
{
    size_t head_max = lim->head_max > 0 ? lim->head_max : (size_t)H1_HEAD_MAX;
    size_t line_max = lim->line_max > 0 ? lim->line_max : (size_t)H1_LINE_MAX;
    if (scan->line == 0 && n > line_max) {
        return scan_fail(scan, 414, ERR_LIMIT, "the start line is too long");
    }
    if (scan->line > line_max) {
        return scan_fail(scan, 414, ERR_LIMIT, "the start line is too long");
    }
    if (n > head_max) {
        return scan_fail(scan, 431, ERR_LIMIT, "the headers are too long");
    }
    return OK;
}

struct err h1_head_end(struct h1_scan *scan, struct str bytes, const struct h1_limits *lim,
                       size_t *head_len)
{
    *head_len = 0;
    while (scan->seen < bytes.n) {
        const char *lf = memchr(bytes.p + scan->seen, '\n', bytes.n - scan->seen);
        if (lf == NULL) {
            scan->seen = bytes.n;
            break;
        }
        size_t at = (size_t)(lf - bytes.p);
        TRY(check_line_end(scan, bytes, at));
        bool blank = at >= 3 && bytes.p[at - 2] == '\n';
        if (scan->line == 0) {
            scan->line = at + 1;
        }
        scan->seen = at + 1;
        if (blank) {
            TRY(check_scan_limits(scan, at + 1, lim));
            *head_len = at + 1;
            return OK;
        }
    }
    return check_scan_limits(scan, bytes.n, lim);
}

/* ---- the head itself ---- */

struct h1_parse {
    struct arena *arena;
    struct h1_head *out;
    size_t headers_max;
    size_t cap;
    unsigned lengths, hosts;
    bool te, te_chunked_last, close, keep_alive;
};

static struct err bad(struct h1_parse *p, int status, const char *what)
{
    p->out->status = status;
    return err_make(status == 431 ? ERR_LIMIT : ERR_SYNTAX, "%s", what);
}

/* The next line without its CRLF; the head is known to end in an empty line. */
static struct str take_line(char **at, char *end)
{
    char *lf = memchr(*at, '\n', (size_t)(end - *at));
    struct str line = str_n(*at, lf != NULL ? (size_t)(lf - *at) - 1 : (size_t)(end - *at));
    *at = lf != NULL ? lf + 1 : end;
    return line;
}

static struct err parse_version(struct h1_parse *p, struct str v)
{
    if (v.n != 8 || memcmp(v.p, "HTTP/", 5) != 0 || !is_digit(v.p[5]) || v.p[6] != '.' ||
        !is_digit(v.p[7])) {
        return bad(p, 400, "the version is not HTTP/1.0 or HTTP/1.1");
    }
    if (v.p[5] != '1' || v.p[7] > '1') {
        return bad(p, 505, "only HTTP/1.0 and HTTP/1.1 are spoken here");
    }
    p->out->minor = v.p[7] - '0';
    return OK;
}

/* Visible ASCII only: no blanks, no controls, and no raw UTF-8 either. */
static bool target_is_clean(struct str t)
{
    for (size_t i = 0; i < t.n; i++) {
        if (t.p[i] <= 0x20 || t.p[i] == 0x7f) {
            return false;
        }
    }
    return t.n > 0 && memchr(t.p, '#', t.n) == NULL;
}

/* The four forms of RFC 9112 section 3.2; an absolute form's authority replaces Host. */
static struct err check_target(struct h1_parse *p)
{
    struct h1_head *h = p->out;
    if (!target_is_clean(h->target)) {
        return bad(p, 400, "the request target has characters that must be percent-encoded");
    }
    if (str_is(h->method, "CONNECT")) {
        size_t colon = str_rfind_char(h->target, ':');
        bool fine = colon != STR_NPOS && colon > 0 && colon + 1 < h->target.n &&
                    str_find_char(h->target, '/') == STR_NPOS &&
                    str_find_char(h->target, '@') == STR_NPOS;
        return fine ? OK : bad(p, 400, "CONNECT needs host:port");
    }
    if (h->target.p[0] == '/' || (str_is(h->target, "*") && str_is(h->method, "OPTIONS"))) {
        return OK;
    }
    size_t from = str_starts_nocase(h->target, S("http://"))    ? 7
                  : str_starts_nocase(h->target, S("https://")) ? 8
                                                                : 0;
    struct str rest = str_sub(h->target, from, h->target.n);
    size_t slash = 0;
    while (slash < rest.n && rest.p[slash] != '/' && rest.p[slash] != '?') {
        slash++;
    }
    h->host = str_sub(rest, 0, slash);
    bool fine = from > 0 && h->host.n > 0 && str_find_char(h->host, '@') == STR_NPOS;
    return fine ? OK : bad(p, 400, "the request target is neither /path nor http://host/path");
}

static struct err parse_request_line(struct h1_parse *p, struct str line)
{
    size_t a = str_find_char(line, ' ');
    struct str rest = a == STR_NPOS ? STR_EMPTY : str_sub(line, a + 1, line.n);
    size_t b = rest.n > 0 ? str_find_char(rest, ' ') : STR_NPOS;
    if (b == STR_NPOS) {
        return bad(p, 400, "the request line is not METHOD target HTTP/1.1");
    }
    p->out->method = str_sub(line, 0, a);
    p->out->target = str_sub(rest, 0, b);
    if (!h1_is_token(p->out->method) || p->out->method.n > 32) {
        return bad(p, 400, "the method is not a token");
    }
    TRY(parse_version(p, str_sub(rest, b + 1, rest.n)));
    return check_target(p);
}

static struct err parse_status_line(struct h1_parse *p, struct str line)
{
    bool fine = line.n >= 12 && line.p[8] == ' ' && is_digit(line.p[9]) && is_digit(line.p[10]) &&
                is_digit(line.p[11]) && (line.n == 12 || line.p[12] == ' ') && line.p[9] >= '1' &&
                line.p[9] <= '5';
    if (!fine) {
        return bad(p, 502, "the status line is not HTTP/1.1 200 reason");
    }
    TRY(parse_version(p, str_sub(line, 0, 8)));
    p->out->code = (line.p[9] - '0') * 100 + (line.p[10] - '0') * 10 + (line.p[11] - '0');
    p->out->reason = str_sub(line, 13, line.n);
    return h1_is_value(p->out->reason) ? OK : bad(p, 502, "control characters in the status line");
}

/* ---- headers with a meaning for framing ---- */

static struct err note_length(struct h1_parse *p, struct str v)
{
    if (++p->lengths > 1) {
        return bad(p, 400, "more than one Content-Length");
    }
    uint64_t n = 0;
    bool fine = v.n > 0 && v.n <= 18;
    for (size_t i = 0; fine && i < v.n; i++) {
        fine = is_digit(v.p[i]);
        n = n * 10 + (uint64_t)(v.p[i] - '0');
    }
    p->out->content_length = n;
    return fine ? OK : bad(p, v.n > 18 ? 413 : 400, "Content-Length is not a number");
}

/* Only "chunked", once: what else a peer might layer under it nobody here decodes. */
static struct err note_te(struct h1_parse *p, struct str v)
{
    if (p->te || !str_eq_nocase(v, S("chunked"))) {
        return bad(p, 501, "a Transfer-Encoding other than one 'chunked'");
    }
    p->te = true;
    return OK;
}

static void note_connection(struct h1_parse *p, struct str v)
{
    while (v.p != NULL) {
        struct str option = str_trim(str_split(&v, ','));
        p->close |= str_eq_nocase(option, S("close"));
        p->keep_alive |= str_eq_nocase(option, S("keep-alive"));
        p->out->upgrade |= str_eq_nocase(option, S("upgrade"));
    }
}

/* uri-host [":" port]: what could be taken for something else is refused. */
static bool host_is_clean(struct str v)
{
    for (size_t i = 0; i < v.n; i++) {
        unsigned char c = (unsigned char)v.p[i];
        if (c <= 0x20 || c >= 0x7f || memchr("/?#@\\,\"<>", c, 9) != NULL) {
            return false;
        }
    }
    return true;
}

static struct err note_host(struct h1_parse *p, struct str v)
{
    if (++p->hosts > 1) {
        return bad(p, 400, "more than one Host");
    }
    if (!host_is_clean(v)) {
        return bad(p, 400, "Host is not a host name with an optional port");
    }
    if (p->out->host.n == 0) {
        p->out->host = v;
    }
    return OK;
}

static struct err note_special(struct h1_parse *p, struct str name, struct str v)
{
    switch (name.n) {
    case 4:
        return memcmp(name.p, "host", 4) == 0 ? note_host(p, v) : OK;
    case 6:
        if (memcmp(name.p, "expect", 6) == 0) {
            if (!str_eq_nocase(v, S("100-continue"))) {
                return bad(p, 417, "an expectation other than 100-continue");
            }
            p->out->expect_continue = true;
        }
        return OK;
    case 10:
        if (memcmp(name.p, "connection", 10) == 0) {
            note_connection(p, v);
        }
        return OK;
    case 14:
        return memcmp(name.p, "content-length", 14) == 0 ? note_length(p, v) : OK;
    case 17:
        return memcmp(name.p, "transfer-encoding", 17) == 0 ? note_te(p, v) : OK;
    default:
        return OK;
    }
}

/* ---- any header ---- */

/* Lower-cases the name in place and finds the colon that must follow it directly. */
static char *take_name(char *at, char *end)
{
    char *start = at;
    while (at < end && is_tchar((unsigned char)*at)) {
        if (*at >= 'A' && *at <= 'Z') {
            *at |= 0x20;
        }
        at++;
    }
    return at < end && at > start && *at == ':' ? at : NULL;
}

static struct err parse_header(struct h1_parse *p, char *line, char *end)
{
    char *colon = take_name(line, end);
    if (colon == NULL) {
        bool folded = line < end && (*line == ' ' || *line == '\t');
        return bad(p, 400, folded ? "a folded header line" : "a header is not name: value");
    }
    char *v = colon + 1, *stop = end;
    while (v < stop && (*v == ' ' || *v == '\t')) {
        v++;
    }
    while (stop > v && (stop[-1] == ' ' || stop[-1] == '\t')) {
        stop--;
    }
    struct str value = str_n(v, (size_t)(stop - v));
    if (!h1_is_value(value)) {
        return bad(p, 400, "control characters in a header");
    }
    struct h1_head *h = p->out;
    if (h->n_headers == p->headers_max) {
        return bad(p, 431, "too many headers");
    }
    h->headers = arena_grow(p->arena, h->headers, h->n_headers, h->n_headers + 1, &p->cap,
                            sizeof(*h->headers));
    struct str name = str_n(line, (size_t)(colon - line));
    h->headers[h->n_headers++] = (struct http_header){name, value};
    return note_special(p, name, value);
}

static struct err parse_headers(struct h1_parse *p, char *at, char *end)
{
    enum { USUAL_HEADERS = 16 };
    p->cap = USUAL_HEADERS;
    p->out->headers = arena_alloc_raw(p->arena, USUAL_HEADERS * sizeof(struct http_header), 16);
    while (at < end) {
        struct str line = take_line(&at, end);
        if (line.n == 0) {
            break;
        }
        char *start = at - line.n - 2;
        TRY(parse_header(p, start, start + line.n));
    }
    if (p->te && (p->lengths > 0 || p->out->minor == 0)) {
        return bad(p, 400, "Transfer-Encoding together with Content-Length, or in HTTP/1.0");
    }
    return OK;
}

static void set_keep_alive(struct h1_parse *p)
{
    p->out->keep_alive = !p->close && (p->out->minor > 0 || p->keep_alive);
}

static struct h1_parse parse_begin(struct arena *a, const struct h1_limits *lim,
                                   struct h1_head *out)
{
    *out = (struct h1_head){.status = 400};
    return (struct h1_parse){.arena = a,
                             .out = out,
                             .headers_max =
                                 lim->headers_max > 0 ? lim->headers_max : (size_t)H1_HEADERS_MAX};
}

struct err h1_parse_request(struct arena *a, char *bytes, size_t n, const struct h1_limits *lim,
                            struct h1_head *out)
{
    struct h1_parse p = parse_begin(a, lim, out);
    char *at = bytes, *end = bytes + n;
    TRY(parse_request_line(&p, take_line(&at, end)));
    struct str absolute = out->host;
    TRY(parse_headers(&p, at, end));
    if (out->minor > 0 && p.hosts == 0) {
        return bad(&p, 400, "HTTP/1.1 needs a Host header");
    }
    if (absolute.n > 0) {
        out->host = absolute;
    }
    out->framing = p.te ? H1_CHUNKED : out->content_length > 0 ? H1_LENGTH : H1_NO_BODY;
    set_keep_alive(&p);
    return OK;
}

/* RFC 9112 section 6.3, in its order. */
static enum h1_framing response_framing(const struct h1_parse *p, struct str method)
{
    int code = p->out->code;
    if (code == 101 || (str_is(method, "CONNECT") && code / 100 == 2)) {
        return H1_TUNNEL;
    }
    if (str_is(method, "HEAD") || code / 100 == 1 || code == 204 || code == 304) {
        return H1_NO_BODY;
    }
    if (p->te) {
        return H1_CHUNKED;
    }
    if (p->lengths > 0) {
        return p->out->content_length > 0 ? H1_LENGTH : H1_NO_BODY;
    }
    return H1_UNTIL_CLOSE;
}

struct err h1_parse_response(struct arena *a, char *bytes, size_t n, const struct h1_limits *lim,
                             struct str method, struct h1_head *out)
{
    struct h1_parse p = parse_begin(a, lim, out);
    char *at = bytes, *end = bytes + n;
    TRY(parse_status_line(&p, take_line(&at, end)));
    TRY(parse_headers(&p, at, end));
    out->framing = response_framing(&p, method);
    set_keep_alive(&p);
    out->keep_alive &= out->framing != H1_UNTIL_CLOSE && out->framing != H1_TUNNEL;
    return OK;
}

struct str h1_header(const struct h1_head *h, const char *lower_name)
{
    for (size_t i = 0; i < h->n_headers; i++) {
        if (str_is(h->headers[i].name, lower_name)) {
            return h->headers[i].value;
        }
    }
    return STR_EMPTY;
}
