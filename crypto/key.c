#include "key.h"

#include "wire.h"

enum { META_FORMAT = 1 };

const struct key_kind key_kinds[KEY_TYPE_MAX] = {
    [KEY_AES128] = {"aes128-gcm96", NULL, 16, .aead = true, .derives = true},
    [KEY_AES256] = {"aes256-gcm96", NULL, 32, .aead = true, .derives = true},
    [KEY_CHACHA20] = {"chacha20-poly1305", NULL, 32, .aead = true, .derives = true},
    [KEY_XCHACHA20] = {"xchacha20-poly1305", NULL, 32, .aead = true, .derives = true},
    [KEY_ED25519] = {"ed25519", "ed25519", 0, .signs = true, .derives = true},
    [KEY_P256] = {"ecdsa-p256", "P-256", 32, .signs = true, .ecdsa = true},
    [KEY_P384] = {"ecdsa-p384", "P-384", 48, .signs = true, .ecdsa = true},
    [KEY_P521] = {"ecdsa-p521", "P-521", 66, .signs = true, .ecdsa = true},
    [KEY_RSA2048] = {"rsa-2048", "rsa-2048", 0, .signs = true, .rsa = true},
    [KEY_RSA3072] = {"rsa-3072", "rsa-3072", 0, .signs = true, .rsa = true},
    [KEY_RSA4096] = {"rsa-4096", "rsa-4096", 0, .signs = true, .rsa = true},
    [KEY_HMAC] = {"hmac", NULL, 0},
};

enum key_type key_type_of(struct str name)
{
    enum key_type t = 0;
    while (t < KEY_TYPE_MAX && !str_is(name, key_kinds[t].name)) {
        t++;
    }
    return t;
}

static const char *const op_names[] = {"encrypt", "decrypt", "sign", "verify", "hmac",
                                       "rewrap",  "datakey", "read", "rotate", "config"};

static uint32_t op_of(struct str name)
{
    if (str_is(name, "all")) {
        return GRANT_ALL;
    }
    for (size_t i = 0; i < ARRAY_LEN(op_names); i++) {
        if (str_is(name, op_names[i])) {
            return 1u << i;
        }
    }
    return 0;
}

struct err grant_ops_parse(struct str text, uint32_t *ops)
{
    uint32_t set = 0;
    struct str rest = text;
    while (rest.p != NULL && text.n > 0) {
        struct str word = str_trim(str_split(&rest, ','));
        uint32_t op = op_of(word);
        ENSURE(
            op != 0, ERR_INVALID,
            "'%.*s' is not an operation; there are encrypt, decrypt, sign, verify, hmac, rewrap, "
            "datakey, read, rotate, config and all",
            STR_FMT(word));
        set |= op;
    }
    *ops = set;
    return OK;
}

void grant_ops_put(struct buf *out, uint32_t ops)
{
    const char *comma = "";
    for (size_t i = 0; i < ARRAY_LEN(op_names); i++) {
        if ((ops >> i & 1) != 0) {
            buf_printf(out, "%s%s", comma, op_names[i]);
            comma = ",";
        }
    }
}

static char *copy_text(struct str s)
{
    char *text = malloc(s.n + 1);
    BUG_ON(text == NULL);
    if (s.n > 0) {
        memcpy(text, s.p, s.n);
    }
    text[s.n] = '\0';
    return text;
}

struct ckey *ckey_new(struct str name)
{
    struct ckey *k = calloc(1, sizeof(*k));
    BUG_ON(k == NULL);
    k->name = copy_text(name);
    k->min_available = k->min_decryption = 1;
    return k;
}

static void drop_grants(struct ckey *k)
{
    for (size_t i = 0; i < k->n_grants; i++) {
        free(k->grants[i].id);
    }
    free(k->grants);
    k->grants = NULL;
    k->n_grants = 0;
}

void ckey_free(struct ckey *k)
{
    if (k == NULL) {
        return;
    }
    for (size_t i = 0; i < k->n_versions; i++) {
        key_version_free(k->versions[i]);
    }
    free(k->versions);
    drop_grants(k);
    free(k->name);
    free(k);
}

bool key_name_is_valid(struct str name)
{
    if (name.n == 0 || name.n > KEY_NAME_MAX) {
        return false;
    }
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!word && (i == 0 || (c != '.' && c != '_' && c != '-'))) {
            return false;
        }
    }
    return true;
}

/* Versions are contiguous but for what was trimmed at the front. */
struct key_version *ckey_version(const struct ckey *k, uint32_t n)
{
    if (k->n_versions == 0 || n < k->versions[0]->n) {
        return NULL;
    }
    size_t i = n - k->versions[0]->n;
    return i < k->n_versions && k->versions[i]->n == n ? k->versions[i] : NULL;
}

