/* Loading, making and changing keys. A change answers with sealed records; see keyring.h. */
#include "keyring_priv.h"

#include "lib/base/clock.h"
#include "seal.h"

#include <inttypes.h>

enum { PLACE_MAX = KEY_NAME_MAX + 32, RECORD_MAX = 256 * 1024, HOUR_S = 3600 };

static struct str place_of_meta(struct str name, char text[PLACE_MAX])
{
    return str_n(text, (size_t)snprintf(text, PLACE_MAX, "rules %.*s", STR_FMT(name)));
}

static struct str place_of_version(struct str name, uint32_t n, char text[PLACE_MAX])
{
    return str_n(text,
                 (size_t)snprintf(text, PLACE_MAX, "version %" PRIu32 " %.*s", n, STR_FMT(name)));
}

static struct err put_sealed(const struct keyring *kr, struct str place, struct str plain,
                             struct buf *out)
{
    struct buf sealed;
    buf_init(&sealed, RECORD_MAX + SEAL_OVERHEAD);
    struct err e = seal_record(&kr->seal, place, plain, &sealed);
    wire_put_str(out, buf_str(&sealed));
    buf_release(&sealed);
    return e;
}

static struct err put_meta(const struct keyring *kr, const struct ckey *k, struct buf *out)
{
    char place[PLACE_MAX];
    struct buf plain;
    buf_init(&plain, RECORD_MAX);
    ckey_put_meta(k, &plain);
    struct err e = buf_check(&plain);
    if (!failed(e)) {
        e = put_sealed(kr, place_of_meta(str_of(k->name), place), buf_str(&plain), out);
    }
    buf_release(&plain);
    return e;
}

static struct err put_new_version(const struct keyring *kr, const struct ckey *k, uint32_t n,
                                  struct buf *out)
{
    char place[PLACE_MAX];
    struct buf plain;
    buf_init_secret(&plain, RECORD_MAX);
    struct err e = key_version_make(k->type, k->size, n, clock_wall_s(), &plain);
    if (!failed(e)) {
        wire_put_u32(out, n);
        e = put_sealed(kr, place_of_version(str_of(k->name), n, place), buf_str(&plain), out);
    }
    buf_release(&plain);
    return e;
}

/* ---- loading what is stored ---- */

struct err keyring_load_meta(struct keyring *kr, struct request *q, struct buf *out)
{
    char place[PLACE_MAX];
    struct secret plain = SECRET_EMPTY;
    struct str sealed = wire_str(&q->body);
    TRY(keyring_end(q));
    ENSURE(key_name_is_valid(q->name), ERR_INVALID, "invalid key name");
    TRY(seal_open(&kr->seal, place_of_meta(q->name, place), sealed, &plain));
    struct ckey *k = q->key != NULL ? q->key : ckey_new(q->name);
    struct err e = ckey_take_meta(k, secret_bytes(&plain));
    secret_release(&plain);
    if (q->key == NULL && failed(e)) {
        ckey_free(k);
    } else if (q->key == NULL) {
        map_set(&kr->keys, q->name, k);
    }
    return e;
}

struct err keyring_load_version(struct keyring *kr, struct request *q, struct buf *out)
{
    char place[PLACE_MAX];
    struct secret plain = SECRET_EMPTY;
    struct key_version *v = NULL;
    uint32_t n = wire_u32(&q->body);
    struct str sealed = wire_str(&q->body);
    TRY(keyring_end(q));
    ENSURE(q->key != NULL, ERR_INVALID, "a version of a key that is not loaded");
    TRY(seal_open(&kr->seal, place_of_version(q->name, n, place), sealed, &plain));
    struct err e = key_version_load(q->key->type, n, secret_bytes(&plain), &v);
    secret_release(&plain);
    TRY(e);
    e = ckey_add_version(q->key, v);
    if (failed(e)) {
        key_version_free(v);
    }
    return e;
}

struct err keyring_drop(struct keyring *kr, struct request *q, struct buf *out)
{
    TRY(keyring_end(q));
    ckey_free(map_del(&kr->keys, q->name));
    return OK;
}

/* ---- making ---- */

static struct err check_new(const struct ckey *k)
{
    const struct key_kind *kind = &key_kinds[k->type];
    bool derived = (k->flags & KEY_DERIVED) != 0, convergent = (k->flags & KEY_CONVERGENT) != 0;
    ENSURE(!convergent || derived, ERR_INVALID,
           "convergent encryption requires derivation to be enabled");
    ENSURE(!derived || kind->derives, ERR_INVALID,
           "key derivation and convergent encryption not supported for keys of type %s",
           kind->name);
    ENSURE(!convergent || kind->aead, ERR_INVALID,
           "convergent encryption not supported for keys of type %s", kind->name);
    ENSURE(k->type != KEY_HMAC || (k->size >= KEY_HMAC_MIN && k->size <= KEY_HMAC_MAX), ERR_INVALID,
           "invalid key_size %u for HMAC key, must be between %d and %d bytes", k->size,
           KEY_HMAC_MIN, KEY_HMAC_MAX);
    ENSURE(k->auto_rotate_s == 0 || k->auto_rotate_s >= HOUR_S, ERR_INVALID,
           "auto rotate period must be 0 to disable or at least an hour");
    return OK;
}

