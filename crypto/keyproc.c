/*
 * The key process. Started by the front before its own sandbox, with nothing but a socket at KEYS_FD;
 * reads the seal key, gives up everything else, and answers messages until the front is gone.
 */
#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "crypto.h"

#include "keyring.h"
#include "lib/base/log.h"
#include "seal.h"
#include "wire.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

enum { OPENSSL_SECURE_HEAP = 1 << 20, OPENSSL_SECURE_MIN = 32, KEEP_BUFFER = 256 * 1024 };

/* False at the end of the stream (the front is gone) or on an error. */
static bool read_all(void *p, size_t n)
{
    char *at = p;
    while (n > 0) {
        ssize_t got = read(KEYS_FD, at, n);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return false;
        }
        at += got;
        n -= (size_t)got;
    }
    return true;
}

static bool write_all(struct str bytes)
{
    while (bytes.n > 0) {
        ssize_t put = write(KEYS_FD, bytes.p, bytes.n);
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put <= 0) {
            return false;
        }
        bytes = str_sub(bytes, (size_t)put, bytes.n);
    }
    return true;
}

static uint32_t be32(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Length first, its place filled in when the answer is known. */
static void finish_frame(struct buf *out)
{
    uint32_t n = (uint32_t)(out->n - 4);
    for (int i = 0; i < 4; i++) {
        out->p[i] = (char)(n >> (24 - 8 * i));
    }
}

static bool answer_one(struct keyring *kr, struct buf *in, struct buf *out)
{
    unsigned char head[WIRE_HEAD];
    if (!read_all(head, sizeof(head))) {
        return false;
    }
    uint32_t n = be32(head);
    buf_clear(in);
    buf_clear(out);
    char *room = n >= 4 && n <= WIRE_MAX ? buf_reserve(in, n - 4) : NULL;
    if (room == NULL || !read_all(room, n - 4)) {
        log_error("the front sent a frame that cannot be", {"bytes", LOG_INT(n)});
        return false;
    }
    buf_commit(in, n - 4);
    wire_put_u32(out, 0);
    buf_put(out, head + 4, 4);
    keyring_handle(kr, buf_str(in), out);
    finish_frame(out);
    return write_all(buf_str(out));
}

static void shrink(struct buf *b)
{
    if (b->cap > KEEP_BUFFER) {
        buf_release(b);
        buf_init_secret(b, WIRE_MAX);
    }
}

enum { IDLE_MS = 1000 };

/* Once, when the first rush is over. */
static void trim_when_idle(bool *done)
{
    struct pollfd p = {.fd = KEYS_FD, .events = POLLIN};
    if (!*done && poll(&p, 1, IDLE_MS) == 0) {
        *done = true;
        daemon_trim();
    }
}

static void serve(struct keyring *kr)
{
    bool trimmed = false;
    struct buf in, out;
    buf_init_secret(&in, WIRE_MAX);
    buf_init_secret(&out, WIRE_MAX);
    while (answer_one(kr, &in, &out)) {
        shrink(&in);
        shrink(&out);
        trim_when_idle(&trimmed);
    }
    buf_release(&in);
    buf_release(&out);
}

static struct err prepare(struct daemon *d, struct keyring **out)
{
    struct str *admins;
    struct secret seal = SECRET_EMPTY;
    struct sandbox_profile profile = crypto_keys_sandbox;
    TRY(seal_key_read(daemon_state_path(d, CRYPTO_SEAL_FILE), &seal));
    ENSURE(CRYPTO_secure_malloc_init(OPENSSL_SECURE_HEAP, OPENSSL_SECURE_MIN) != 0, ERR_CRYPTO,
           "OpenSSL's locked memory is not available");
    EVP_PKEY *first =
        EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"); /* makes OpenSSL read its files now */
    ENSURE(first != NULL, ERR_CRYPTO, "OpenSSL does not start");
    EVP_PKEY_free(first);
    size_t n = crypto_admins(&d->boot, d->config, d->section, &admins);
    *out = keyring_new(&seal, admins, n);
    profile.uid = geteuid();
    profile.gid = getegid();
    return sandbox_enter(&profile, NULL);
}

int crypto_keys_command(struct daemon *d, int argc, char **argv)
{
    struct keyring *kr = NULL;
    if (failed(prepare(d, &kr))) {
        log_error("the key process cannot start", {"error", LOG_CSTR(err_detail())});
        keyring_free(kr);
        return 1;
    }
    serve(kr);
    keyring_free(kr);
    return 0;
}