struct err ckey_add_version(struct ckey *k, struct key_version *v)
{
    struct key_version *old = ckey_version(k, v->n);
    if (old != NULL) {
        k->versions[v->n - k->versions[0]->n] = v;
        key_version_free(old);
        return OK;
    }
    uint32_t next = k->n_versions > 0 ? k->versions[k->n_versions - 1]->n + 1 : v->n;
    ENSURE(v->n == next && k->n_versions < KEY_VERSIONS_MAX, ERR_LIMIT,
           "version %u of %s does not follow on %zu others (at most %d)", v->n, k->name,
           k->n_versions, KEY_VERSIONS_MAX);
    if (k->n_versions == k->cap_versions) {
        k->cap_versions = MAX(k->cap_versions * 2, (size_t)4);
        k->versions = realloc(k->versions, k->cap_versions * sizeof(*k->versions));
        BUG_ON(k->versions == NULL);
    }
    k->versions[k->n_versions++] = v;
    return OK;
}

/* ---- grants ---- */

static bool id_matches(struct str pattern, struct str id)
{
    if (str_ends(pattern, S("/*"))) {
        struct str prefix = str_sub(pattern, 0, pattern.n - 1);
        return id.n > prefix.n && str_starts(id, prefix);
    }
    return str_eq(pattern, id);
}

uint32_t ckey_allows(const struct ckey *k, struct str caller)
{
    uint32_t ops = 0;
    for (size_t i = 0; i < k->n_grants; i++) {
        if (id_matches(str_of(k->grants[i].id), caller)) {
            ops |= k->grants[i].ops;
        }
    }
    return ops;
}

static void remove_grant(struct ckey *k, size_t i)
{
    free(k->grants[i].id);
    k->grants[i] = k->grants[--k->n_grants];
}

void ckey_grant(struct ckey *k, struct str id, uint32_t ops)
{
    for (size_t i = 0; i < k->n_grants; i++) {
        if (str_is(id, k->grants[i].id)) {
            remove_grant(k, i);
            break;
        }
    }
    if (ops == 0) {
        return;
    }
    BUG_ON(k->n_grants == KEY_GRANTS_MAX);
    k->grants = realloc(k->grants, (k->n_grants + 1) * sizeof(*k->grants));
    BUG_ON(k->grants == NULL);
    k->grants[k->n_grants++] = (struct grant){copy_text(id), ops};
}

/* ---- the record of the rules ---- */

void ckey_put_meta(const struct ckey *k, struct buf *out)
{
    wire_put_u8(out, META_FORMAT);
    wire_put_u8(out, k->type);
    wire_put_u8(out, k->flags);
    wire_put_u32(out, k->size);
    wire_put_u32(out, k->latest);
    wire_put_u32(out, k->min_available);
    wire_put_u32(out, k->min_decryption);
    wire_put_u32(out, k->min_encryption);
    buf_put_be(out, (uint64_t)k->auto_rotate_s, 8);
    wire_put_u32(out, (uint32_t)k->n_grants);
    for (size_t i = 0; i < k->n_grants; i++) {
        wire_put_str(out, str_of(k->grants[i].id));
        wire_put_u32(out, k->grants[i].ops);
    }
}

static void take_grants(struct ckey *k, struct wire_reader *r)
{
    uint32_t n = wire_u32(r);
    drop_grants(k);
    r->bad |= n > KEY_GRANTS_MAX;
    for (uint32_t i = 0; i < n && !r->bad; i++) {
        struct str id = wire_str(r);
        uint32_t ops = wire_u32(r);
        ckey_grant(k, id, ops & GRANT_ALL);
    }
}

struct err ckey_take_meta(struct ckey *k, struct str record)
{
    struct wire_reader r = wire_read(record);
    unsigned format = wire_u8(&r), type = wire_u8(&r);
    ENSURE(format == META_FORMAT && type < KEY_TYPE_MAX, ERR_SYNTAX,
           "the rules of key %s are of an unknown format", k->name);
    k->type = (enum key_type)type;
    k->flags = wire_u8(&r);
    k->size = wire_u32(&r);
    k->latest = wire_u32(&r);
    k->min_available = wire_u32(&r);
    k->min_decryption = wire_u32(&r);
    k->min_encryption = wire_u32(&r);
    k->auto_rotate_s = (int64_t)wire_u64(&r);
    take_grants(k, &r);
    ENSURE(wire_end(&r), ERR_SYNTAX, "the rules of key %s are cut short", k->name);
    while (k->n_versions > 0 && k->versions[0]->n < k->min_available) {
        key_version_free(k->versions[0]);
        k->n_versions--;
        memmove(k->versions, k->versions + 1, k->n_versions * sizeof(*k->versions));
    }
    return OK;
}
