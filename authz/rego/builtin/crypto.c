/* Hashes and MACs. */
#include "authz/rego/builtin/builtin.h"

#include "lib/base/codec.h"
#include "lib/x509/digest.h"

static enum b_status hash(struct bcall *b, enum digest_alg alg)
{
    struct str s;
    uint8_t sum[DIGEST_MAX];
    if (!b_string(b, 1, &s)) {
        return B_ERROR;
    }
    size_t n = digest(alg, s, sum);
    return b_str(b, hex_encode(b->a, str_n(sum, n)));
}

static enum b_status b_md5(struct bcall *b)
{
    return hash(b, DIGEST_MD5);
}
static enum b_status b_sha1(struct bcall *b)
{
    return hash(b, DIGEST_SHA1);
}
static enum b_status b_sha256(struct bcall *b)
{
    return hash(b, DIGEST_SHA256);
}

static enum b_status mac(struct bcall *b, enum digest_alg alg)
{
    struct str text, key;
    uint8_t sum[DIGEST_MAX];
    if (!b_string(b, 1, &text) || !b_string(b, 2, &key)) {
        return B_ERROR;
    }
    size_t n = digest_hmac(alg, key, text, sum);
    return b_str(b, hex_encode(b->a, str_n(sum, n)));
}

static enum b_status b_hmac_md5(struct bcall *b)
{
    return mac(b, DIGEST_MD5);
}
static enum b_status b_hmac_sha1(struct bcall *b)
{
    return mac(b, DIGEST_SHA1);
}
static enum b_status b_hmac_sha256(struct bcall *b)
{
    return mac(b, DIGEST_SHA256);
}
static enum b_status b_hmac_sha512(struct bcall *b)
{
    return mac(b, DIGEST_SHA512);
}

static enum b_status b_hmac_equal(struct bcall *b)
{
    struct str x, y;
    if (!b_string(b, 1, &x) || !b_string(b, 2, &y)) {
        return B_ERROR;
    }
    return b_out(b, val_bool(str_eq_secret(x, y)));
}

const struct builtin builtins_crypto[] = {
    {"crypto.md5", 1, b_md5, 0},
    {"crypto.sha1", 1, b_sha1, 0},
    {"crypto.sha256", 1, b_sha256, 0},
    {"crypto.hmac.md5", 2, b_hmac_md5, 0},
    {"crypto.hmac.sha1", 2, b_hmac_sha1, 0},
    {"crypto.hmac.sha256", 2, b_hmac_sha256, 0},
    {"crypto.hmac.sha512", 2, b_hmac_sha512, 0},
    {"crypto.hmac.equal", 2, b_hmac_equal, 0},
    {0},
};