static void take_grants(struct request *q, struct ckey *k)
{
    uint32_t n = wire_u32(&q->body);
    q->body.bad |= n > KEY_GRANTS_MAX;
    for (uint32_t i = 0; i < n && !q->body.bad; i++) {
        struct str id = wire_str(&q->body);
        uint32_t ops = wire_u32(&q->body);
        ckey_grant(k, id, ops & GRANT_ALL);
    }
}

static struct err create(struct keyring *kr, struct request *q, struct ckey *k, struct buf *out)
{
    unsigned type = wire_u8(&q->body);
    ENSURE(type < KEY_TYPE_MAX, ERR_INVALID, "unknown key type");
    k->type = (enum key_type)type;
    k->flags = wire_u8(&q->body);
    k->size = wire_u32(&q->body);
    k->auto_rotate_s = (int64_t)wire_u64(&q->body);
    take_grants(q, k);
    TRY(keyring_end(q));
    TRY(check_new(k));
    k->latest = 1;
    TRY(put_meta(kr, k, out));
    return put_new_version(kr, k, 1, out);
}

struct err keyring_create(struct keyring *kr, struct request *q, struct buf *out)
{
    ENSURE(keyring_is_admin(kr, q->caller), ERR_DENIED, "permission denied");
    ENSURE(key_name_is_valid(q->name), ERR_INVALID,
           "invalid key name: letters, digits, '.', '_' and '-', at most %d", KEY_NAME_MAX);
    ENSURE(q->key == NULL, ERR_EXISTS, "key %.*s already existed", STR_FMT(q->name));
    struct ckey *k = ckey_new(q->name);
    struct err e = create(kr, q, k, out);
    ckey_free(k);
    return e;
}

/* ---- changing: a changed copy of the rules is sealed, the key itself stays as it is ---- */

static struct err may_change(const struct keyring *kr, const struct request *q, uint32_t ops)
{
    TRY(keyring_may(kr, q, ops));
    ENSURE(q->key != NULL, ERR_NOT_FOUND, "no existing key named %.*s could be found",
           STR_FMT(q->name));
    return OK;
}

struct err keyring_rotate(struct keyring *kr, struct request *q, struct buf *out)
{
    TRY(may_change(kr, q, GRANT_ROTATE));
    TRY(keyring_end(q));
    ENSURE(q->key->n_versions < KEY_VERSIONS_MAX, ERR_LIMIT,
           "the key has %d versions already; trim it first", KEY_VERSIONS_MAX);
    struct ckey changed = *q->key;
    changed.latest++;
    TRY(put_meta(kr, &changed, out));
    return put_new_version(kr, &changed, changed.latest, out);
}

static struct err check_limits(const struct ckey *k)
{
    ENSURE(k->min_decryption <= k->latest, ERR_INVALID,
           "cannot set min decryption version of %" PRIu32 ", latest key version is %" PRIu32,
           k->min_decryption, k->latest);
    ENSURE(k->min_encryption <= k->latest, ERR_INVALID,
           "cannot set min encryption version of %" PRIu32 ", latest key version is %" PRIu32,
           k->min_encryption, k->latest);
    ENSURE(k->min_encryption == 0 || k->min_encryption >= k->min_decryption, ERR_INVALID,
           "cannot set min encryption/decryption values; min encryption version of %" PRIu32
           " must be greater than or equal to min decryption version of %" PRIu32,
           k->min_encryption, k->min_decryption);
    ENSURE(k->min_decryption >= k->min_available, ERR_INVALID,
           "min decryption version should not be less than min available version");
    ENSURE(k->auto_rotate_s == 0 || k->auto_rotate_s >= HOUR_S, ERR_INVALID,
           "auto rotate period must be 0 to disable or at least an hour");
    return OK;
}

struct err keyring_config(struct keyring *kr, struct request *q, struct buf *out)
{
    TRY(may_change(kr, q, GRANT_CONFIG));
    uint32_t mask = wire_u32(&q->body);
    struct ckey k = *q->key;
    if ((mask & KEYRING_MIN_DECRYPTION) != 0) {
        uint32_t n = (uint32_t)wire_u64(&q->body);
        k.min_decryption = MAX(n, 1u); /* 0 is how Transit writes "from the first" */
    }
    if ((mask & KEYRING_MIN_ENCRYPTION) != 0) {
        k.min_encryption = (uint32_t)wire_u64(&q->body);
    }
    if ((mask & KEYRING_DELETION_ALLOWED) != 0) {
        k.flags = wire_u64(&q->body) != 0 ? k.flags | KEY_DELETION_ALLOWED
                                          : k.flags & ~(unsigned)KEY_DELETION_ALLOWED;
    }
    if ((mask & KEYRING_AUTO_ROTATE) != 0) {
        k.auto_rotate_s = (int64_t)wire_u64(&q->body);
    }
    ENSURE((mask & ~(uint32_t)KEYRING_CONFIG_ALL) == 0, ERR_SYNTAX, "malformed message");
    TRY(keyring_end(q));
    TRY(check_limits(&k));
    return put_meta(kr, &k, out);
}

