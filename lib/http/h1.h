/*
 * h1: HTTP/1.1 messages as bytes. A strict, incremental parser for requests and responses, body
 * framing, and chunk writing. No sockets here; the server, the client and the mesh proxy share it.
 *
 * Strict means that what two parsers could read differently is refused (RFC 9112): bare LF, obs-fold,
 * a space before the colon, Content-Length together with Transfer-Encoding, several Content-Lengths, any
 * transfer coding but one final "chunked", several or missing Host, control characters, a chunk size
 * with more than 16 digits. Limits are checked before memory is taken.
 *
 *     size_t head = 0;
 *     TRY(h1_head_end(&scan, bytes, &limits, &head));       0: need more bytes
 *     TRY(h1_parse_request(arena, copy, head, &limits, &h));
 *     h1_body_init(&body, &h, limits.body_max);
 *     while (in.n > 0 && !body.done) { TRY(h1_body_next(&body, &in, &piece)); use(piece); }
 *
 * On failure `status` in struct h1_scan / h1_head / h1_body is the answer a server owes (400, 413, 414,
 * 431, 501, 505).
 */
#ifndef SEXTANT_H1_H
#define SEXTANT_H1_H

#include "lib/base/arena.h"

struct http_header {
    struct str name; /* lower case */
    struct str value;
};

struct h1_limits {
    size_t head_max;    /* bytes of start line and headers; 0: H1_HEAD_MAX */
    size_t line_max;    /* bytes of the start line; 0: H1_LINE_MAX */
    size_t headers_max; /* number of headers; 0: H1_HEADERS_MAX */
};

enum { H1_HEAD_MAX = 32 * 1024, H1_LINE_MAX = 16 * 1024, H1_HEADERS_MAX = 128 };

enum h1_framing {
    H1_NO_BODY,
    H1_LENGTH, /* content_length bytes */
    H1_CHUNKED,
    H1_UNTIL_CLOSE, /* responses only */
    H1_TUNNEL,      /* a 2xx answer to CONNECT, or 101: what follows is not HTTP/1.1 */
};

struct h1_head {
    struct str method, target; /* requests */
    int code;                  /* responses: 100..599 */
    struct str reason;
    int minor; /* HTTP/1.minor, 0 or 1 */
    struct http_header *headers;
    size_t n_headers;
    enum h1_framing framing;
    uint64_t content_length;
    bool keep_alive; /* the sender will read (or send) another message afterwards */
    bool expect_continue;
    bool upgrade;    /* Connection: upgrade is present */
    struct str host; /* requests: Host, or the authority of an absolute target */
    int status;      /* after a failure: what to answer */
};

/* How far the end of a head has been looked for; zero it for each message. */
struct h1_scan {
    size_t seen, line;
    int status;
};

/*
 * Looks for the blank line in `bytes` (the whole of what has come so far, from the message's first byte).
 * *head_len is 0 while it is missing. Empty lines before a request are refused. ERR_LIMIT, ERR_SYNTAX.
 */
struct err h1_head_end(struct h1_scan *scan, struct str bytes, const struct h1_limits *lim,
                       size_t *head_len);

/*
 * Parses a complete head. `bytes` is writable, is changed (names become lower case) and must live
 * as long as `out`, which points into it; the header table is in the arena.
 */
struct err h1_parse_request(struct arena *a, char *bytes, size_t n, const struct h1_limits *lim,
                            struct h1_head *out);
/* `method` is that of the request answered: it decides the framing (HEAD, CONNECT). */
struct err h1_parse_response(struct arena *a, char *bytes, size_t n, const struct h1_limits *lim,
                             struct str method, struct h1_head *out);

struct str h1_header(const struct h1_head *h, const char *lower_name); /* first value, or empty */

/* ---- bodies ---- */

struct h1_body {
    enum h1_framing framing;
    uint64_t left;  /* bytes left of the length or of this chunk */
    uint64_t total; /* bytes delivered */
    uint64_t max;
    int state;
    unsigned count; /* digits of a size, bytes of an extension, of trailers */
    bool done;
    int status;
};

void h1_body_init(struct h1_body *b, const struct h1_head *h, uint64_t max);
/*
 * Takes from the front of `in`; `piece` is the next stretch of content inside it, maybe empty.
 * Call until `in` is empty or b->done. Trailers are checked and dropped. ERR_SYNTAX, ERR_LIMIT.
 */
struct err h1_body_next(struct h1_body *b, struct str *in, struct str *piece);

/* Is `name` a token (RFC 9110 section 5.6.2)? Is `value` free of control characters? For writers. */
bool h1_is_token(struct str name);
bool h1_is_value(struct str value);

const char *http_reason(int code); /* "Not Found"; "" for an unknown code */

#endif
