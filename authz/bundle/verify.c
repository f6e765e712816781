/*
 * verify: is every file the one that was signed? The token's key is chosen by configuration first, then by the
 * token; what the token lists must be there, and nothing else.
 */
#include "bundle_priv.h"

#include "lib/base/codec.h"
#include "lib/base/map.h"
#include "lib/x509/cert.h"
#include "lib/x509/digest.h"
#include "lib/x509/key.h"

#include <fnmatch.h>
#include <stdlib.h>

/* ---- hashes ---- */

static struct err hash_alg(struct str name, enum digest_alg *out)
{
    static const struct {
        const char *name;
        enum digest_alg alg;
    } algs[] = {
        {"MD5", DIGEST_MD5},
        {"SHA-1", DIGEST_SHA1},
        {"SHA-224", DIGEST_SHA224},
        {"SHA-256", DIGEST_SHA256},
        {"SHA-384", DIGEST_SHA384},
        {"SHA-512", DIGEST_SHA512},
        {"SHA-512-224", DIGEST_SHA512_224},
        {"SHA-512-256", DIGEST_SHA512_256},
    };
    for (size_t i = 0; i < ARRAY_LEN(algs); i++) {
        if (str_is(name, algs[i].name)) {
            *out = algs[i].alg;
            return OK;
        }
    }
    FAIL(ERR_UNSUPPORTED, "unsupported hashing algorithm: %.*s", STR_FMT(str_sub(name, 0, 64)));
}

struct err bundle_hash_bytes(struct str algorithm, struct str bytes, uint8_t out[BUNDLE_HASH_MAX],
                             size_t *n)
{
    enum digest_alg alg;
    TRY(hash_alg(algorithm, &alg));
    struct digest_state *d = digest_begin(alg);
    if (bytes.n > 0) {
        digest_add(d, bytes);
    }
    *n = digest_end(d, out);
    return OK;
}

struct err bundle_hash_value(struct str algorithm, struct val v, uint8_t out[BUNDLE_HASH_MAX],
                             size_t *n)
{
    struct buf b;
    buf_init(&b, BUNDLE_TOTAL_MAX);
    val_to_json(&b, v, false);
    struct err e = buf_check(&b);
    if (!failed(e)) {
        e = bundle_hash_bytes(algorithm, buf_str(&b), out, n);
    }
    buf_release(&b);
    return e;
}

/* ---- keys ---- */

struct err bundle_key_check(struct bundle_key *k)
{
    enum jose_alg alg;
    ENSURE(k->key.n > 0 || k->private_key.n > 0, ERR_INVALID,
           "invalid keys configuration: no keys provided for key ID %.*s", STR_FMT(k->id));
    k->algorithm = k->algorithm.n > 0 ? k->algorithm : S("RS256");
    ENSURE(!failed(jose_alg_parse(k->algorithm, &alg)) && alg != JOSE_EDDSA, ERR_INVALID,
           "unsupported algorithm '%.*s'", STR_FMT(k->algorithm));
    return OK;
}

static struct err key_member(struct arena *a, struct val obj, const char *name, struct str *out)
{
    struct val v = val_get_str(obj, name);
    ENSURE(val_undef(v) || val_is(v, V_STRING), ERR_INVALID,
           "invalid keys configuration: %s should be a string", name);
    *out = val_undef(v) ? STR_EMPTY : arena_str(a, val_text(v));
    return OK;
}

