/*
 * write: bundles as archives. The same bundle gives the same bytes: no times, no owners, one order of files.
 */
#include "bundle_priv.h"

#include "lib/base/codec.h"
#include "lib/http/gzip.h"

enum { BLOCK = 512, LEVEL = 6 };

/* ---- tar ---- */

static void octal(char *field, size_t n, uint64_t v)
{
    for (size_t i = n - 1; i-- > 0;) {
        field[i] = (char)('0' + (v & 7));
        v >>= 3;
    }
}

static void header(struct buf *out, struct str name, size_t size, char type)
{
    char h[BLOCK] = {0};
    memcpy(h, name.p, MIN(name.n, (size_t)100));
    octal(h + 100, 8, 0600);
    octal(h + 108, 8, 0);
    octal(h + 116, 8, 0);
    octal(h + 124, 12, size);
    octal(h + 136, 12, 0);
    memset(h + 148, ' ', 8);
    h[156] = type;
    memcpy(h + 257, "ustar\00000", 8);
    octal(h + 329, 8, 0);
    octal(h + 337, 8, 0);
    unsigned sum = 0;
    for (size_t i = 0; i < BLOCK; i++) {
        sum += (unsigned char)h[i];
    }
    octal(h + 148, 7, sum);
    h[154] = 0;
    buf_put(out, h, BLOCK);
}

static void pad(struct buf *out, size_t size)
{
    static const char zeros[BLOCK];
    buf_put(out, zeros, (BLOCK - size % BLOCK) % BLOCK);
}

/* A pax record says its own length, digits included. */
static struct str pax_path(struct arena *a, struct str name)
{
    size_t bare = name.n + strlen(" path=\n"), n = bare + 1;
    while (n != bare + arena_printf(a, "%zu", n).n) {
        n = bare + arena_printf(a, "%zu", n).n;
    }
    return arena_printf(a, "%zu path=%.*s\n", n, STR_FMT(name));
}

void tar_put_file(struct arena *a, struct buf *out, struct str path, struct str bytes)
{
    struct str name = str_starts(path, S("/")) ? path : arena_printf(a, "/%.*s", STR_FMT(path));
    if (name.n > 100) {
        struct str record = pax_path(a, name);
        header(out, S("PaxHeaders.0/long"), record.n, 'x');
        buf_puts(out, record);
        pad(out, record.n);
    }
    header(out, name, bytes.n, '0');
    buf_puts(out, bytes);
    pad(out, bytes.n);
}

void tar_put_end(struct buf *out)
{
    static const char end[2 * BLOCK];
    buf_put(out, end, sizeof end);
}

/* ---- content ---- */

static void member(struct buf *b, const char *name, struct val v, bool *first)
{
    if (!val_undef(v)) {
        buf_printf(b, "%s\"%s\":", *first ? "" : ",", name);
        val_to_json(b, v, true);
        *first = false;
    }
}

/* In the order in which OPA writes the members. */
static void put_manifest(struct arena *a, struct buf *out, const struct bundle_manifest *m)
{
    static const char *const order[] = {"revision",           "roots",   "wasm", "rego_version",
                                        "file_rego_versions", "metadata"};
    struct val v = bundle_manifest_value(a, m);
    struct buf b;
    bool first = true;
    buf_init(&b, BUNDLE_SIZE_MAX);
    buf_putc(&b, '{');
    for (size_t i = 0; i < ARRAY_LEN(order); i++) {
        member(&b, order[i], val_get_str(v, order[i]), &first);
    }
    buf_puts(&b, S("}\n"));
    tar_put_file(a, out, S("/.manifest"), buf_str(&b));
    out->overflow |= b.overflow;
    buf_release(&b);
}

static void put_json(struct arena *a, struct buf *out, struct str path, struct val v)
{
    struct buf b;
    buf_init(&b, BUNDLE_TOTAL_MAX);
    val_to_json(&b, v, true);
    buf_putc(&b, '\n');
    tar_put_file(a, out, path, buf_str(&b));
    out->overflow |= b.overflow;
    buf_release(&b);
}

