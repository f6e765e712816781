#include "jwe.h"

#include "aead.h"
#include "jwe_key.h"
#include "lib/base/codec.h"

/* ---- content ---- */

static struct err content_key_size(struct str enc, size_t *n)
{
    static const struct {
        const char *name;
        size_t n;
    } encs[] = {{"A128GCM", 16},       {"A192GCM", 24},       {"A256GCM", 32},
                {"A128CBC-HS256", 32}, {"A192CBC-HS384", 48}, {"A256CBC-HS512", 64}};
    for (size_t i = 0; i < ARRAY_LEN(encs); i++) {
        if (str_is(enc, encs[i].name)) {
            *n = encs[i].n;
            return OK;
        }
    }
    FAIL(ERR_UNSUPPORTED, "content encryption '%.*s' is not supported",
         STR_FMT(str_sub(enc, 0, 64)));
}

struct parts {
    struct str encrypted_key, iv, cipher, tag;
    struct str aad; /* what the tag covers */
};

static struct err open_content(struct str enc, struct str cek, const struct parts *p,
                               struct buf *plain)
{
    if (str_ends(enc, S("GCM"))) {
        ENSURE(p->iv.n == 12, ERR_SIGNATURE, "a nonce of %zu bytes; 12 are due", p->iv.n);
        return aead_gcm_open(cek, p->iv, p->aad, p->cipher, p->tag, plain);
    }
    return aead_cbc_hmac_open(cek, p->iv, p->aad, p->cipher, p->tag, plain);
}

/* ---- header ---- */

static struct err header_text(const struct json *h, const char *name, struct str *out)
{
    const struct json *v = json_get(h, name);
    ENSURE(v != NULL && json_is(v, JSON_STRING), ERR_SYNTAX,
           "an encrypted token's header needs the text '%s'", name);
    *out = v->text;
    return OK;
}

/* One key, one algorithm; a key for direct use is named by the content encryption. */
static struct err check_key(const struct jwk *key, struct str alg, struct str enc)
{
    ENSURE(!str_is(key->use, "sig"), ERR_SIGNATURE, "the key is for signatures");
    bool direct = str_is(alg, "dir") && str_eq(key->alg_name, enc);
    ENSURE(key->alg_name.n == 0 || str_eq(key->alg_name, alg) || direct, ERR_SIGNATURE,
           "the key is not for algorithm '%.*s'", STR_FMT(str_sub(alg, 0, 64)));
    return OK;
}

static struct err open_with(struct arena *a, const struct json *header, const struct jwk *key,
                            const struct parts *p, struct buf *plain)
{
    struct str alg, enc;
    size_t size;
    TRY(header_text(header, "alg", &alg));
    TRY(header_text(header, "enc", &enc));
    ENSURE(json_get(header, "zip") == NULL, ERR_UNSUPPORTED, "compressed content is not accepted");
    ENSURE(json_get(header, "crit") == NULL, ERR_UNSUPPORTED,
           "critical headers that are not understood");
    TRY(content_key_size(enc, &size));
    TRY(check_key(key, alg, enc));
    struct buf cek;
    buf_init_secret(&cek, 2 * AEAD_KEY_MAX + 1024);
    struct jwe_key_request r = {
        .header = header, .alg = alg, .enc = enc, .encrypted = p->encrypted_key, .size = size};
    struct err e = jwe_content_key(a, key, &r, &cek);
    if (!failed(e) && cek.n != size) {
        e = err_make(ERR_SIGNATURE, "decryption failed");
    }
    if (!failed(e)) {
        e = open_content(enc, buf_str(&cek), p, plain);
    }
    buf_release(&cek);
    return e;
}

/* ---- compact ---- */

static struct err decode(struct arena *a, struct str text, struct str *out)
{
    struct err e = base64_decode(a, text, BASE64_URL, out);
    return failed(e) ? err_wrap(e, "encrypted token") : OK;
}

static struct err read_header(struct arena *a, struct str encoded, struct json **out)
{
    static const struct json_limits limits = {
        .max_bytes = 8192, .max_depth = 16, .max_values = 500};
    struct str text;
    TRY(decode(a, encoded, &text));
    TRY(json_parse(a, text, &limits, out));
    ENSURE(json_is(*out, JSON_OBJECT), ERR_SYNTAX, "an encrypted token's header must be an object");
    return OK;
}

