#include "ca.h"

#include "lib/base/clock.h"
#include "lib/base/codec.h"
#include "lib/x509/digest.h"
#include "lib/x509/own.h"

/* ---- certificates that the root signs ---- */

static void finish(struct ca *ca, struct err e)
{
    ca->working = false;
    key_unref(ca->next_key);
    ca->next_key = NULL;
    str_disown(&ca->tbs);
    if (!ca->released) {
        ca->on_change(ca->ctx, e);
    }
}

static void root_name(const struct ca *ca, struct buf *out)
{
    x509_name_put(out, &(struct x509_name){.organization = S("Sextant"),
                                           .unit = S("trust root"),
                                           .common_name = ca->domain});
}

static void intermediate_name(struct buf *out)
{
    uint8_t random[8];
    struct buf serial;
    random_bytes(random, sizeof(random));
    buf_init(&serial, 64);
    hex_put(&serial, str_n(random, sizeof(random)));
    x509_name_put(out, &(struct x509_name){.organization = S("Sextant"),
                                           .unit = S("identity"),
                                           .serial_number = buf_str(&serial)});
    buf_release(&serial);
}

/* Writes the to-be-signed part of a CA certificate and asks crypto for its signature. */
static struct err ask_for_certificate(struct ca *ca, struct str spki, bool is_root,
                                      void (*done)(void *ctx, struct err e, struct str sig,
                                                   uint64_t version))
{
    struct buf subject, issuer, tbs, uri;
    struct buf *const bufs[] = {&subject, &issuer, &tbs, &uri};
    for (size_t i = 0; i < ARRAY_LEN(bufs); i++) {
        buf_init(bufs[i], X509_CERT_MAX);
    }
    root_name(ca, &issuer);
    if (is_root) {
        root_name(ca, &subject);
    } else {
        intermediate_name(&subject);
    }
    buf_printf(&uri, "spiffe://%.*s", STR_FMT(ca->domain));
    struct str uris[] = {buf_str(&uri)};
    int64_t now = clock_wall_s();
    struct x509_spec spec = {.subject = buf_str(&subject),
                             .issuer = buf_str(&issuer),
                             .not_before_s = now - CA_BACKDATE_S,
                             .not_after_s = is_root ? now + CA_ROOT_LIFE_S
                                                    : MIN(now + ca->life_s, ca->root->not_after_s),
                             .spki = spki,
                             .issuer_key_id = is_root ? STR_EMPTY : ca->root->subject_key_id,
                             .uris = uris,
                             .n_uris = 1,
                             .is_ca = true,
                             .path_len = is_root ? -1 : 0,
                             .alg = SIG_ES256};
    struct err e = x509_tbs_put(&spec, &tbs);
    if (!failed(e)) {
        uint8_t sum[DIGEST_MAX];
        str_disown(&ca->tbs);
        ca->tbs = str_own(buf_str(&tbs));
        digest(DIGEST_SHA256, ca->tbs, sum);
        transit_sign(ca->transit, "trust-root", ca->root_version, sum, NULL, done, ca);
    }
    for (size_t i = 0; i < ARRAY_LEN(bufs); i++) {
        buf_release(bufs[i]);
    }
    return e;
}

static struct err assemble(const struct ca *ca, struct str signature, struct x509_cert **out)
{
    struct buf der;
    buf_init(&der, X509_CERT_MAX);
    x509_assemble(ca->tbs, SIG_ES256, signature, &der);
    struct err e = buf_check(&der);
    if (!failed(e)) {
        e = x509_cert_parse(buf_str(&der), out);
    }
    buf_release(&der);
    return e;
}

/* ---- step 3: token keys ---- */

static struct err take_token_keys(struct ca *ca, const struct transit_keys *keys)
{
    struct jwks *set = jwks_new();
    for (size_t i = 0; i < keys->n; i++) {
        char kid[JWK_THUMBPRINT_TEXT];
        if (key_type(keys->keys[i]) != KEY_P256) {
            jwks_unref(set);
            FAIL(ERR_UNAVAILABLE, "key 'identity-jwt' in crypto must be of type ecdsa-p256");
        }
        jwk_thumbprint(keys->keys[i], kid);
        jwks_add(set, jwk_from_key(keys->keys[i], str_of(kid), JOSE_ES256, S("jwt-svid")));
        if (keys->versions[i] == keys->latest) {
            str_disown(&ca->jwt_kid);
            ca->jwt_kid = str_own(str_of(kid));
        }
    }
    jwks_unref(ca->jwt);
    ca->jwt = set;
    ca->jwt_version = keys->latest;
    return OK;
}