struct err keyring_trim(struct keyring *kr, struct request *q, struct buf *out)
{
    TRY(may_change(kr, q, GRANT_CONFIG));
    struct ckey k = *q->key;
    k.min_available = wire_u32(&q->body);
    TRY(keyring_end(q));
    ENSURE(k.min_available >= q->key->min_available, ERR_INVALID,
           "minimum available version cannot be decremented");
    ENSURE(k.min_encryption != 0, ERR_INVALID,
           "minimum available version cannot be set when minimum encryption version is not set");
    ENSURE(k.min_available <= k.latest, ERR_INVALID,
           "minimum available version cannot be higher than the latest key version");
    ENSURE(k.min_available <= k.min_encryption, ERR_INVALID,
           "minimum available version cannot be higher than minimum encryption version");
    ENSURE(k.min_available <= k.min_decryption, ERR_INVALID,
           "minimum available version cannot be higher than minimum decryption version");
    return put_meta(kr, &k, out);
}

/* Grants are owned by the key, so the change is made, sealed, and made again by loading it. */
struct err keyring_grant(struct keyring *kr, struct request *q, struct buf *out)
{
    ENSURE(keyring_is_admin(kr, q->caller), ERR_DENIED, "permission denied");
    TRY(may_change(kr, q, 0));
    struct str id = wire_str(&q->body);
    uint32_t ops = wire_u32(&q->body);
    TRY(keyring_end(q));
    ENSURE(str_starts(id, S("spiffe://")) && id.n <= 2048, ERR_INVALID,
           "a grant goes to a SPIFFE id, not to '%.*s'", STR_FMT(id));
    ENSURE(q->key->n_grants < KEY_GRANTS_MAX || ops == 0, ERR_LIMIT,
           "the key has %d grants already", KEY_GRANTS_MAX);
    struct ckey *copy = ckey_new(q->name);
    struct buf rules;
    buf_init(&rules, RECORD_MAX);
    ckey_put_meta(q->key, &rules);
    struct err e = ckey_take_meta(copy, buf_str(&rules));
    buf_release(&rules);
    if (!failed(e)) {
        ckey_grant(copy, id, ops & GRANT_ALL);
        e = put_meta(kr, copy, out);
    }
    ckey_free(copy);
    return e;
}

struct err keyring_delete(struct keyring *kr, struct request *q, struct buf *out)
{
    ENSURE(keyring_is_admin(kr, q->caller), ERR_DENIED, "permission denied");
    TRY(keyring_end(q));
    ENSURE(q->key != NULL, ERR_INVALID, "could not delete key; not found");
    ENSURE((q->key->flags & KEY_DELETION_ALLOWED) != 0, ERR_INVALID,
           "deletion is not allowed for this key");
    return OK;
}

/* ---- looking ---- */

static struct err put_versions(const struct ckey *k, struct buf *out)
{
    struct buf public;
    struct err e = OK;
    buf_init(&public, 4096);
    wire_put_u32(out, (uint32_t)k->n_versions);
    for (size_t i = 0; i < k->n_versions && !failed(e); i++) {
        const struct key_version *v = k->versions[i];
        buf_clear(&public);
        e = key_version_public(k->type, v, &public);
        wire_put_u32(out, v->n);
        buf_put_be(out, (uint64_t)v->created_s, 8);
        wire_put_str(out, buf_str(&public));
    }
    buf_release(&public);
    return e;
}

struct err keyring_read(struct keyring *kr, struct request *q, struct buf *out)
{
    TRY(keyring_may(kr, q, GRANT_READ));
    TRY(keyring_end(q));
    const struct ckey *k = q->key;
    ENSURE(k != NULL, ERR_NOT_FOUND, "no key %.*s", STR_FMT(q->name));
    wire_put_u8(out, k->type);
    wire_put_u8(out, k->flags);
    wire_put_u32(out, k->size);
    wire_put_u32(out, k->latest);
    wire_put_u32(out, k->min_available);
    wire_put_u32(out, k->min_decryption);
    wire_put_u32(out, k->min_encryption);
    buf_put_be(out, (uint64_t)k->auto_rotate_s, 8);
    TRY(put_versions(k, out));
    bool all = keyring_is_admin(kr, q->caller);
    wire_put_u32(out, all ? (uint32_t)k->n_grants : 0);
    for (size_t i = 0; all && i < k->n_grants; i++) {
        wire_put_str(out, str_of(k->grants[i].id));
        wire_put_u32(out, k->grants[i].ops);
    }
    return OK;
}

struct err keyring_list(struct keyring *kr, struct request *q, struct buf *out)
{
    struct map_entry *e;
    bool all = keyring_is_admin(kr, q->caller);
    TRY(keyring_end(q));
    for (size_t i = 0; (e = map_at(&kr->keys, &i)) != NULL;) {
        if (all || ckey_allows(e->value, q->caller) != 0) {
            wire_put_str(out, e->key);
        }
    }
    return OK;
}
