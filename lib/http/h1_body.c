/* Message bodies: RFC 9112 sections 6 and 7.1. */
#include "h1.h"

#include <string.h>

enum { EXTENSION_MAX = 256, TRAILERS_MAX = 8192, SIZE_DIGITS_MAX = 16 };

enum chunk_state {
    SIZE,      /* hexadecimal digits */
    EXTENSION, /* after ';' up to CR */
    SIZE_LF,
    DATA,
    DATA_CR,
    DATA_LF,
    TRAILER_START, /* first character of a trailer line, or the CR of the end */
    TRAILER,
    TRAILER_LF,
    END_LF,
};

void h1_body_init(struct h1_body *b, const struct h1_head *h, uint64_t max)
{
    *b = (struct h1_body){.framing = h->framing, .max = max, .state = SIZE};
    b->left = h->framing == H1_LENGTH ? h->content_length : 0;
    b->done = h->framing == H1_NO_BODY;
}

static struct err bad(struct h1_body *b, int status, const char *what)
{
    b->status = status;
    return err_make(status == 413 ? ERR_LIMIT : ERR_SYNTAX, "%s", what);
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static struct err size_char(struct h1_body *b, char c)
{
    int v = hex_value(c);
    if (v >= 0) {
        b->left = b->left << 4 | (uint64_t)v;
        return ++b->count <= SIZE_DIGITS_MAX - 1 ? OK : bad(b, 400, "a chunk size too long");
    }
    if (b->count == 0 || (c != ';' && c != '\r')) {
        return bad(b, 400, "a chunk size that is not hexadecimal digits");
    }
    if (b->left > b->max - MIN(b->total, b->max)) {
        return bad(b, 413, "the body is too long");
    }
    b->count = 0;
    b->state = c == ';' ? EXTENSION : SIZE_LF;
    return OK;
}

static struct err skip_until_cr(struct h1_body *b, char c, unsigned max, int next)
{
    if (c == '\r') {
        b->state = next;
        return OK;
    }
    bool clean = (unsigned char)c >= 0x20 ? c != 0x7f : c == '\t';
    return clean && ++b->count <= max
               ? OK
               : bad(b, 400, "a wrong or too long chunk extension or trailer");
}

static struct err need(struct h1_body *b, char c, char want, int next)
{
    b->state = next;
    return c == want ? OK : bad(b, 400, "CRLF is missing in a chunked body");
}

static struct err chunk_char(struct h1_body *b, char c)
{
    switch ((enum chunk_state)b->state) {
    case SIZE:
        return size_char(b, c);
    case EXTENSION:
        return skip_until_cr(b, c, EXTENSION_MAX, SIZE_LF);
    case SIZE_LF:
        b->count = 0;
        return need(b, c, '\n', b->left > 0 ? DATA : TRAILER_START);
    case DATA_CR:
        return need(b, c, '\r', DATA_LF);
    case DATA_LF:
        return need(b, c, '\n', SIZE);
    case TRAILER_START:
        if (c == '\r') {
            b->state = END_LF;
            return OK;
        }
        b->state = TRAILER;
        return c != ' ' && c != '\t' ? skip_until_cr(b, c, TRAILERS_MAX, TRAILER_LF)
                                     : bad(b, 400, "a folded trailer line");
    case TRAILER:
        return skip_until_cr(b, c, TRAILERS_MAX, TRAILER_LF);
    case TRAILER_LF:
        return need(b, c, '\n', TRAILER_START);
    case END_LF:
        b->done = true;
        return need(b, c, '\n', END_LF);
    case DATA:
        break;
    }
    return OK;
}

static struct str take(struct h1_body *b, struct str *in)
{
    size_t n = (size_t)MIN((uint64_t)in->n, b->left);
    struct str piece = str_sub(*in, 0, n);
    *in = str_sub(*in, n, in->n);
    b->left -= n;
    b->total += n;
    return piece;
}

static struct err next_chunked(struct h1_body *b, struct str *in, struct str *piece)
{
    while (in->n > 0 && !b->done) {
        if (b->state == DATA) {
            *piece = take(b, in);
            b->state = b->left == 0 ? DATA_CR : DATA;
            return OK;
        }
        TRY(chunk_char(b, in->p[0]));
        *in = str_sub(*in, 1, in->n);
    }
    return OK;
}

struct err h1_body_next(struct h1_body *b, struct str *in, struct str *piece)
{
    *piece = STR_EMPTY;
    switch (b->framing) {
    case H1_LENGTH:
        if (b->left + b->total > b->max) {
            return bad(b, 413, "the body is too long");
        }
        *piece = take(b, in);
        b->done = b->left == 0;
        return OK;
    case H1_CHUNKED:
        return next_chunked(b, in, piece);
    case H1_UNTIL_CLOSE:
        b->left = b->max - MIN(b->total, b->max);
        if (in->n > b->left) {
            return bad(b, 413, "the body is too long");
        }
        *piece = take(b, in);
        return OK;
    case H1_TUNNEL:
        *piece = *in;
        *in = STR_EMPTY;
        return OK;
    case H1_NO_BODY:
        break;
    }
    return OK;
}

const char *http_reason(int code)
{
    static const struct {
        int code;
        const char *text;
    } reasons[] = {
        {100, "Continue"},
        {101, "Switching Protocols"},
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {206, "Partial Content"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {303, "See Other"},
        {304, "Not Modified"},
        {307, "Temporary Redirect"},
        {308, "Permanent Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {411, "Length Required"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {416, "Range Not Satisfiable"},
        {417, "Expectation Failed"},
        {421, "Misdirected Request"},
        {422, "Unprocessable Content"},
        {426, "Upgrade Required"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {472, "Unhealthy Standby"},
        {473, "Standby"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
    };
    for (size_t i = 0; i < ARRAY_LEN(reasons); i++) {
        if (reasons[i].code == code) {
            return reasons[i].text;
        }
    }
    return "";
}