/* 62 bits that stand for the keys in the bundle. */
static int64_t bundle_mark(const struct ca *ca)
{
    struct digest_state *d = digest_begin(DIGEST_SHA256);
    digest_add(d, ca->root->der);
    for (size_t i = 0; i < ca->jwt->n; i++) {
        digest_add(d, ca->jwt->keys[i]->kid);
    }
    uint8_t sum[DIGEST_MAX];
    digest_end(d, sum);
    int64_t mark = 0;
    for (size_t i = 0; i < 8; i++) {
        mark = (int64_t)((uint64_t)mark << 8 | sum[i]);
    }
    return mark & INT64_C(0x3fffffffffffffff);
}

static struct err read_number(struct ca *ca, const char *name, int64_t *out)
{
    struct stmt *q;
    bool row;
    TRY(store_stmt(ca->store, "SELECT value FROM number WHERE name = ?", &q));
    stmt_bind_str(q, 1, str_of(name));
    TRY(stmt_step(q, &row));
    *out = row ? stmt_col_int(q, 0) : 0;
    stmt_reset(q);
    return OK;
}

static struct err write_number(struct ca *ca, const char *name, int64_t value)
{
    struct stmt *q;
    TRY(store_stmt(
        ca->store,
        "INSERT INTO number(name, value) VALUES(?1, ?2) ON CONFLICT(name) DO UPDATE SET value = ?2",
        &q));
    stmt_bind_str(q, 1, str_of(name));
    stmt_bind_int(q, 2, value);
    return stmt_run(q);
}

/* Others compare spiffe_sequence: it must never go back, and must grow when the keys have changed. */
static struct err count_bundle(struct ca *ca)
{
    int64_t mark, sequence, now = bundle_mark(ca);
    TRY(read_number(ca, "bundle_mark", &mark));
    TRY(read_number(ca, "bundle_sequence", &sequence));
    if (mark != now) {
        sequence++;
        store_flush(ca->store); /* what is queued has a transaction of its own */
        TRY(store_begin(ca->store));
        struct err e = write_number(ca, "bundle_sequence", sequence);
        e = failed(e) ? e : write_number(ca, "bundle_mark", now);
        if (failed(e)) {
            store_rollback(ca->store);
            return e;
        }
        TRY(store_commit(ca->store));
    }
    ca->sequence = (uint64_t)sequence;
    return OK;
}

static void on_token_keys(void *ctx, struct err e, const struct transit_keys *keys)
{
    struct ca *ca = ctx;
    e = failed(e) ? e : take_token_keys(ca, keys);
    finish(ca, failed(e) ? e : count_bundle(ca));
}

/* ---- step 2: intermediate ---- */

static void authority_release(struct authority *a)
{
    key_unref(a->key);
    x509_cert_unref(a->cert);
    *a = (struct authority){NULL, NULL};
}

static struct err take_intermediate(struct ca *ca, struct str signature)
{
    struct x509_cert *cert;
    struct x509_anchors *anchors;
    TRY(assemble(ca, signature, &cert));
    struct err e = x509_anchors_new(&anchors);
    if (!failed(e)) {
        e = x509_anchors_add(anchors, ca->root);
        struct x509_chain chain = {.certs = {cert}, .n = 1};
        e = failed(e) ? e : x509_verify(&chain, anchors, X509_FOR_ANY, clock_wall_s());
        x509_anchors_unref(anchors);
    }
    if (failed(e)) {
        x509_cert_unref(cert);
        return err_wrap(e, "the intermediate that crypto signed");
    }
    authority_release(&ca->before);
    ca->before = ca->now;
    ca->now = (struct authority){key_ref(ca->next_key), cert};
    return OK;
}

static void on_intermediate(void *ctx, struct err e, struct str signature, uint64_t version)
{
    struct ca *ca = ctx;
    e = failed(e) ? e : take_intermediate(ca, signature);
    if (failed(e)) {
        finish(ca, e);
        return;
    }
    transit_keys(ca->transit, "identity-jwt", on_token_keys, ca);
}

static void begin_intermediate(struct ca *ca)
{
    struct err e = key_generate(KEY_P256, &ca->next_key);
    if (!failed(e)) {
        e = ask_for_certificate(ca, key_spki(ca->next_key), false, on_intermediate);
    }
    if (failed(e)) {
        finish(ca, e);
    }
}

