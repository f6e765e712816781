#include <openssl/evp.h>

#include "seal.h"

#include "lib/base/codec.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SEAL_FORMAT = 1 };

static struct err sync_folder(const char *path)
{
    char folder[1024];
    size_t slash = str_rfind_char(str_of(path), '/');
    ENSURE(slash != STR_NPOS, ERR_INVALID, "%s is not an absolute path", path);
    TRY(str_to_cstr(str_sub(str_of(path), 0, slash), folder, sizeof(folder)));
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool good = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0) {
        close(fd);
    }
    ENSURE(good, ERR_IO, "cannot sync %s: %s", folder, strerror(errno));
    return OK;
}

/* On disk, folder entry included, before anything is sealed with it. */
static struct err write_key(int fd, const struct secret *key, const char *path)
{
    struct str bytes = secret_bytes(key);
    ENSURE(write(fd, bytes.p, bytes.n) == (ssize_t)bytes.n && fsync(fd) == 0, ERR_IO,
           "cannot write %s: %s", path, strerror(errno));
    return sync_folder(path);
}

struct err seal_key_create(const char *path, struct secret *out)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0400);
    ENSURE(fd >= 0 || errno != EEXIST, ERR_EXISTS, "there is a seal key already: %s", path);
    ENSURE(fd >= 0, ERR_IO, "cannot make %s: %s", path, strerror(errno));
    struct secret key = SECRET_EMPTY;
    struct err e = secret_random(&key, SEAL_KEY_BYTES);
    if (!failed(e)) {
        e = write_key(fd, &key, path);
    }
    close(fd);
    if (failed(e)) {
        secret_release(&key);
        unlink(path);
        return e;
    }
    *out = key;
    return OK;
}

static struct err check_file(int fd, const char *path)
{
    struct stat st;
    ENSURE(fstat(fd, &st) == 0 && S_ISREG(st.st_mode), ERR_IO, "%s is not a file", path);
    ENSURE((st.st_mode & 0077) == 0, ERR_DENIED, "%s may be read by others (mode %o); want 0400",
           path, (unsigned)(st.st_mode & 07777));
    ENSURE(st.st_size == SEAL_KEY_BYTES, ERR_SYNTAX, "%s has %lld bytes, a seal key has %d", path,
           (long long)st.st_size, SEAL_KEY_BYTES);
    return OK;
}

struct err seal_key_read(const char *path, struct secret *out)
{
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    ENSURE(fd >= 0 || errno != ENOENT, ERR_NOT_FOUND,
           "there is no seal key %s; run `sextant-crypto init` first", path);
    ENSURE(fd >= 0, ERR_IO, "cannot open %s: %s", path, strerror(errno));
    struct secret key = SECRET_EMPTY;
    struct err e = check_file(fd, path);
    if (!failed(e)) {
        e = secret_zeroed(&key, SEAL_KEY_BYTES);
    }
    if (!failed(e) && read(fd, secret_mutable(&key), key.n) != (ssize_t)key.n) {
        e = err_make(ERR_IO, "cannot read %s: %s", path, strerror(errno));
        secret_release(&key);
    }
    close(fd);
    TRY(e);
    *out = key;
    return OK;
}

static bool gcm(EVP_CIPHER_CTX *ctx, bool encrypt, const struct secret *key,
                const unsigned char *iv, struct str aad, struct str in, unsigned char *out,
                unsigned char *tag)
{
    int n;
    const unsigned char *k = (const unsigned char *)secret_bytes(key).p;
    return EVP_CipherInit_ex(ctx, EVP_aes_256_gcm(), NULL, k, iv, encrypt) == 1 &&
           EVP_CipherUpdate(ctx, NULL, &n, (const unsigned char *)aad.p, (int)aad.n) == 1 &&
           EVP_CipherUpdate(ctx, out, &n, (const unsigned char *)in.p, (int)in.n) == 1 &&
           (encrypt || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, SEAL_TAG, tag) == 1) &&
           EVP_CipherFinal_ex(ctx, out + n, &n) == 1 &&
           (!encrypt || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, SEAL_TAG, tag) == 1);
}

struct err seal_record(const struct secret *key, struct str place, struct str plain,
                       struct buf *out)
{
    unsigned char nonce[SEAL_NONCE], tag[SEAL_TAG];
    random_bytes(nonce, sizeof(nonce));
    buf_putc(out, SEAL_FORMAT);
    buf_put(out, nonce, sizeof(nonce));
    char *room = buf_reserve(out, plain.n);
    ENSURE(room != NULL, ERR_LIMIT, "a record of %zu bytes is too large to seal", plain.n);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    bool good = ctx != NULL && gcm(ctx, true, key, nonce, place, plain, (unsigned char *)room, tag);
    EVP_CIPHER_CTX_free(ctx);
    ENSURE(good, ERR_CRYPTO, "sealing failed");
    buf_commit(out, plain.n);
    buf_put(out, tag, sizeof(tag));
    return buf_check(out);
}

struct err seal_open(const struct secret *key, struct str place, struct str sealed,
                     struct secret *out)
{
    ENSURE(sealed.n >= SEAL_OVERHEAD && sealed.p[0] == SEAL_FORMAT, ERR_SYNTAX,
           "'%.*s' is not a sealed record", STR_FMT(place));
    size_t n = sealed.n - SEAL_OVERHEAD;
    struct secret plain = SECRET_EMPTY;
    unsigned char tag[SEAL_TAG];
    TRY(secret_zeroed(&plain, n));
    memcpy(tag, sealed.p + sealed.n - SEAL_TAG, SEAL_TAG);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    bool good = ctx != NULL && gcm(ctx, false, key, (const unsigned char *)sealed.p + 1, place,
                                   str_sub(sealed, 1 + SEAL_NONCE, 1 + SEAL_NONCE + n),
                                   secret_mutable(&plain), tag);
    EVP_CIPHER_CTX_free(ctx);
    if (!good) {
        secret_release(&plain);
        FAIL(ERR_SIGNATURE, "the record '%.*s' does not open: wrong seal key, or altered",
             STR_FMT(place));
    }
    *out = plain;
    return OK;
}
