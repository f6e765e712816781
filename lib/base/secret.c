#include "secret.h"

#include <sodium.h>
#include <sys/prctl.h>
#include <sys/resource.h>

struct err secret_harden_process(void)
{
    struct rlimit none = {0, 0};
    ENSURE(setrlimit(RLIMIT_CORE, &none) == 0, ERR_IO, "cannot forbid core files");
    ENSURE(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0, ERR_IO, "cannot forbid tracing");
    return OK;
}

struct err secret_zeroed(struct secret *out, size_t n)
{
    ENSURE(n <= SECRET_MAX, ERR_LIMIT, "a secret of %zu bytes; at most %d", n, SECRET_MAX);
    ENSURE(sodium_init() >= 0, ERR_CRYPTO, "libsodium does not start");
    unsigned char *p = sodium_malloc(n > 0 ? n : 1);
    ENSURE(p != NULL, ERR_LIMIT,
           "no locked memory left for a secret of %zu bytes (raise RLIMIT_MEMLOCK)", n);
    memset(p, 0, n > 0 ? n : 1);
    *out = (struct secret){p, n};
    return OK;
}

struct err secret_random(struct secret *out, size_t n)
{
    TRY(secret_zeroed(out, n));
    randombytes_buf(out->guarded, n);
    return OK;
}

struct err secret_copy(struct secret *out, struct str bytes)
{
    TRY(secret_zeroed(out, bytes.n));
    if (bytes.n > 0) {
        memcpy(out->guarded, bytes.p, bytes.n);
    }
    return OK;
}

void secret_release(struct secret *s)
{
    if (s->guarded != NULL) {
        sodium_free(s->guarded);
    }
    *s = SECRET_EMPTY;
}

bool secret_equal(const struct secret *a, struct str b)
{
    return a->n == b.n && (b.n == 0 || sodium_memcmp(a->guarded, b.p, b.n) == 0);
}

void wipe(void *p, size_t n)
{
    if (n > 0) {
        explicit_bzero(p, n);
    }
}
