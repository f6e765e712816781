#include "err.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static _Thread_local struct {
    char text[ERR_DETAIL_MAX];
    unsigned line, col;
} latest;

static const struct {
    const char *text, *oauth;
    int http, grpc;
} table[] = {
#define X(code, text, http, oauth, grpc) {text, oauth, http, grpc},
    ERR_TABLE(X)
#undef X
};

void bug_abort(const char *file, int line, const char *what)
{
    dprintf(STDERR_FILENO, "BUG at %s:%d: %s\n", file, line, what);
    abort();
}

static struct err record(enum err_code code, unsigned line, unsigned col, const char *fmt,
                         va_list ap)
{
    BUG_ON(code == ERR_OK || code >= ERR_MAX);
    /* Formatted aside first: an argument may be the previous detail itself. */
    char text[ERR_DETAIL_MAX];
    vsnprintf(text, sizeof(text), fmt, ap);
    memcpy(latest.text, text, sizeof(text));
    latest.line = line;
    latest.col = col;
    return (struct err){(uint16_t)code};
}

struct err err_make(enum err_code code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    struct err e = record(code, 0, 0, fmt, ap);
    va_end(ap);
    return e;
}

struct err err_make_at(enum err_code code, unsigned line, unsigned col, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    struct err e = record(code, line, col, fmt, ap);
    va_end(ap);
    return e;
}

struct err err_wrap(struct err e, const char *fmt, ...)
{
    BUG_ON(e.code == ERR_OK);
    char prefix[ERR_DETAIL_MAX], text[ERR_DETAIL_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(prefix, sizeof(prefix), fmt, ap);
    va_end(ap);
    size_t n = strlen(prefix);
    n = MIN(n, sizeof(text) / 2);
    snprintf(text, sizeof(text), "%.*s: %s", (int)n, prefix, latest.text);
    memcpy(latest.text, text, sizeof(text));
    return e;
}

const char *err_detail(void)
{
    return latest.text;
}

unsigned err_line(void)
{
    return latest.line;
}

unsigned err_col(void)
{
    return latest.col;
}

static size_t row(struct err e)
{
    return e.code < ERR_MAX ? e.code : ERR_INTERNAL;
}

const char *err_text(struct err e)
{
    return table[row(e)].text;
}

int err_http_status(struct err e)
{
    return table[row(e)].http;
}

const char *err_oauth(struct err e)
{
    return table[row(e)].oauth;
}

int err_grpc_status(struct err e)
{
    return table[row(e)].grpc;
}
