/* deps: tls x509 base */
/* Any bytes to a TLS server before the handshake: it may fail, and must never be ready. */
#include "lib/tls/tls.h"
#include "lib/x509/issue.h"

static struct tls_server *make(void)
{
    struct key *key;
    struct tls_identity *identity;
    struct tls_server *server;
    struct x509_chain chain;
    struct buf name, der;
    struct str uri = S("spiffe://one.test/a");
    buf_init(&name, 256);
    buf_init(&der, X509_CERT_MAX);
    BUG_ON(failed(key_generate(KEY_P256, &key)));
    x509_name_put(&name, &(struct x509_name){.common_name = S("fuzz")});
    struct x509_spec spec = {.subject = buf_str(&name),
                             .issuer = buf_str(&name),
                             .not_after_s = INT64_C(4000000000),
                             .spki = key_spki(key),
                             .uris = &uri,
                             .n_uris = 1,
                             .alg = SIG_ES256};
    BUG_ON(failed(x509_issue(&spec, key, &der)) ||
           failed(x509_chain_from_der(buf_str(&der), &chain)));
    BUG_ON(failed(tls_identity_new(&chain, key, &identity)));
    BUG_ON(failed(tls_server_new(&(struct tls_server_opts){.identity = identity}, &server)));
    tls_identity_unref(identity);
    x509_chain_release(&chain);
    key_unref(key);
    buf_release(&name);
    buf_release(&der);
    return server;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct tls_server *server;
    if (server == NULL) {
        server = make();
    }
    struct tls_session *s;
    BUG_ON(failed(tls_session_server(server, &s)));
    for (size_t at = 0; at < size; at += 37) {
        if (failed(tls_feed(s, str_sub(str_n(data, size), at, at + 37)))) {
            break;
        }
    }
    BUG_ON(tls_ready(s));
    tls_session_free(s);
    return 0;
}
