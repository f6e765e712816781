#include <openssl/err.h>

#include "keyring_priv.h"

#include "cipher.h"

enum { ITEM_OUT_MAX = WIRE_MAX };

static char *copy_text(struct str s)
{
    char *text = malloc(s.n + 1);
    BUG_ON(text == NULL);
    memcpy(text, s.p, s.n);
    text[s.n] = '\0';
    return text;
}

struct keyring *keyring_new(struct secret *seal, const struct str *admins, size_t n)
{
    struct keyring *kr = calloc(1, sizeof(*kr));
    BUG_ON(kr == NULL);
    kr->seal = *seal;
    *seal = SECRET_EMPTY;
    map_init(&kr->keys);
    kr->admins = calloc(n + 1, sizeof(*kr->admins));
    BUG_ON(kr->admins == NULL);
    for (; kr->n_admins < n; kr->n_admins++) {
        kr->admins[kr->n_admins] = copy_text(admins[kr->n_admins]);
    }
    return kr;
}

void keyring_free(struct keyring *kr)
{
    if (kr == NULL) {
        return;
    }
    struct map_entry *e;
    for (size_t i = 0; (e = map_at(&kr->keys, &i)) != NULL;) {
        ckey_free(e->value);
    }
    map_release(&kr->keys);
    for (size_t i = 0; i < kr->n_admins; i++) {
        free(kr->admins[i]);
    }
    free(kr->admins);
    secret_release(&kr->seal);
    free(kr);
}

bool keyring_is_admin(const struct keyring *kr, struct str caller)
{
    for (size_t i = 0; i < kr->n_admins; i++) {
        if (str_is(caller, kr->admins[i])) {
            return true;
        }
    }
    return false;
}

struct err keyring_may(const struct keyring *kr, const struct request *q, uint32_t ops)
{
    if (keyring_is_admin(kr, q->caller)) {
        return OK;
    }
    ENSURE(q->key != NULL && (ckey_allows(q->key, q->caller) & ops) != 0, ERR_DENIED,
           "permission denied");
    return OK;
}

struct err keyring_end(const struct request *q)
{
    ENSURE(wire_end(&q->body), ERR_SYNTAX, "malformed message");
    return OK;
}

/* ---- use ---- */

static uint32_t grant_for(enum crypt_what what)
{
    static const uint32_t grants[CRYPT_WHAT_MAX] = {[CRYPT_ENCRYPT] = GRANT_ENCRYPT,
                                                    [CRYPT_DECRYPT] = GRANT_DECRYPT,
                                                    [CRYPT_REWRAP] = GRANT_REWRAP,
                                                    [CRYPT_DATAKEY] = GRANT_DATAKEY,
                                                    [CRYPT_DATAKEY_ONLY] = GRANT_DATAKEY,
                                                    [CRYPT_SIGN] = GRANT_SIGN,
                                                    [CRYPT_VERIFY] = GRANT_VERIFY,
                                                    [CRYPT_HMAC] = GRANT_HMAC,
                                                    [CRYPT_HMAC_VERIFY] =
                                                        GRANT_HMAC | GRANT_VERIFY};
    return grants[what];
}

/* Administering a key is not using it: here an administrator needs a grant like everyone. */
static struct err may_use(const struct keyring *kr, const struct request *q, enum crypt_what what)
{
    if (q->key == NULL) {
        ENSURE(keyring_is_admin(kr, q->caller), ERR_DENIED, "permission denied");
        FAIL(ERR_INVALID, "%s key not found",
             what == CRYPT_SIGN     ? "signing"
             : what == CRYPT_VERIFY ? "signature verification"
                                    : "encryption");
    }
    ENSURE((ckey_allows(q->key, q->caller) & grant_for(what)) != 0, ERR_DENIED,
           "permission denied");
    return OK;
}

/* The version to protect with: the latest, or one asked for within the limits. */
static struct err version_to_use(const struct ckey *k, uint32_t asked, const char *purpose,
                                 struct key_version **out)
{
    uint32_t n = asked == 0 ? k->latest : asked;
    ENSURE(n <= k->latest, ERR_INVALID,
           "requested version for %s is higher than the latest key version", purpose);
    ENSURE(asked == 0 || n >= k->min_encryption, ERR_INVALID,
           "requested version for %s is less than the minimum encryption key version", purpose);
    struct key_version *v = ckey_version(k, n);
    ENSURE(v != NULL, ERR_INVALID, "version %u of the key is not available", n);
    *out = v;
    return OK;
}