struct err jwe_decrypt(struct arena *a, struct str compact, const struct jwk *key,
                       struct buf *plain)
{
    ENSURE(compact.n <= JWE_TEXT_MAX, ERR_LIMIT, "an encrypted token of %zu bytes; at most %d",
           compact.n, JWE_TEXT_MAX);
    struct str rest = compact, s[5];
    size_t n = 0;
    while (rest.p != NULL) {
        struct str one = str_split(&rest, '.');
        ENSURE(n < 5, ERR_SYNTAX, "an encrypted token of more than five segments");
        s[n++] = one;
    }
    ENSURE(n == 5, ERR_SYNTAX, "an encrypted token of %zu segments; five are due", n);
    struct json *header;
    struct parts p = {.aad = s[0]};
    TRY(read_header(a, s[0], &header));
    TRY(decode(a, s[1], &p.encrypted_key));
    TRY(decode(a, s[2], &p.iv));
    TRY(decode(a, s[3], &p.cipher));
    TRY(decode(a, s[4], &p.tag));
    return open_with(a, header, key, &p, plain);
}

/* ---- JSON ---- */

static struct err member(struct arena *a, const struct json *o, const char *name, struct str *out)
{
    const struct json *v = json_get(o, name);
    *out = STR_EMPTY;
    ENSURE(v == NULL || json_is(v, JSON_STRING), ERR_SYNTAX, "member '%s' must be a string", name);
    return v != NULL ? decode(a, v->text, out) : OK;
}

/* The three headers are one; a name in two of them is an error (section 7.2.1). */
static struct err merge(struct arena *a, struct json *into, const struct json *from)
{
    ENSURE(from == NULL || json_is(from, JSON_OBJECT), ERR_SYNTAX, "a header must be an object");
    for (uint32_t i = 0; from != NULL && i < from->n; i++) {
        ENSURE(json_get_str(into, from->members[i].key) == NULL, ERR_SYNTAX, "header '%.*s' twice",
               STR_FMT(str_sub(from->members[i].key, 0, 64)));
        json_add(a, into, from->members[i].key, from->members[i].value);
    }
    return OK;
}

static struct err open_recipient(struct arena *a, const struct json *doc,
                                 const struct json *recipient, const struct jwk *key,
                                 struct parts *p, struct buf *plain)
{
    struct json *all = json_new_object(a), *protected = NULL;
    struct str encoded = json_str(json_get(doc, "protected"));
    if (encoded.n > 0) {
        TRY(read_header(a, encoded, &protected));
    }
    TRY(merge(a, all, protected));
    TRY(merge(a, all, json_get(doc, "unprotected")));
    TRY(merge(a, all, json_get(recipient, "header")));
    TRY(member(a, recipient, "encrypted_key", &p->encrypted_key));
    return open_with(a, all, key, p, plain);
}

struct err jwe_decrypt_json(struct arena *a, const struct json *doc, const struct jwk *key,
                            struct buf *plain)
{
    ENSURE(json_is(doc, JSON_OBJECT), ERR_SYNTAX, "an encrypted token must be an object");
    struct parts p;
    TRY(member(a, doc, "iv", &p.iv));
    TRY(member(a, doc, "ciphertext", &p.cipher));
    TRY(member(a, doc, "tag", &p.tag));
    struct str protected = json_str(json_get(doc, "protected")),
               aad = json_str(json_get(doc, "aad"));
    p.aad = aad.n > 0 ? arena_printf(a, "%.*s.%.*s", STR_FMT(protected), STR_FMT(aad)) : protected;
    const struct json *list = json_get(doc, "recipients");
    if (list == NULL) {
        return open_recipient(a, doc, doc, key, &p, plain);
    }
    ENSURE(json_is(list, JSON_ARRAY) && list->n > 0 && list->n <= JWE_RECIPIENTS_MAX, ERR_SYNTAX,
           "1 to %d recipients", JWE_RECIPIENTS_MAX);
    struct err e = OK;
    for (uint32_t i = 0; i < list->n; i++) {
        e = open_recipient(a, doc, list->items[i], key, &p, plain);
        if (!failed(e)) {
            return OK;
        }
    }
    return e;
}
