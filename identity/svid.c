/* Leaves: X.509-SVIDs and revocation lists, signed by the intermediate in memory. */
#include "ca.h"

#include "lib/base/codec.h"

#include <arpa/inet.h>

struct names {
    struct str dns[ENTRY_NAMES_MAX], ip[ENTRY_NAMES_MAX];
    uint8_t bytes[ENTRY_NAMES_MAX][16];
    size_t n_dns, n_ip;
};

/* A name that is an address becomes one in the certificate: clients compare them differently. */
static void sort_names(const struct strs *from, struct names *out)
{
    out->n_dns = out->n_ip = 0;
    for (size_t i = 0; from != NULL && i < from->n && i < ENTRY_NAMES_MAX; i++) {
        char text[64];
        bool fits = !failed(str_to_cstr(from->items[i], text, sizeof(text)));
        uint8_t *bytes = out->bytes[out->n_ip];
        size_t n = fits && inet_pton(AF_INET, text, bytes) == 1    ? 4
                   : fits && inet_pton(AF_INET6, text, bytes) == 1 ? 16
                                                                   : 0;
        if (n > 0) {
            out->ip[out->n_ip++] = str_n(bytes, n);
        } else {
            out->dns[out->n_dns++] = from->items[i];
        }
    }
}

/* Random, positive, never zero (SPIRE draws from 1 to 2^128-1). */
static void draw_serial(uint8_t serial[CA_SERIAL])
{
    random_bytes(serial, CA_SERIAL);
    serial[0] = (serial[0] & 0x7f) | 0x01;
}

static struct err sign_leaf(struct ca *ca, const struct svid_request *r, struct svid *s)
{
    static struct names names; /* large; one thread */
    struct buf subject;
    buf_init(&subject, 1024);
    sort_names(r->names, &names);
    x509_name_put(&subject,
                  &(struct x509_name){.organization = S("Sextant"),
                                      .common_name = names.n_dns > 0 && names.dns[0].n <= 64
                                                         ? names.dns[0]
                                                         : STR_EMPTY});
    struct x509_spec spec = {.subject = buf_str(&subject),
                             .issuer = ca->now.cert->subject,
                             .serial = str_n(s->serial, CA_SERIAL),
                             .not_before_s = s->not_before_s,
                             .not_after_s = s->not_after_s,
                             .spki = key_spki(r->key != NULL ? r->key : s->key),
                             .issuer_key_id = ca->now.cert->subject_key_id,
                             .uris = &r->spiffe_id,
                             .n_uris = 1,
                             .dns_names = names.dns,
                             .n_dns_names = names.n_dns,
                             .ip_addresses = names.ip,
                             .n_ip_addresses = names.n_ip,
                             .alg = SIG_ES256};
    struct err e = x509_issue(&spec, ca->now.key, &s->chain);
    buf_puts(&s->chain, ca->now.cert->der);
    buf_release(&subject);
    return failed(e) ? e : buf_check(&s->chain);
}

struct err ca_issue(struct ca *ca, const struct svid_request *r, struct svid **out)
{
    ENSURE(ca_ready(ca), ERR_UNAVAILABLE, "the authority is not ready");
    struct svid *s = calloc(1, sizeof(*s));
    BUG_ON(s == NULL);
    s->refs = 1;
    buf_init(&s->chain, 2 * X509_CERT_MAX);
    draw_serial(s->serial);
    s->not_before_s = r->now_s - CA_BACKDATE_S;
    s->not_after_s = MIN(r->now_s + r->ttl_s, ca->now.cert->not_after_s);
    /* At half of its life, a tenth sooner or later, so that a fleet does not renew at once. */
    int64_t life = s->not_after_s - r->now_s, jitter = life / 10;
    s->renew_s = r->now_s + life / 2 +
                 (jitter > 0 ? (int64_t)(s->serial[1] * (uint64_t)(2 * jitter) / 255) - jitter : 0);
    struct err e = r->key != NULL ? OK : key_generate(KEY_P256, &s->key);
    if (!failed(e)) {
        e = sign_leaf(ca, r, s);
    }
    if (failed(e)) {
        svid_unref(s);
        return e;
    }
    *out = s;
    return OK;
}

struct svid *svid_ref(struct svid *s)
{
    s->refs++;
    return s;
}

void svid_unref(struct svid *s)
{
    if (s == NULL || --s->refs > 0) {
        return;
    }
    buf_release(&s->chain);
    key_unref(s->key);
    free(s);
}

struct err ca_crl(const struct ca *ca, const struct authority *a, uint64_t number, int64_t now_s,
                  const struct x509_revoked *revoked, size_t n, struct buf *out)
{
    return x509_crl_issue(a->cert->subject, a->cert->subject_key_id, a->key, number,
                          now_s - CA_BACKDATE_S, now_s + 86400, revoked, n, out);
}
