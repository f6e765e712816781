/* deps: x509 base */
/* Any bytes as a certificate request, a public key and a private key. */
#include "lib/x509/issue.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct x509_csr c;
    struct key *key;
    if (!failed(x509_csr_parse(str_n(data, size), &c))) {
        BUG_ON(c.key == NULL || c.n_uris > ARRAY_LEN(c.uris));
        x509_csr_release(&c);
    }
    if (!failed(key_from_spki(str_n(data, size), &key))) {
        BUG_ON(key_is_private(key));
        key_unref(key);
    }
    if (!failed(key_from_pkcs8(str_n(data, size), &key))) {
        key_unref(key);
    }
    if (!failed(key_from_pem(str_n(data, size), &key))) {
        key_unref(key);
    }
    return 0;
}
