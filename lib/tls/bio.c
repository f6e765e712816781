/* A BIO over a session's two buffers: OpenSSL reads what was fed and writes what will be sent. */
#include "tls_priv.h"

static int bio_read(BIO *b, char *dst, size_t want, size_t *got)
{
    struct tls_session *s = BIO_get_data(b);
    size_t n = MIN(want, s->in.n - s->taken);
    BIO_clear_retry_flags(b);
    if (n == 0) {
        BIO_set_retry_read(b);
        return 0;
    }
    memcpy(dst, s->in.p + s->taken, n);
    s->taken += n;
    *got = n;
    return 1;
}

static int bio_write(BIO *b, const char *src, size_t n, size_t *put)
{
    struct tls_session *s = BIO_get_data(b);
    BIO_clear_retry_flags(b);
    buf_put(&s->out, src, n);
    if (!buf_ok(&s->out)) {
        return 0;
    }
    *put = n;
    return 1;
}

static long bio_ctrl(BIO *b, int cmd, long num, void *ptr)
{
    return cmd == BIO_CTRL_FLUSH || cmd == BIO_CTRL_DUP ? 1 : 0;
}

BIO *tls_bio_new(struct tls_session *s)
{
    static BIO_METHOD *method;
    if (method == NULL) {
        method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "session");
        BUG_ON(method == NULL || BIO_meth_set_read_ex(method, bio_read) != 1 ||
               BIO_meth_set_write_ex(method, bio_write) != 1 ||
               BIO_meth_set_ctrl(method, bio_ctrl) != 1);
    }
    BIO *b = BIO_new(method);
    BUG_ON(b == NULL);
    BIO_set_data(b, s);
    BIO_set_init(b, 1);
    return b;
}
