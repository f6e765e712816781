/* Signatures from form to form, and the names of their algorithms in DER. */
#include "der.h"
#include "key.h"

/* RFC 3279 section 2.2.3: Ecdsa-Sig-Value ::= SEQUENCE { r INTEGER, s INTEGER }. */
struct err ecdsa_der_to_raw(struct str der, size_t width, struct buf *out)
{
    struct der d = {der};
    struct str seq, n[2];
    TRY(der_take(&d, DER_SEQUENCE, &seq));
    TRY(der_end(&d, "an ECDSA signature"));
    d.rest = seq;
    for (size_t i = 0; i < 2; i++) {
        TRY(der_take_uint(&d, &n[i]));
        ENSURE(n[i].n <= width, ERR_SIGNATURE, "an ECDSA signature too long for its curve");
    }
    TRY(der_end(&d, "an ECDSA signature"));
    for (size_t i = 0; i < 2; i++) {
        for (size_t pad = n[i].n; pad < width; pad++) {
            buf_putc(out, 0);
        }
        buf_puts(out, n[i]);
    }
    return buf_check(out);
}

struct err ecdsa_raw_to_der(struct str raw, size_t width, struct buf *out)
{
    ENSURE(raw.n == 2 * width, ERR_SIGNATURE, "an ECDSA signature of %zu bytes; %zu are due", raw.n,
           2 * width);
    size_t seq = der_open(out, DER_SEQUENCE);
    der_put_uint(out, str_sub(raw, 0, width));
    der_put_uint(out, str_sub(raw, width, raw.n));
    der_close(out, seq);
    return buf_check(out);
}

/* RSASSA-PSS-params with a given hash, MGF1 on the same, salt as long (RFC 4055 section 3.1). */
#define PSS(total, inner, hash, salt)                                                              \
    STR_INIT("\x30" total "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a\x30" inner                 \
             "\xa0\x0f\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02" hash "\x05\x00"            \
             "\xa1\x1c\x30\x1a\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08\x30\x0d\x06\x09\x60"    \
             "\x86\x48\x01\x65\x03\x04\x02" hash "\x05\x00\xa2\x03\x02\x01" salt)
#define RSA(last) STR_INIT("\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01" last "\x05\x00")
#define ECDSA(last) STR_INIT("\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03" last)

static const struct str alg_der[SIG_ALG_COUNT] = {
    [SIG_RS256] = RSA("\x0b"),
    [SIG_RS384] = RSA("\x0c"),
    [SIG_RS512] = RSA("\x0d"),
    [SIG_PS256] = PSS("\x41", "\x34", "\x01", "\x20"),
    [SIG_PS384] = PSS("\x41", "\x34", "\x02", "\x30"),
    [SIG_PS512] = PSS("\x41", "\x34", "\x03", "\x40"),
    [SIG_ES256] = ECDSA("\x02"),
    [SIG_ES384] = ECDSA("\x03"),
    [SIG_ES512] = ECDSA("\x04"),
    [SIG_EDDSA] = STR_INIT("\x30\x05\x06\x03\x2b\x65\x70"),
};

struct str sig_alg_der(enum sig_alg alg)
{
    BUG_ON(alg >= SIG_ALG_COUNT);
    return alg_der[alg];
}

struct err sig_alg_from_der(struct str der, enum sig_alg *out)
{
    for (enum sig_alg a = 0; a < SIG_ALG_COUNT; a++) {
        if (str_eq(der, alg_der[a])) {
            *out = a;
            return OK;
        }
    }
    FAIL(ERR_UNSUPPORTED, "a signature algorithm that is not supported");
}