/* The version something was protected with. */
static struct err version_of(const struct ckey *k, uint32_t asked, const char *thing,
                             struct key_version **out)
{
    uint32_t n = asked == 0 ? 1 : asked;
    ENSURE(n <= k->latest, ERR_INVALID, "invalid %s: version is too new", thing);
    struct key_version *v = ckey_version(k, n);
    ENSURE(n >= k->min_decryption && v != NULL, ERR_INVALID,
           "ciphertext or signature version is disallowed by policy (too old)");
    *out = v;
    return OK;
}

/* Result of one item, before it is written. */
struct result {
    uint32_t version;
    struct buf data, extra;
};

static struct err do_rewrap(const struct ckey *k, const struct crypt_item *item, struct result *r)
{
    struct key_version *from, *to;
    struct buf plain;
    TRY(version_of(k, item->version, "ciphertext", &from));
    TRY(version_to_use(k, item->to_version, "encryption", &to));
    buf_init_secret(&plain, ITEM_OUT_MAX);
    struct err e = cipher_decrypt(k, from, item, &plain);
    if (!failed(e)) {
        struct crypt_item again = *item;
        again.input = buf_str(&plain);
        e = cipher_encrypt(k, to, &again, &r->data);
    }
    buf_release(&plain);
    r->version = to->n;
    return e;
}

static struct err do_datakey(const struct ckey *k, const struct crypt_params *p,
                             const struct crypt_item *item, struct result *r)
{
    struct key_version *v;
    struct secret fresh = SECRET_EMPTY;
    ENSURE(p->bits == 128 || p->bits == 256 || p->bits == 512, ERR_INVALID, "invalid bit length");
    TRY(version_to_use(k, item->version, "encryption", &v));
    TRY(secret_random(&fresh, p->bits / 8));
    struct crypt_item wrap = *item;
    wrap.input = secret_bytes(&fresh);
    struct err e = cipher_encrypt(k, v, &wrap, &r->data);
    if (!failed(e) && p->what == CRYPT_DATAKEY) {
        buf_puts(&r->extra, secret_bytes(&fresh));
    }
    secret_release(&fresh);
    r->version = v->n;
    return e;
}

static struct err do_verify(const struct ckey *k, const struct crypt_params *p,
                            const struct crypt_item *item, struct result *r)
{
    struct key_version *v;
    bool valid = false;
    TRY(version_of(k, item->version, "signature", &v));
    if (p->what == CRYPT_HMAC_VERIFY) {
        struct buf mac;
        buf_init_secret(&mac, 256);
        struct err e = cipher_hmac(k, v, p->hash, item->input, &mac);
        valid = !failed(e) && str_eq_secret(buf_str(&mac), item->signature);
        buf_release(&mac);
        TRY(e);
    } else {
        TRY(cipher_verify(k, v, p, item, &valid));
    }
    wire_put_u8(&r->data, valid);
    return OK;
}

static struct err do_item(const struct ckey *k, const struct crypt_params *p,
                          const struct crypt_item *item, struct result *r)
{
    struct key_version *v;
    switch (p->what) {
    case CRYPT_REWRAP:
        return do_rewrap(k, item, r);
    case CRYPT_DATAKEY:
    case CRYPT_DATAKEY_ONLY:
        return do_datakey(k, p, item, r);
    case CRYPT_VERIFY:
    case CRYPT_HMAC_VERIFY:
        return do_verify(k, p, item, r);
    case CRYPT_DECRYPT:
        TRY(version_of(k, item->version, "ciphertext", &v));
        return cipher_decrypt(k, v, item, &r->data);
    case CRYPT_ENCRYPT:
        TRY(version_to_use(k, item->version, "encryption", &v));
        r->version = v->n;
        return cipher_encrypt(k, v, item, &r->data);
    case CRYPT_SIGN:
        TRY(version_to_use(k, item->version, "signing", &v));
        r->version = v->n;
        return cipher_sign(k, v, p, item, &r->data, &r->extra);
    default:
        TRY(version_to_use(k, item->version, "HMAC", &v));
        r->version = v->n;
        return cipher_hmac(k, v, p->hash, item->input, &r->data);
    }
}

