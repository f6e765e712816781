#include "hasher.h"

#include "lib/loop/loop.h"
#include "limits.h"

#include <sodium.h>
#include <stdlib.h>

_Static_assert(PASSWORD_HASH_MAX >= crypto_pwhash_STRBYTES, "a hash fits its buffer");

struct job {
    struct hasher *hasher;
    struct job *next;
    struct secret password;
    bool make, match, renewed;
    char hash[PASSWORD_HASH_MAX];
    void (*made)(void *ctx, struct err e, struct str hash);
    void (*checked)(void *ctx, struct err e, bool match, struct str renewed);
    void *ctx;
};

struct hasher {
    struct loop *loop;
    struct hasher_opts opts;
    char nobody[PASSWORD_HASH_MAX];
    struct job *first, **last; /* waiting */
    unsigned waiting, running;
};

static struct err make_hash(const struct hasher_opts *o, struct str password,
                            char out[PASSWORD_HASH_MAX])
{
    int rc = crypto_pwhash_str_alg(out, password.p, password.n, (unsigned long long)o->passes,
                                   (size_t)o->memory_kib * 1024, crypto_pwhash_ALG_ARGON2ID13);
    ENSURE(rc == 0, ERR_LIMIT, "not enough memory to hash a password (%lld KiB)",
           (long long)o->memory_kib);
    return OK;
}

static struct err work(void *ctx)
{
    struct job *j = ctx;
    const struct hasher_opts *o = &j->hasher->opts;
    struct str password = secret_bytes(&j->password);
    if (j->make) {
        return make_hash(o, password, j->hash);
    }
    j->match = crypto_pwhash_str_verify(j->hash, password.p, password.n) == 0;
    if (j->match && crypto_pwhash_str_needs_rehash(j->hash, (unsigned long long)o->passes,
                                                   (size_t)o->memory_kib * 1024) != 0) {
        j->renewed = true;
        return make_hash(o, password, j->hash);
    }
    return OK;
}

static void finish(struct job *j, struct err e)
{
    if (j->make) {
        j->made(j->ctx, e, str_of(j->hash));
    } else {
        j->checked(j->ctx, e, !failed(e) && j->match, j->renewed ? str_of(j->hash) : STR_EMPTY);
    }
    secret_release(&j->password);
    free(j);
}

static void start_next(struct hasher *h);

static void work_done(void *ctx, struct err e)
{
    struct job *j = ctx;
    struct hasher *h = j->hasher;
    h->running--;
    finish(j, e);
    start_next(h);
}

static void start_next(struct hasher *h)
{
    while (h->first != NULL && h->running < h->opts.workers) {
        struct job *j = h->first;
        h->first = j->next;
        h->last = h->first == NULL ? &h->first : h->last;
        h->waiting--;
        h->running++;
        struct err e = h->loop != NULL ? loop_work(h->loop, work, work_done, j) : work(j);
        if (h->loop == NULL || failed(e)) {
            h->running--;
            finish(j, e);
        }
    }
}

static struct err enqueue(struct hasher *h, const struct job *proto, struct secret *password)
{
    ENSURE(h->waiting < HASH_QUEUE_MAX, ERR_BUSY, "%d password checks are waiting", HASH_QUEUE_MAX);
    struct job *j = calloc(1, sizeof(*j));
    ENSURE(j != NULL, ERR_LIMIT, "out of memory");
    *j = *proto;
    j->hasher = h;
    j->password = *password;
    *password = SECRET_EMPTY;
    *h->last = j;
    h->last = &j->next;
    h->waiting++;
    start_next(h);
    return OK;
}

struct err hasher_make(struct hasher *h, struct secret *password,
                       void (*done)(void *ctx, struct err e, struct str hash), void *ctx)
{
    struct job proto = {.make = true, .made = done, .ctx = ctx};
    return enqueue(h, &proto, password);
}

struct err hasher_check(struct hasher *h, struct str hash, struct secret *password,
                        void (*done)(void *ctx, struct err e, bool match, struct str renewed),
                        void *ctx)
{
    struct job proto = {.checked = done, .ctx = ctx};
    TRY(str_to_cstr(hash.n > 0 ? hash : str_of(h->nobody), proto.hash, sizeof(proto.hash)));
    return enqueue(h, &proto, password);
}

struct err hasher_new(struct loop *loop, const struct hasher_opts *o, struct hasher **out)
{
    struct secret nobody;
    struct hasher *h = calloc(1, sizeof(*h));
    ENSURE(h != NULL, ERR_LIMIT, "out of memory");
    h->loop = loop;
    h->opts = *o;
    h->last = &h->first;
    struct err e = secret_random(&nobody, 32);
    if (!failed(e)) {
        e = make_hash(o, secret_bytes(&nobody), h->nobody);
        secret_release(&nobody);
    }
    if (failed(e)) {
        free(h);
        return e;
    }
    *out = h;
    return OK;
}

void hasher_free(struct hasher *h)
{
    if (h == NULL) {
        return;
    }
    while (h->first != NULL) {
        struct job *j = h->first;
        h->first = j->next;
        secret_release(&j->password);
        free(j);
    }
    free(h);
}

struct err password_check(struct str password, struct str user_name)
{
    ENSURE(password.n >= PASSWORD_MIN, ERR_INVALID, "a password needs at least %d characters",
           PASSWORD_MIN);
    ENSURE(password.n <= PASSWORD_MAX, ERR_LIMIT, "a password has at most %d bytes", PASSWORD_MAX);
    ENSURE(str_is_utf8(password) && str_find_char(password, '\0') == STR_NPOS, ERR_INVALID,
           "a password is text in UTF-8");
    ENSURE(!str_eq_nocase(password, user_name), ERR_INVALID,
           "a password must not be the user's name");
    return OK;
}