static void put_blobs(struct arena *a, struct buf *out, const struct bundle_blob *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        tar_put_file(a, out, v[i].path, v[i].bytes);
    }
}

static const char *op_name(enum bundle_op op)
{
    return op == BUNDLE_UPSERT ? "upsert" : op == BUNDLE_REMOVE ? "remove" : "replace";
}

static struct val patch_value(struct arena *a, const struct bundle *b)
{
    struct vlist list = {.a = a}, whole = {.a = a};
    for (size_t i = 0; i < b->n_patch; i++) {
        struct vlist o = {.a = a};
        vlist_put(&o, "op", val_str(a, str_of(op_name(b->patch[i].op))));
        vlist_put(&o, "path", val_str(a, b->patch[i].path));
        vlist_put(&o, "value", b->patch[i].value);
        vlist_add(&list, vlist_object(&o));
    }
    vlist_put(&whole, "data", vlist_array(&list));
    return vlist_object(&whole);
}

static void put_all(struct arena *a, const struct bundle *b, struct buf *out)
{
    if (b->delta) {
        put_json(a, out, S("/patch.json"), patch_value(a, b));
    } else {
        put_json(a, out, S("/data.json"), val_undef(b->data) ? val_empty_object() : b->data);
        for (size_t i = 0; i < b->n_modules; i++) {
            tar_put_file(a, out, b->modules[i].path, b->modules[i].text);
        }
        put_blobs(a, out, b->wasm, b->n_wasm);
        if (b->signature.n > 0) {
            tar_put_file(a, out, S("/.signatures.json"), bundle_signatures_text(a, b->signature));
        }
        put_blobs(a, out, b->plans, b->n_plans);
    }
    if (!bundle_manifest_empty(&b->manifest)) {
        put_manifest(a, out, &b->manifest);
    }
    tar_put_end(out);
}

struct err bundle_write(const struct bundle *b, struct buf *out)
{
    struct buf tar;
    struct arena a;
    buf_init(&tar, BUNDLE_TOTAL_MAX);
    arena_init(&a, BUNDLE_TOTAL_MAX);
    put_all(&a, b, &tar);
    struct err e = buf_check(&tar);
    if (!failed(e)) {
        e = gzip_pack(buf_str(&tar), LEVEL, out);
    }
    arena_release(&a);
    buf_release(&tar);
    return e;
}

/* ---- signatures ---- */

struct str bundle_signatures_text(struct arena *a, struct str token)
{
    return arena_printf(a, "{\n \"signatures\": [\n  \"%.*s\"\n ],\n \"plugin\": \"_default\"\n}",
                        STR_FMT(token));
}

static struct val files_claim(struct arena *a, const struct bundle_hashed *files, size_t n)
{
    struct vlist list = {.a = a};
    for (size_t i = 0; i < n; i++) {
        struct vlist o = {.a = a};
        vlist_put(&o, "name", val_str(a, files[i].name));
        vlist_put(&o, "hash", val_str(a, files[i].hash));
        vlist_put(&o, "algorithm", val_str(a, files[i].algorithm));
        vlist_add(&list, vlist_object(&o));
    }
    return vlist_array(&list);
}

static struct str json_base64(struct arena *a, struct val v)
{
    struct buf b;
    buf_init(&b, BUNDLE_SIGNATURE_MAX);
    val_to_json(&b, v, false);
    struct str s = base64_encode(a, buf_str(&b), BASE64_URL);
    buf_release(&b);
    return s;
}

