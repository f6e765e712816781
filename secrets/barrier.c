#include "barrier.h"

#include "lib/base/clock.h"
#include "lib/base/codec.h"
#include "lib/json/json.h"
#include "lib/tls/aead.h"

#include <inttypes.h>

enum { HEAD = 5, VERSION_PLAIN = 1, VERSION_PATH = 2, KEYRING_MAX = 60 * 1024 };

static const struct str keyring_path = STR_INIT("core/keyring");

struct term {
    struct secret key;
    struct aead *aead;
    int64_t installed_ns;
};

struct barrier {
    struct term *terms; /* index is the term less one */
    uint32_t n;
};

static struct err add_term(struct barrier *b, struct secret *key, int64_t installed_ns)
{
    ENSURE(b->n < BARRIER_TERMS_MAX, ERR_LIMIT, "the keyring is full: %d terms", BARRIER_TERMS_MAX);
    struct aead *aead;
    TRY(aead_new(key, &aead));
    struct term *terms = realloc(b->terms, (b->n + 1) * sizeof *terms);
    BUG_ON(terms == NULL);
    b->terms = terms;
    b->terms[b->n++] = (struct term){*key, aead, installed_ns};
    *key = SECRET_EMPTY;
    return OK;
}

static struct barrier *empty(void)
{
    struct barrier *b = calloc(1, sizeof *b);
    BUG_ON(b == NULL);
    return b;
}

struct err barrier_rotate(struct barrier *b)
{
    struct secret key;
    TRY(secret_random(&key, AEAD_KEY_BYTES));
    struct err e = add_term(b, &key, clock_wall_ns());
    secret_release(&key);
    return e;
}

struct err barrier_create(struct barrier **out)
{
    struct barrier *b = empty();
    struct err e = barrier_rotate(b);
    if (failed(e)) {
        barrier_free(b);
        return e;
    }
    *out = b;
    return OK;
}

void barrier_free(struct barrier *b)
{
    if (b == NULL) {
        return;
    }
    for (uint32_t i = 0; i < b->n; i++) {
        aead_free(b->terms[i].aead);
        secret_release(&b->terms[i].key);
    }
    free(b->terms);
    free(b);
}

static struct err seal_with(struct aead *aead, uint32_t term, struct str path, struct str value,
                            struct buf *out)
{
    buf_put_be(out, term, 4);
    buf_putc(out, VERSION_PATH);
    TRY(aead_seal(aead, path, value, out));
    return buf_check(out);
}

static uint32_t get_be32(const char *p)
{
    const unsigned char *u = (const unsigned char *)p;
    return (uint32_t)u[0] << 24 | (uint32_t)u[1] << 16 | (uint32_t)u[2] << 8 | u[3];
}

static struct err open_with(struct aead *aead, struct str path, struct str record, struct buf *out)
{
    char version = record.p[4];
    ENSURE(version == VERSION_PATH || version == VERSION_PLAIN, ERR_SYNTAX,
           "record of unknown version %d", version);
    return aead_open(aead, version == VERSION_PATH ? path : STR_EMPTY,
                     str_sub(record, HEAD, record.n), out);
}

struct err barrier_seal(struct barrier *b, struct str path, struct str value, struct buf *out)
{
    ENSURE(value.n <= BARRIER_VALUE_MAX, ERR_LIMIT, "a value has at most %d bytes",
           BARRIER_VALUE_MAX);
    return seal_with(b->terms[b->n - 1].aead, b->n, path, value, out);
}

struct err barrier_open(struct barrier *b, struct str path, struct str record, struct buf *out)
{
    ENSURE(record.n >= BARRIER_OVERHEAD, ERR_SYNTAX, "the record at %.*s is cut short",
           STR_FMT(path));
    uint32_t term = get_be32(record.p);
    ENSURE(term >= 1 && term <= b->n, ERR_NOT_FOUND, "no key of term %" PRIu32 " for %.*s", term,
           STR_FMT(path));
    struct err e = open_with(b->terms[term - 1].aead, path, record, out);
    return failed(e) ? err_wrap(e, "%.*s", STR_FMT(path)) : OK;
}

/* ---- the keyring: "term installed_ns hex-key" a line, under the root key ---- */

static void put_keyring(const struct barrier *b, struct buf *text)
{
    for (uint32_t i = 0; i < b->n; i++) {
        buf_printf(text, "%" PRIu32 " %" PRId64 " ", i + 1, b->terms[i].installed_ns);
        hex_put(text, secret_bytes(&b->terms[i].key));
        buf_putc(text, '\n');
    }
}

struct err barrier_export(struct barrier *b, const struct secret *root_key, struct buf *out)
{
    struct aead *aead;
    TRY(aead_new(root_key, &aead));
    struct buf text;
    buf_init_secret(&text, KEYRING_MAX * 4);
    put_keyring(b, &text);
    struct err e = buf_check(&text);
    if (!failed(e)) {
        e = seal_with(aead, 1, keyring_path, buf_str(&text), out);
    }
    buf_release(&text);
    aead_free(aead);
    return e;
}

static int nibble(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static struct err read_term(struct barrier *b, struct str line)
{
    struct str rest = line, term = str_split(&rest, ' '), at = str_split(&rest, ' ');
    uint64_t n, installed;
    TRY(str_to_u64(term, &n));
    TRY(str_to_u64(at, &installed));
    ENSURE(n == b->n + 1 && rest.n == (size_t)AEAD_KEY_BYTES * 2, ERR_SYNTAX,
           "the keyring is damaged");
    struct secret key;
    TRY(secret_zeroed(&key, AEAD_KEY_BYTES));
    struct err e = OK;
    for (size_t i = 0; i < AEAD_KEY_BYTES && !failed(e); i++) {
        int hi = nibble(rest.p[2 * i]), lo = nibble(rest.p[2 * i + 1]);
        if (hi < 0 || lo < 0) {
            e = err_make(ERR_SYNTAX, "the keyring is damaged");
        }
        secret_mutable(&key)[i] = (unsigned char)(hi << 4 | (lo & 15));
    }
    if (!failed(e)) {
        e = add_term(b, &key, (int64_t)installed);
    }
    secret_release(&key);
    return e;
}

static struct err read_keyring(struct barrier *b, struct str text)
{
    while (text.n > 0) {
        struct str line = str_split(&text, '\n');
        TRY(read_term(b, line));
    }
    ENSURE(b->n > 0, ERR_SYNTAX, "the keyring is empty");
    return OK;
}

struct err barrier_import(const struct secret *root_key, struct str record, struct barrier **out)
{
    ENSURE(record.n >= BARRIER_OVERHEAD, ERR_SYNTAX, "the keyring is cut short");
    struct aead *aead;
    TRY(aead_new(root_key, &aead));
    struct buf text;
    buf_init_secret(&text, KEYRING_MAX * 4);
    struct barrier *b = empty();
    struct err e = open_with(aead, keyring_path, record, &text);
    if (!failed(e)) {
        e = read_keyring(b, buf_str(&text));
    }
    buf_release(&text);
    aead_free(aead);
    if (failed(e)) {
        barrier_free(b);
        return err_wrap(e, "keyring");
    }
    *out = b;
    return OK;
}

uint32_t barrier_term(const struct barrier *b)
{
    return b->n;
}

int64_t barrier_installed_ns(const struct barrier *b)
{
    return b->terms[b->n - 1].installed_ns;
}

uint64_t barrier_encryptions(const struct barrier *b)
{
    return aead_count(b->terms[b->n - 1].aead);
}