/* ---- step 1: root ---- */

static struct err store_root(struct ca *ca)
{
    struct stmt *q;
    TRY(store_stmt(ca->store,
                   "INSERT INTO root(version, certificate) VALUES(?1, ?2) "
                   "ON CONFLICT(version) DO UPDATE SET certificate=?2",
                   &q));
    stmt_bind_int(q, 1, (int64_t)ca->root_version);
    stmt_bind_blob(q, 2, ca->root->der);
    return stmt_run(q);
}

static void on_root(void *ctx, struct err e, struct str signature, uint64_t version)
{
    struct ca *ca = ctx;
    struct x509_cert *cert = NULL;
    e = failed(e) ? e : assemble(ca, signature, &cert);
    if (!failed(e)) {
        struct key *key;
        struct buf sig;
        buf_init(&sig, SIGNATURE_MAX);
        buf_puts(&sig, signature);
        e = x509_cert_key(cert, &key);
        e = failed(e) ? e : key_verify(key, SIG_ES256, ca->tbs, buf_str(&sig));
        buf_release(&sig);
    }
    if (failed(e)) {
        x509_cert_unref(cert);
        finish(ca, e);
        return;
    }
    x509_cert_unref(ca->root);
    ca->root = cert;
    e = store_root(ca);
    if (failed(e)) {
        finish(ca, e);
        return;
    }
    begin_intermediate(ca);
}

/* The certificate of this version of the key, when we have made one before. */
static struct err load_root(struct ca *ca, struct str spki, struct x509_cert **out)
{
    struct stmt *q;
    bool row;
    TRY(store_stmt(ca->store, "SELECT certificate FROM root WHERE version = ?", &q));
    stmt_bind_int(q, 1, (int64_t)ca->root_version);
    TRY(stmt_step(q, &row));
    if (!row) {
        return OK;
    }
    struct x509_cert *cert;
    struct err e = x509_cert_parse(stmt_col_str(q, 0), &cert);
    stmt_reset(q);
    TRY(e);
    if (!str_eq(cert->spki, spki) || cert->not_after_s < clock_wall_s()) {
        x509_cert_unref(cert); /* of a key that was replaced: a new root is made */
        return OK;
    }
    *out = cert;
    return OK;
}

static struct err take_root_key(struct ca *ca, const struct transit_keys *keys)
{
    for (size_t i = 0; i < keys->n; i++) {
        if (keys->versions[i] != keys->latest) {
            continue;
        }
        ENSURE(key_type(keys->keys[i]) == KEY_P256, ERR_UNAVAILABLE,
               "key 'trust-root' in crypto must be of type ecdsa-p256");
        struct str spki = key_spki(keys->keys[i]);
        struct x509_cert *have = NULL;
        ca->root_version = keys->latest;
        TRY(load_root(ca, spki, &have));
        if (have == NULL) {
            return ask_for_certificate(ca, spki, true, on_root);
        }
        x509_cert_unref(ca->root);
        ca->root = have;
        begin_intermediate(ca);
    }
    return OK;
}

static void on_root_key(void *ctx, struct err e, const struct transit_keys *keys)
{
    struct ca *ca = ctx;
    e = failed(e) ? e : take_root_key(ca, keys);
    if (failed(e)) {
        finish(ca, e);
    }
}

void ca_refresh(struct ca *ca)
{
    if (ca->working) {
        return;
    }
    ca->working = true;
    transit_keys(ca->transit, "trust-root", on_root_key, ca);
}

bool ca_ready(const struct ca *ca)
{
    return ca->now.key != NULL && ca->jwt != NULL && clock_wall_s() < ca->now.cert->not_after_s;
}

bool ca_due(const struct ca *ca, int64_t now_s)
{
    return ca->now.cert == NULL || ca->now.cert->not_after_s - now_s <
                                       (ca->now.cert->not_after_s - ca->now.cert->not_before_s) / 3;
}

void ca_release(struct ca *ca)
{
    ca->released = true;
    x509_cert_unref(ca->root);
    ca->root = NULL;
    authority_release(&ca->now);
    authority_release(&ca->before);
    jwks_unref(ca->jwt);
    ca->jwt = NULL;
    str_disown(&ca->jwt_kid);
    str_disown(&ca->tbs);
    key_unref(ca->next_key);
    ca->next_key = NULL;
}
