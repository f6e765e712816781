/* deps: rego base */
/* Any bytes as certificate, request, private key and PEM of the policy builtins: a value or an error. */
#include "authz/rego/builtin/x509/go.h"
#include "lib/x509/cert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    struct str in = str_n(data, size), der = in, label, spki;
    struct val v, jwk;
    struct buf block, json;
    arena_init(&a, 256 << 20);
    buf_init(&block, GO_X509_DER_MAX);
    buf_init(&json, 64 << 20);
    if (!failed(go_certificate(&a, &der, true, &v))) {
        BUG_ON(der.n >= size || val_undef(val_get_str(v, "SerialNumber")));
        val_to_json(&json, v, false);
        BUG_ON(!str_is_utf8(buf_str(&json)));
    }
    if (!failed(go_certificate_request(&a, in, &v))) {
        BUG_ON(!val_is(v, V_OBJECT));
    }
    for (int form = GO_KEY_PKCS1; form <= GO_KEY_SEC1; form++) {
        if (!failed(go_private_key(&a, in, (enum go_key_form)form, &v, &jwk, &spki))) {
            BUG_ON(!val_is(jwk, V_OBJECT) || spki.n == 0);
        }
    }
    while (!failed(pem_next_any(&in, &label, &block))) {
        BUG_ON(in.n >= size);
    }
    ignore_err(go_url(&a, str_n(data, MIN(size, (size_t)1000)), &v, &jwk));
    buf_release(&json);
    buf_release(&block);
    arena_release(&a);
    return 0;
}