struct err bundle_keys_parse(struct arena *a, struct val keys, struct bundle_key **out, size_t *n)
{
    ENSURE(val_is(keys, V_OBJECT), ERR_INVALID,
           "invalid keys configuration: keys should be an object");
    struct bundle_key *v = arena_array(a, struct bundle_key, val_len(keys) + 1);
    for (uint32_t i = 0; i < val_len(keys); i++) {
        struct val k = val_nth(keys, i);
        v[i].id = arena_str(a, val_text(val_nth_key(a, keys, i)));
        ENSURE(val_is(k, V_OBJECT), ERR_INVALID,
               "invalid keys configuration: key %.*s should be an object", STR_FMT(v[i].id));
        TRY(key_member(a, k, "key", &v[i].key));
        TRY(key_member(a, k, "private_key", &v[i].private_key));
        TRY(key_member(a, k, "algorithm", &v[i].algorithm));
        TRY(key_member(a, k, "scope", &v[i].scope));
        TRY(bundle_key_check(&v[i]));
    }
    *out = v;
    *n = val_len(keys);
    return OK;
}

struct err bundle_key_load(struct arena *a, struct str given, struct str *text)
{
    struct err e = str_starts(given, S("-----BEGIN")) ? err_make(ERR_NOT_FOUND, "a key")
                                                      : raw_whole_file(a, given, text);
    if (e.code == ERR_NOT_FOUND || e.code == ERR_LIMIT || e.code == ERR_SYNTAX) {
        *text = arena_str(a, given);
        return OK;
    }
    return e;
}

/*
 * RFC 2104 over a hash of its own: may run on a thread of the pool, and takes secrets of any length, since how
 * long a shared secret is was for its owner to say.
 */
static size_t hmac_of(enum jose_alg alg, struct str key, struct str text, uint8_t out[DIGEST_MAX])
{
    enum digest_alg d = alg == JOSE_HS256   ? DIGEST_SHA256
                        : alg == JOSE_HS384 ? DIGEST_SHA384
                                            : DIGEST_SHA512;
    size_t block = alg == JOSE_HS256 ? 64 : 128, n;
    uint8_t pad[128] = {0}, sum[DIGEST_MAX];
    if (key.n > block) {
        struct digest_state *s = digest_begin(d);
        digest_add(s, key);
        digest_end(s, pad);
    } else if (key.n > 0) {
        memcpy(pad, key.p, key.n);
    }
    for (size_t i = 0; i < block; i++) {
        pad[i] ^= 0x36;
    }
    struct digest_state *inner = digest_begin(d);
    digest_add(inner, str_n(pad, block));
    digest_add(inner, text);
    n = digest_end(inner, sum);
    for (size_t i = 0; i < block; i++) {
        pad[i] ^= 0x36 ^ 0x5c;
    }
    struct digest_state *outer = digest_begin(d);
    digest_add(outer, str_n(pad, block));
    digest_add(outer, str_n(sum, n));
    n = digest_end(outer, out);
    wipe(pad, sizeof pad);
    return n;
}

static struct err public_key(struct arena *a, struct str text, struct key **out)
{
    struct str rest = text, der;
    struct x509_cert *cert;
    if (failed(pem_next(a, &rest, "CERTIFICATE", &der))) {
        return key_from_pem(text, out);
    }
    TRY(x509_cert_parse(der, &cert));
    struct key *key;
    struct err e = x509_cert_key(cert, &key);
    if (!failed(e)) {
        *out = key_ref(key); /* the certificate keeps its own */
    }
    x509_cert_unref(cert);
    return e;
}

static struct err key_of_text(struct arena *a, struct str text, struct key **out)
{
    ENSURE(str_find(text, S("-----BEGIN ")) != STR_NPOS, ERR_INVALID,
           "failed to parse PEM block containing the key");
    return public_key(a, text, out);
}

static struct err verify_text(struct arena *a, struct str key_text, enum jose_alg alg,
                              struct str input, struct str signature)
{
    uint8_t mac[DIGEST_MAX];
    struct key *key;
    if (alg >= JOSE_HS256) {
        size_t n = hmac_of(alg, key_text, input, mac);
        ENSURE(str_eq_secret(str_n(mac, n), signature), ERR_SIGNATURE, "invalid HMAC signature");
        return OK;
    }
    TRY(key_of_text(a, key_text, &key));
    struct err e =
        key_fits(key, (enum sig_alg)alg)
            ? key_verify_raw(key, (enum sig_alg)alg, input, signature)
            : err_make(ERR_SIGNATURE, "the key is not for algorithm %s", jose_alg_name(alg));
    key_unref(key);
    return e;
}