/* What OpenSSL left behind belongs to this item alone. Only texts meant for clients leave. */
static void put_failure(struct buf *out, struct err e)
{
    bool told = e.code == ERR_INVALID || e.code == ERR_DENIED || e.code == ERR_EXISTS ||
                e.code == ERR_NOT_FOUND || e.code == ERR_LIMIT;
    wire_put_u8(out, e.code);
    wire_put_u32(out, 0);
    wire_put_str(out, str_of(told ? err_detail() : "internal error"));
    wire_put_str(out, STR_EMPTY);
    ERR_clear_error();
}

static void put_result(struct buf *out, const struct result *r)
{
    wire_put_u8(out, ERR_OK);
    wire_put_u32(out, r->version);
    wire_put_str(out, buf_str(&r->data));
    wire_put_str(out, buf_str(&r->extra));
}

static struct err keyring_crypt(struct keyring *kr, struct request *q, struct buf *out)
{
    struct crypt_params p = wire_params(&q->body);
    uint32_t n = wire_u32(&q->body);
    ENSURE(!q->body.bad && n <= WIRE_ITEMS_MAX, ERR_SYNTAX, "malformed message");
    TRY(may_use(kr, q, p.what));
    struct result r = {0};
    buf_init_secret(&r.data, ITEM_OUT_MAX);
    buf_init_secret(&r.extra, ITEM_OUT_MAX);
    wire_put_u32(out, n);
    for (uint32_t i = 0; i < n && !q->body.bad; i++) {
        struct crypt_item item = wire_item(&q->body);
        r.version = 0;
        buf_clear(&r.data);
        buf_clear(&r.extra);
        struct err e = q->body.bad ? err_make(ERR_SYNTAX, "malformed message")
                                   : do_item(q->key, &p, &item, &r);
        if (failed(e)) {
            put_failure(out, e);
        } else {
            put_result(out, &r);
        }
    }
    buf_release(&r.data);
    buf_release(&r.extra);
    return keyring_end(q);
}

/* ---- dispatch ---- */

static struct err (*const handlers[WIRE_OP_MAX])(struct keyring *, struct request *,
                                                 struct buf *) = {
    [WIRE_LOAD_META] = keyring_load_meta, [WIRE_LOAD_VERSION] = keyring_load_version,
    [WIRE_DROP] = keyring_drop,           [WIRE_CREATE] = keyring_create,
    [WIRE_ROTATE] = keyring_rotate,       [WIRE_CONFIG] = keyring_config,
    [WIRE_TRIM] = keyring_trim,           [WIRE_GRANT] = keyring_grant,
    [WIRE_DELETE] = keyring_delete,       [WIRE_READ] = keyring_read,
    [WIRE_LIST] = keyring_list,           [WIRE_CRYPT] = keyring_crypt,
};

static struct err dispatch(struct keyring *kr, struct str message, struct buf *out)
{
    struct wire_reader r = wire_read(message);
    unsigned op = wire_u8(&r);
    struct request q = {.caller = wire_str(&r), .name = wire_str(&r)};
    ENSURE(!r.bad && op > 0 && op < WIRE_OP_MAX, ERR_SYNTAX, "malformed message");
    q.key = map_get(&kr->keys, q.name);
    q.body = r;
    return handlers[op](kr, &q, out);
}

void keyring_handle(struct keyring *kr, struct str request, struct buf *reply)
{
    size_t start = reply->n;
    wire_put_u8(reply, ERR_OK);
    struct err e = dispatch(kr, request, reply);
    if (!failed(e) && !buf_ok(reply)) {
        e = err_make(ERR_LIMIT, "the answer is too large");
    }
    if (!failed(e)) {
        return;
    }
    /* take back what was written before the failure */
    wipe(reply->p + start, reply->n - start);
    reply->n = start;
    reply->overflow = false;
    wire_put_u8(reply, e.code);
    wire_put_str(reply, str_of(err_detail()));
    ERR_clear_error();
}
