/*
 * err: what a function that can fail returns, and where its human detail is kept.
 *
 * `struct err` is a newtype, so an int is never mistaken for one, and the compiler refuses to let
 * one go unread. Zero is success. Results travel through trailing out-parameters, which stay
 * untouched on failure.
 *
 * The detail (what, where, what would be right) is written by FAIL into a per-thread context that
 * holds the most recent failure; read it with err_detail() before calling anything else that may
 * fail. It is never shown to a client unless the code's row below says so, and never holds a
 * secret.
 *
 *     struct err port_parse(struct str text, uint16_t *out)
 *     {
 *         uint64_t n;
 *         TRY(str_to_u64(text, &n));
 *         ENSURE(n > 0 && n < 65536, ERR_RANGE, "port %" PRIu64 " is not in 1..65535", n);
 *         *out = (uint16_t)n;
 *         return OK;
 *     }
 */
#ifndef SEXTANT_ERR_H
#define SEXTANT_ERR_H

#include "base.h"
#include "str.h"

#if defined(__clang__)
#define NODISCARD_TYPE __attribute__((warn_unused_result))
#else
#define NODISCARD_TYPE [[nodiscard]]
#endif

/*
 * code, text, HTTP status, OAuth error, gRPC status.
 * The one table from which every protocol takes its form of an error.
 */
#define ERR_TABLE(X)                                                                               \
    X(OK, "ok", 200, "", 0)                                                                        \
    X(SYNTAX, "malformed input", 400, "invalid_request", 3)                                        \
    X(RANGE, "value out of range", 400, "invalid_request", 3)                                      \
    X(LIMIT, "limit exceeded", 413, "invalid_request", 8)                                          \
    X(INVALID, "invalid request", 400, "invalid_request", 3)                                       \
    X(UNSUPPORTED, "unsupported", 405, "unsupported_grant_type", 12)                               \
    X(NOT_FOUND, "not found", 404, "invalid_request", 5)                                           \
    X(EXISTS, "already exists", 409, "invalid_request", 6)                                         \
    X(CONFLICT, "conflict", 409, "invalid_request", 10)                                            \
    X(UNAUTHENTICATED, "not authenticated", 401, "invalid_client", 16)                             \
    X(DENIED, "permission denied", 403, "access_denied", 7)                                        \
    X(EXPIRED, "expired", 401, "invalid_grant", 16)                                                \
    X(REVOKED, "revoked", 401, "invalid_grant", 16)                                                \
    X(SIGNATURE, "signature does not verify", 401, "invalid_grant", 16)                            \
    X(SEALED, "sealed", 503, "temporarily_unavailable", 14)                                        \
    X(BUSY, "too many requests", 429, "temporarily_unavailable", 8)                                \
    X(UNAVAILABLE, "unavailable", 503, "temporarily_unavailable", 14)                              \
    X(TIMEOUT, "timed out", 504, "temporarily_unavailable", 4)                                     \
    X(CLOSED, "connection closed", 502, "server_error", 14)                                        \
    X(IO, "input/output error", 500, "server_error", 13)                                           \
    X(CRYPTO, "cryptographic library failed", 500, "server_error", 13)                             \
    X(INTERNAL, "internal error", 500, "server_error", 13)

enum err_code {
#define X(code, text, http, oauth, grpc) ERR_##code,
    ERR_TABLE(X)
#undef X
        ERR_MAX
};

struct NODISCARD_TYPE err {
    uint16_t code; /* enum err_code; 0 is success */
};

#define OK ((struct err){0})

static inline bool failed(struct err e)
{
    return unlikely(e.code != 0);
}

/* Records detail for `code` on this thread and returns it as an error. `code` must not be ERR_OK. */
struct err err_make(enum err_code code, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* As err_make, with a position in the input: line and column count from 1, 0 means unknown. */
struct err err_make_at(enum err_code code, unsigned line, unsigned col, const char *fmt, ...)
    PRINTF_LIKE(4, 5);

/* Puts "prefix: " before the detail of `e` and returns `e`: callers add what they were doing. */
struct err err_wrap(struct err e, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Detail of this thread's latest failure: never NULL, at most ERR_DETAIL_MAX bytes. */
const char *err_detail(void);
unsigned err_line(void);
unsigned err_col(void);

const char *err_text(struct err e);  /* the table's text, e.g. "not found" */
int err_http_status(struct err e);   /* 200..599 */
const char *err_oauth(struct err e); /* RFC 6749 section 5.2 code */
int err_grpc_status(struct err e);   /* 0..16 */

enum { ERR_DETAIL_MAX = 1024 };

#define FAIL(code, ...) return err_make((code), __VA_ARGS__)

#define TRY(call)                                                                                  \
    do {                                                                                           \
        struct err try_err_ = (call);                                                              \
        if (failed(try_err_)) {                                                                    \
            return try_err_;                                                                       \
        }                                                                                          \
    } while (0)

#define ENSURE(cond, code, ...)                                                                    \
    do {                                                                                           \
        if (unlikely(!(cond))) {                                                                   \
            return err_make((code), __VA_ARGS__);                                                  \
        }                                                                                          \
    } while (0)

/* For calls whose failure is handled by doing nothing, said aloud. */
static inline void ignore_err(struct err e)
{
    (void)e;
}

#endif