static struct val token_claims(struct arena *a, const struct bundle_hashed *files, size_t n,
                               const struct bundle_signing *s)
{
    struct vlist o = {.a = a};
    vlist_put(&o, "files", files_claim(a, files, n));
    if (s->claims.w != 0 && val_is(s->claims, V_OBJECT)) { /* zero: the caller set nothing */
        for (uint32_t i = 0; i < val_len(s->claims); i++) {
            vlist_add2(&o, val_nth_key(a, s->claims, i), val_nth(s->claims, i));
        }
    } else if (s->keyid.n > 0) {
        vlist_put(&o, "keyid", val_str(a, s->keyid));
    }
    return vlist_object(&o);
}

struct err bundle_sign_files(struct arena *a, const struct bundle_hashed *files, size_t n,
                             const struct bundle_signing *s, struct str *token)
{
    enum jose_alg alg;
    struct str name = s->algorithm.n > 0 ? s->algorithm : S("RS256"), signature;
    struct vlist h = {.a = a};
    ENSURE(!failed(jose_alg_parse(name, &alg)) && alg != JOSE_EDDSA, ERR_UNSUPPORTED,
           "unknown signature algorithm: %.*s", STR_FMT(name));
    vlist_put(&h, "alg", val_str(a, name));
    vlist_put(&h, "typ", val_str(a, S("JWT")));
    if (s->keyid.n > 0) {
        vlist_put(&h, "kid", val_str(a, s->keyid));
    }
    struct str head = json_base64(a, vlist_object(&h));
    struct str claims = json_base64(a, token_claims(a, files, n, s));
    struct str input = arena_printf(a, "%.*s.%.*s", STR_FMT(head), STR_FMT(claims));
    TRY(bundle_sign_text(a, s->key, alg, input, &signature));
    *token = arena_printf(a, "%.*s.%.*s", STR_FMT(input),
                          STR_FMT(base64_encode(a, signature, BASE64_URL)));
    return OK;
}

struct hashing {
    struct arena *a;
    struct bundle_hashed *v;
    size_t n, cap;
};

static void add_hash(struct hashing *h, struct str path, const uint8_t *sum, size_t n)
{
    struct str name = str_starts(path, S("/")) ? str_sub(path, 1, path.n) : path;
    h->v = arena_grow(h->a, h->v, h->n, h->n + 1, &h->cap, sizeof *h->v);
    h->v[h->n++] = (struct bundle_hashed){name, hex_encode(h->a, str_n(sum, n)), S("SHA-256")};
}

static struct err hash_bytes(struct hashing *h, struct str path, struct str bytes)
{
    uint8_t sum[BUNDLE_HASH_MAX];
    size_t n;
    TRY(bundle_hash_bytes(S("SHA-256"), bytes, sum, &n));
    add_hash(h, path, sum, n);
    return OK;
}

static struct err hash_value(struct hashing *h, struct str path, struct val v)
{
    uint8_t sum[BUNDLE_HASH_MAX];
    size_t n;
    TRY(bundle_hash_value(S("SHA-256"), v, sum, &n));
    add_hash(h, path, sum, n);
    return OK;
}

struct err bundle_sign(struct bundle *b, const struct bundle_signing *s)
{
    struct hashing h = {.a = &b->arena};
    for (size_t i = 0; i < b->n_modules; i++) {
        TRY(hash_bytes(&h, b->modules[i].path, b->modules[i].text));
    }
    TRY(hash_value(&h, S("data.json"), val_undef(b->data) ? val_empty_object() : b->data));
    for (size_t i = 0; i < b->n_wasm; i++) {
        TRY(hash_bytes(&h, b->wasm[i].path, b->wasm[i].bytes));
    }
    for (size_t i = 0; i < b->n_plans; i++) {
        TRY(hash_bytes(&h, b->plans[i].path, b->plans[i].bytes));
    }
    if (!bundle_manifest_empty(&b->manifest)) {
        TRY(hash_value(&h, S(".manifest"), bundle_manifest_value(h.a, &b->manifest)));
    }
    return bundle_sign_files(&b->arena, h.v, h.n, s, &b->signature);
}