struct err bundle_sign_text(struct arena *a, struct str key_text, enum jose_alg alg,
                            struct str input, struct str *out)
{
    uint8_t mac[DIGEST_MAX];
    struct key *key;
    struct buf b;
    if (alg >= JOSE_HS256) {
        size_t n = hmac_of(alg, key_text, input, mac);
        *out = arena_str(a, str_n(mac, n));
        return OK;
    }
    TRY(key_of_text(a, key_text, &key));
    buf_init(&b, SIGNATURE_MAX);
    struct err e =
        key_fits(key, (enum sig_alg)alg)
            ? key_sign_raw(key, (enum sig_alg)alg, input, &b)
            : err_make(ERR_INVALID, "the key is not for algorithm %s", jose_alg_name(alg));
    if (!failed(e)) {
        *out = arena_str(a, buf_str(&b));
    }
    buf_release(&b);
    key_unref(key);
    return e;
}

/* ---- the token ---- */

struct token {
    struct str head, payload, signature; /* as written */
    struct val header, claims;
};

static struct err base64_json(struct arena *a, struct str text, const char *what, struct val *out)
{
    struct str bytes;
    struct err e = base64_decode(a, text, BASE64_URL, &bytes);
    if (failed(e)) {
        return err_wrap(e, "failed to base64 decode JWT %s", what);
    }
    TRY(val_from_json(a, bytes, out));
    ENSURE(val_is(*out, V_OBJECT), ERR_INVALID, "the JWT's %s is no object", what);
    return OK;
}

static struct err token_split(struct arena *a, struct str text, struct token *t)
{
    struct str rest = text;
    t->head = str_split(&rest, '.');
    t->payload = rest.p != NULL ? str_split(&rest, '.') : STR_EMPTY;
    t->signature = rest.p != NULL ? str_split(&rest, '.') : STR_EMPTY;
    ENSURE(t->signature.p != NULL && rest.p == NULL, ERR_SYNTAX,
           "failed to split compact JWT: invalid number of segments");
    TRY(base64_json(a, t->head, "header", &t->header));
    return base64_json(a, t->payload, "payload", &t->claims);
}

static struct str claim(struct val obj, const char *name)
{
    struct val v = val_get_str(obj, name);
    return val_is(v, V_STRING) ? val_text(v) : STR_EMPTY;
}

static const struct bundle_key *key_named(const struct bundle_verify *v, struct str id)
{
    for (size_t i = 0; i < v->n_keys; i++) {
        if (str_eq(v->keys[i].id, id)) {
            return &v->keys[i];
        }
    }
    return NULL;
}

static struct err token_signature(struct arena *a, const struct token *t,
                                  const struct bundle_key *key)
{
    enum jose_alg alg;
    struct str signature,
        input = arena_printf(a, "%.*s.%.*s", STR_FMT(t->head), STR_FMT(t->payload));
    struct err e = base64_decode(a, t->signature, BASE64_URL, &signature);
    if (failed(e)) {
        return err_wrap(e, "failed to base64 decode JWT signature");
    }
    ENSURE(!failed(jose_alg_parse(key->algorithm, &alg)), ERR_UNSUPPORTED,
           "unknown signature algorithm: %.*s", STR_FMT(key->algorithm));
    e = verify_text(a, key->key, alg, input, signature);
    if (e.code == ERR_SIGNATURE) {
        return err_wrap(e, "failed to verify JWT signature");
    }
    return e;
}

