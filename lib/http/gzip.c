#include "gzip.h"

#include <zlib.h>

enum { GZIP_WINDOW = 16 + MAX_WBITS, STEP = 64 * 1024, GZIP_HEADER = 10 };

/* What went wrong inside a member: a trailer that does not fit is told apart from broken content. */
static struct err bad_member(const z_stream *z, int rc)
{
    if (rc == Z_BUF_ERROR) {
        return err_make(ERR_SYNTAX, "unexpected EOF");
    }
    const char *why = z->msg != NULL ? z->msg : "";
    if (strcmp(why, "incorrect data check") == 0 || strcmp(why, "incorrect length check") == 0) {
        return err_make(ERR_SYNTAX, "gzip: invalid checksum");
    }
    if (strcmp(why, "incorrect header check") == 0 ||
        strcmp(why, "unknown compression method") == 0 ||
        strcmp(why, "unknown header flags set") == 0 || strcmp(why, "header crc mismatch") == 0) {
        return err_make(ERR_SYNTAX, "gzip: invalid header");
    }
    return err_make(ERR_SYNTAX, "flate: corrupt input");
}

static struct err inflate_all(z_stream *z, struct buf *out)
{
    for (;;) {
        size_t room = MIN((size_t)STEP, out->max - MIN(out->n, out->max));
        unsigned char probe;
        unsigned char *to = room > 0 ? (unsigned char *)buf_reserve(out, room) : &probe;
        ENSURE(to != NULL, ERR_LIMIT, "more than %zu bytes", out->max);
        z->next_out = to;
        z->avail_out = room > 0 ? (unsigned)room : 1;
        int rc = inflate(z, Z_NO_FLUSH);
        size_t got = (room > 0 ? room : 1) - z->avail_out;
        ENSURE(room > 0 || got == 0, ERR_LIMIT, "more than %zu bytes", out->max);
        buf_commit(out, got);
        if (rc == Z_STREAM_END) {
            if (z->avail_in == 0) {
                return OK;
            }
            rc = inflateReset(z); /* another member follows */
        }
        if (rc != Z_OK || (z->avail_in == 0 && z->avail_out > 0)) {
            return bad_member(z, rc == Z_OK ? Z_BUF_ERROR : rc);
        }
    }
}

struct err gzip_unpack(struct str packed, struct buf *out)
{
    z_stream z = {.next_in = (unsigned char *)(uintptr_t)packed.p};
    ENSURE(packed.n > 0, ERR_SYNTAX, "EOF");
    ENSURE(packed.n >= GZIP_HEADER, ERR_SYNTAX, "unexpected EOF");
    ENSURE(packed.n <= UINT32_MAX, ERR_LIMIT, "more than 4 GiB");
    z.avail_in = (unsigned)packed.n;
    ENSURE(inflateInit2(&z, GZIP_WINDOW) == Z_OK, ERR_LIMIT, "out of memory");
    struct err e = inflate_all(&z, out);
    inflateEnd(&z);
    return e;
}

struct err gzip_pack(struct str plain, int level, struct buf *out)
{
    z_stream z = {.next_in = (unsigned char *)(uintptr_t)plain.p};
    ENSURE(plain.n <= UINT32_MAX / 2, ERR_LIMIT, "more than 2 GiB");
    z.avail_in = (unsigned)plain.n;
    ENSURE(deflateInit2(&z, level, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY) == Z_OK,
           ERR_LIMIT, "out of memory");
    size_t bound = MIN((size_t)deflateBound(&z, plain.n), out->max - MIN(out->n, out->max));
    char *to = buf_reserve(out, bound);
    int rc = Z_BUF_ERROR;
    if (to != NULL) {
        z.next_out = (unsigned char *)to;
        z.avail_out = (unsigned)bound;
        rc = deflate(&z, Z_FINISH);
    }
    if (rc == Z_STREAM_END) {
        buf_commit(out, bound - z.avail_out);
    }
    deflateEnd(&z);
    ENSURE(rc == Z_STREAM_END, ERR_LIMIT, "more than %zu bytes", out->max);
    return OK;
}
