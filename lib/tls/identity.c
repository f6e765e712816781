#include "tls_priv.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PEM_FILE_MAX = 1024 * 1024 };

struct err tls_identity_new(const struct x509_chain *chain, struct key *key,
                            struct tls_identity **out)
{
    ENSURE(chain->n > 0, ERR_INVALID, "an identity needs a certificate");
    ENSURE(key_is_private(key), ERR_INVALID, "an identity needs a private key");
    ENSURE(str_eq(chain->certs[0]->spki, key_spki(key)), ERR_INVALID,
           "the private key does not belong to the certificate");
    struct tls_identity *i = calloc(1, sizeof(*i));
    BUG_ON(i == NULL);
    i->refs = 1;
    i->chain.n = chain->n;
    for (size_t n = 0; n < chain->n; n++) {
        i->chain.certs[n] = x509_cert_ref(chain->certs[n]);
    }
    i->key = key_ref(key);
    *out = i;
    return OK;
}

struct err tls_identity_from_pem(struct str chain_pem, struct str key_pem,
                                 struct tls_identity **out)
{
    struct x509_chain chain;
    struct key *key;
    TRY(x509_chain_from_pem(chain_pem, &chain));
    struct err e = key_from_pem(key_pem, &key);
    if (!failed(e)) {
        e = tls_identity_new(&chain, key, out);
        key_unref(key);
    }
    x509_chain_release(&chain);
    return e;
}

static struct err read_file(const char *path, struct buf *b)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    ENSURE(fd >= 0, ERR_NOT_FOUND, "cannot open %s", path);
    ssize_t n = 1;
    while (n > 0 && buf_ok(b)) {
        char *room = buf_reserve(b, 4096);
        n = room != NULL ? read(fd, room, 4096) : 0;
        buf_commit(b, n > 0 ? (size_t)n : 0);
    }
    close(fd);
    ENSURE(n >= 0, ERR_IO, "cannot read %s", path);
    return buf_check(b);
}

struct err tls_identity_from_files(const char *chain_path, const char *key_path,
                                   struct tls_identity **out)
{
    struct buf chain, key;
    buf_init(&chain, PEM_FILE_MAX);
    buf_init_secret(&key, SECRET_MAX);
    struct err e = read_file(chain_path, &chain);
    if (!failed(e)) {
        e = read_file(key_path, &key);
    }
    if (!failed(e)) {
        e = tls_identity_from_pem(buf_str(&chain), buf_str(&key), out);
        e = failed(e) ? err_wrap(e, "%s", chain_path) : e;
    }
    buf_release(&chain);
    buf_release(&key);
    return e;
}

struct tls_identity *tls_identity_ref(struct tls_identity *i)
{
    if (i != NULL) {
        i->refs++;
    }
    return i;
}

void tls_identity_unref(struct tls_identity *i)
{
    if (i == NULL || --i->refs > 0) {
        return;
    }
    x509_chain_release(&i->chain);
    key_unref(i->key);
    free(i);
}

const struct x509_chain *tls_identity_chain(const struct tls_identity *i)
{
    return &i->chain;
}

struct key *tls_identity_key(const struct tls_identity *i)
{
    return i->key;
}

/* ---- trust ---- */

static struct tls_trust *trust_new(struct x509_anchors *anchors, struct x509_bundles *bundles)
{
    struct tls_trust *t = calloc(1, sizeof(*t));
    BUG_ON(t == NULL);
    t->refs = 1;
    t->anchors = x509_anchors_ref(anchors);
    t->bundles = x509_bundles_ref(bundles);
    return t;
}

struct err tls_trust_names(struct x509_anchors *anchors, struct tls_trust **out)
{
    ENSURE(x509_anchors_count(anchors) > 0, ERR_INVALID, "a trust without any anchor");
    *out = trust_new(anchors, NULL);
    return OK;
}

struct err tls_trust_unchecked(struct tls_trust **out)
{
    *out = trust_new(NULL, NULL);
    (*out)->unchecked = true;
    return OK;
}

struct err tls_trust_spiffe(struct x509_bundles *bundles, struct tls_trust **out)
{
    *out = trust_new(NULL, bundles);
    return OK;
}

struct err tls_trust_system(struct tls_trust **out)
{
    static const char *const paths[] = {"/etc/ssl/certs/ca-certificates.crt",
                                        "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"};
    struct x509_anchors *anchors;
    TRY(x509_anchors_new(&anchors));
    struct err e = OK;
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        e = x509_anchors_add_file(anchors, paths[i]);
        if (!failed(e)) {
            e = tls_trust_names(anchors, out);
            break;
        }
    }
    x509_anchors_unref(anchors);
    return e;
}

struct tls_trust *tls_trust_ref(struct tls_trust *t)
{
    if (t != NULL) {
        t->refs++;
    }
    return t;
}

void tls_trust_unref(struct tls_trust *t)
{
    if (t == NULL || --t->refs > 0) {
        return;
    }
    x509_anchors_unref(t->anchors);
    x509_bundles_unref(t->bundles);
    free(t);
}