static struct err token_check(struct arena *a, const struct token *t, const struct bundle_verify *v)
{
    struct str id = v->keyid;
    id = id.n > 0 ? id : claim(t->header, "kid");
    id = id.n > 0 ? id : claim(t->claims, "keyid");
    ENSURE(id.n > 0, ERR_SIGNATURE, "verification key ID is empty");
    const struct bundle_key *key = key_named(v, id);
    ENSURE(key != NULL, ERR_SIGNATURE, "verification key corresponding to ID %.*s not found",
           STR_FMT(id));
    TRY(token_signature(a, t, key));
    struct str scope = v->scope.n > 0 ? v->scope : key->scope;
    ENSURE(str_eq(claim(t->claims, "scope"), scope), ERR_SIGNATURE, "scope mismatch");
    return OK;
}

struct err bundle_signature_claims(struct arena *a, struct str token, struct val *out)
{
    struct token t;
    TRY(token_split(a, token, &t));
    *out = t.claims;
    return OK;
}

/* ---- .signatures.json ---- */

static struct err signatures_token(struct arena *a, struct str text, struct str *token)
{
    struct val v;
    ENSURE(text.n <= BUNDLE_SIGNATURE_MAX, ERR_LIMIT, ".signatures.json: more than %d bytes",
           BUNDLE_SIGNATURE_MAX);
    struct err e = val_from_json(a, text, &v);
    if (failed(e)) {
        return err_wrap(e, "bundle load failed on signatures decode");
    }
    ENSURE(val_is(v, V_OBJECT), ERR_INVALID,
           "bundle load failed on signatures decode: json: cannot unmarshal a value that is no "
           "object into Go value of type bundle.SignaturesConfig");
    struct str plugin = claim(v, "plugin");
    ENSURE(plugin.n == 0 || str_is(plugin, "_default"), ERR_UNSUPPORTED,
           "no verifier exists under id %.*s", STR_FMT(plugin));
    struct val list = val_get_str(v, "signatures");
    if (val_undef(list) || val_is(list, V_NULL)) {
        *token = STR_EMPTY;
        return OK;
    }
    ENSURE(val_is(list, V_ARRAY) && val_len(list) > 0, ERR_INVALID,
           ".signatures.json: missing JWT (expected exactly one)");
    ENSURE(val_len(list) == 1, ERR_INVALID,
           ".signatures.json: multiple JWTs not supported (expected exactly one)");
    ENSURE(val_is(val_nth(list, 0), V_STRING), ERR_INVALID,
           "bundle load failed on signatures decode: a signature is a string");
    *token = val_text(val_nth(list, 0));
    return OK;
}

static void list_files(struct arena *a, struct val files, struct signed_files *out)
{
    struct map *index = calloc(1, sizeof *index);
    BUG_ON(index == NULL);
    map_init(index);
    size_t n = val_is(files, V_ARRAY) ? val_len(files) : 0;
    out->index = index;
    out->checking = true;
    out->v = arena_array(a, struct bundle_hashed, n + 1);
    out->seen = arena_array(a, bool, n + 1);
    for (size_t i = 0; i < n; i++) {
        struct val f = val_nth(files, (uint32_t)i);
        if (!val_is(f, V_OBJECT)) {
            continue;
        }
        struct bundle_hashed h = {claim(f, "name"), claim(f, "hash"), claim(f, "algorithm")};
        struct bundle_hashed *old = map_get(index, h.name);
        if (old != NULL) {
            *old = h; /* a name listed twice: the last one counts */
            continue;
        }
        out->v[out->n] = h;
        map_set(index, h.name, &out->v[out->n++]);
    }
    out->left = out->n;
}

void signed_files_release(struct signed_files *s)
{
    if (s->index != NULL) {
        map_release(s->index);
        free(s->index);
        s->index = NULL;
    }
}

