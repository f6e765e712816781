/* The certificate of a server that browsers visit, when nobody has given it one. */
#include "tls_priv.h"

#include "lib/base/codec.h"
#include "lib/x509/issue.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LOCAL_LIFE_S = 397 * 86400, LOCAL_PATH_MAX = 4096 };

static struct err path_of(const char *dir, const char *name, char out[LOCAL_PATH_MAX])
{
    int n = snprintf(out, LOCAL_PATH_MAX, "%s/%s", dir, name);
    ENSURE(n > 0 && n < LOCAL_PATH_MAX, ERR_LIMIT, "the path of %s is too long", name);
    return OK;
}

/* Written beside and renamed, so that a reader never sees half of it. */
static struct err write_file(const char *dir, const char *name, struct str text, mode_t mode)
{
    char path[LOCAL_PATH_MAX], beside[LOCAL_PATH_MAX + 8];
    TRY(path_of(dir, name, path));
    snprintf(beside, sizeof(beside), "%s.new", path);
    int fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
    ENSURE(fd >= 0, ERR_IO, "cannot write %s: %s", beside, strerror(errno));
    bool good =
        fchmod(fd, mode) == 0 && write(fd, text.p, text.n) == (ssize_t)text.n && fsync(fd) == 0;
    close(fd);
    ENSURE(good && rename(beside, path) == 0, ERR_IO, "cannot write %s: %s", path, strerror(errno));
    return OK;
}

static bool is_address(struct str name, uint8_t ip[16], size_t *n)
{
    char text[64];
    if (failed(str_to_cstr(name, text, sizeof(text)))) {
        return false;
    }
    *n = inet_pton(AF_INET, text, ip) == 1 ? 4 : inet_pton(AF_INET6, text, ip) == 1 ? 16 : 0;
    return *n > 0;
}

static bool still_good(const struct tls_identity *i, const struct str *names, size_t n,
                       int64_t now_s)
{
    const struct x509_cert *leaf = i->chain.certs[0];
    if (leaf->not_after_s - now_s < (leaf->not_after_s - leaf->not_before_s) / 3 ||
        leaf->n_dns_names + leaf->n_ip_addresses != n) {
        return false;
    }
    for (size_t k = 0; k < n; k++) {
        if (failed(x509_verify_name(leaf, names[k]))) {
            return false;
        }
    }
    return true;
}

static void put_name(struct buf *out, const char *cn)
{
    x509_name_put(out,
                  &(struct x509_name){.organization = S("Sextant"), .common_name = str_of(cn)});
}

struct local {
    struct buf ca_name, ca_der, leaf_der, pem;
    struct key *ca_key, *key;
    struct secret key_pem;
};

static struct err make_ca(struct local *l, int64_t now_s)
{
    TRY(key_generate(KEY_P256, &l->ca_key));
    char cn[64];
    uint8_t random[4];
    random_bytes(random, sizeof(random));
    snprintf(cn, sizeof(cn), "Sextant local CA %02x%02x%02x%02x", random[0], random[1], random[2],
             random[3]);
    put_name(&l->ca_name, cn);
    struct x509_spec spec = {.subject = buf_str(&l->ca_name),
                             .issuer = buf_str(&l->ca_name),
                             .not_before_s = now_s - 3600,
                             .not_after_s = now_s + LOCAL_LIFE_S,
                             .spki = key_spki(l->ca_key),
                             .is_ca = true,
                             .path_len = 0,
                             .alg = SIG_ES256};
    return x509_issue(&spec, l->ca_key, &l->ca_der);
}

static struct err make_leaf(struct local *l, const struct str *names, size_t n, int64_t now_s)
{
    struct str dns[TLS_NAMES_MAX], ips[TLS_NAMES_MAX];
    uint8_t ip_bytes[TLS_NAMES_MAX][16], id[20];
    size_t n_dns = 0, n_ips = 0, len;
    ENSURE(n > 0 && n <= TLS_NAMES_MAX, ERR_RANGE, "1 to %d names for a server, not %zu",
           TLS_NAMES_MAX, n);
    for (size_t i = 0; i < n; i++) {
        if (is_address(names[i], ip_bytes[n_ips], &len)) {
            ips[n_ips] = str_n(ip_bytes[n_ips], len);
            n_ips++;
        } else {
            dns[n_dns++] = names[i];
        }
    }
    TRY(key_generate(KEY_P256, &l->key));
    x509_key_id(key_spki(l->ca_key), id);
    struct buf subject;
    buf_init(&subject, 1024);
    x509_name_put(&subject,
                  &(struct x509_name){.organization = S("Sextant"), .common_name = names[0]});
    struct x509_spec spec = {.subject = buf_str(&subject),
                             .issuer = buf_str(&l->ca_name),
                             .not_before_s = now_s - 3600,
                             .not_after_s = now_s + LOCAL_LIFE_S,
                             .spki = key_spki(l->key),
                             .issuer_key_id = str_n(id, 20),
                             .dns_names = dns,
                             .n_dns_names = n_dns,
                             .ip_addresses = ips,
                             .n_ip_addresses = n_ips,
                             .alg = SIG_ES256};
    struct err e = x509_issue(&spec, l->ca_key, &l->leaf_der);
    buf_release(&subject);
    return e;
}

/* The key is written last: a crash in between leaves a pair that does not fit and is made again. */
static struct err write_all(struct local *l, const char *dir)
{
    pem_put(&l->pem, "CERTIFICATE", buf_str(&l->ca_der));
    TRY(write_file(dir, "ca.crt", buf_str(&l->pem), 0644));
    buf_clear(&l->pem);
    pem_put(&l->pem, "CERTIFICATE", buf_str(&l->leaf_der));
    pem_put(&l->pem, "CERTIFICATE", buf_str(&l->ca_der));
    TRY(buf_check(&l->pem));
    TRY(write_file(dir, "server.crt", buf_str(&l->pem), 0644));
    TRY(key_to_pkcs8_pem(l->key, &l->key_pem));
    return write_file(dir, "server.key", secret_bytes(&l->key_pem), 0600);
}

static struct err make(const char *dir, const struct str *names, size_t n, int64_t now_s)
{
    struct local l = {.ca_key = NULL};
    struct buf *const bufs[] = {&l.ca_name, &l.ca_der, &l.leaf_der, &l.pem};
    for (size_t i = 0; i < ARRAY_LEN(bufs); i++) {
        buf_init(bufs[i], X509_CERT_MAX);
    }
    struct err e = make_ca(&l, now_s);
    if (!failed(e)) {
        e = make_leaf(&l, names, n, now_s);
    }
    if (!failed(e)) {
        e = write_all(&l, dir);
    }
    for (size_t i = 0; i < ARRAY_LEN(bufs); i++) {
        buf_release(bufs[i]);
    }
    key_unref(l.ca_key);
    key_unref(l.key);
    secret_release(&l.key_pem);
    return e;
}

struct err tls_identity_local(const char *dir, const struct str *names, size_t n, int64_t now_s,
                              struct tls_identity **out)
{
    char chain[LOCAL_PATH_MAX], key[LOCAL_PATH_MAX];
    TRY(path_of(dir, "server.crt", chain));
    TRY(path_of(dir, "server.key", key));
    struct tls_identity *i;
    if (!failed(tls_identity_from_files(chain, key, &i))) {
        if (still_good(i, names, n, now_s)) {
            *out = i;
            return OK;
        }
        tls_identity_unref(i);
    }
    TRY(make(dir, names, n, now_s));
    return tls_identity_from_files(chain, key, out);
}