struct err signatures_check(struct arena *a, const struct raw_files *r, const struct bundle_opts *o,
                            struct str *token, struct signed_files *out)
{
    struct token t;
    struct err parsed = OK;
    if (r->has_signatures) {
        parsed = signatures_token(a, r->signatures, token);
    }
    if (o->skip_verify) {
        return OK;
    }
    bool empty = token->n == 0 && !failed(parsed);
    if (empty) {
        ENSURE(o->verify == NULL || o->verify->optional, ERR_SIGNATURE,
               "bundle missing .signatures.json file");
        return OK;
    }
    ENSURE(o->verify != NULL, ERR_SIGNATURE, "verification key not provided");
    TRY(parsed);
    TRY(token_split(a, *token, &t));
    TRY(token_check(a, &t, o->verify));
    list_files(a, val_get_str(t.claims, "files"), out);
    return OK;
}

/* ---- files ---- */

static bool excluded(const struct bundle_verify *v, struct str name)
{
    char path[BUNDLE_PATH_MAX + 1], pattern[512];
    if (failed(str_to_cstr(name, path, sizeof path))) {
        return false;
    }
    for (size_t i = 0; i < v->n_exclude; i++) {
        if (!failed(str_to_cstr(v->exclude[i], pattern, sizeof pattern)) &&
            fnmatch(pattern, path, FNM_PATHNAME) == 0) {
            return true;
        }
    }
    return false;
}

static struct err file_hash(struct arena *a, struct str algorithm, const struct raw_file *f,
                            uint8_t out[BUNDLE_HASH_MAX], size_t *n)
{
    struct val v;
    if (!bundle_is_structured(f->path)) {
        return bundle_hash_bytes(algorithm, f->bytes, out, n);
    }
    TRY(data_parse(a, f->path, f->bytes, &v));
    return bundle_hash_value(algorithm, v, out, n);
}

static struct err mark_seen(struct signed_files *s, const struct bundle_hashed *h)
{
    bool *seen = &s->seen[h - s->v];
    s->left -= !*seen;
    *seen = true;
    return OK;
}

struct err signed_file_check(struct arena *a, struct signed_files *s, const struct raw_file *f,
                             const struct bundle_opts *o)
{
    uint8_t sum[BUNDLE_HASH_MAX];
    size_t n;
    struct str want;
    if (!s->checking) {
        return OK;
    }
    struct bundle_hashed *h = map_get(s->index, f->signed_name);
    if (excluded(o->verify, f->signed_name)) {
        return h != NULL ? mark_seen(s, h) : OK;
    }
    ENSURE(h != NULL && !s->seen[h - s->v], ERR_SIGNATURE,
           "file %.*s not included in bundle signature", STR_FMT(f->signed_name));
    ENSURE(h->algorithm.n > 0, ERR_SIGNATURE, "no hashing algorithm provided for file %.*s",
           STR_FMT(f->signed_name));
    TRY(file_hash(a, h->algorithm, f, sum, &n));
    TRY(hex_decode(a, h->hash, &want));
    struct str got = str_n(sum, n);
    ENSURE(str_eq(want, got), ERR_SIGNATURE, "%.*s: digest mismatch (want: %.*s, got: %.*s)",
           STR_FMT(f->signed_name), STR_FMT(hex_encode(a, want)), STR_FMT(hex_encode(a, got)));
    return mark_seen(s, h);
}

struct err signed_files_done(const struct signed_files *s)
{
    if (!s->checking || s->left == 0) {
        return OK;
    }
    struct buf b;
    buf_init(&b, ERR_DETAIL_MAX);
    for (size_t i = 0, n = 0; i < s->n; i++) {
        if (!s->seen[i]) {
            buf_printf(&b, "%s%.*s", n++ > 0 ? " " : "", STR_FMT(s->v[i].name));
        }
    }
    struct err e = err_make(ERR_SIGNATURE,
                            "file(s) [%.*s] specified in bundle signatures but not found in the "
                            "target bundle",
                            STR_FMT(buf_str(&b)));
    buf_release(&b);
    return e;
}
