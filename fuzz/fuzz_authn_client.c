/* deps: authn_core json base */
/*
 * authn: client registrations. One that is accepted survives being written and read again, and holds no
 * redirect URI or claim that the rules refuse.
 */
#include "authn/clients.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct client *c, *again;
    struct buf text;
    if (failed(client_parse(str_n(data, size), &c))) {
        return 0;
    }
    for (size_t i = 0; i < c->redirect_uris.n; i++) {
        BUG_ON(failed(redirect_uri_check(c->redirect_uris.items[i])));
        BUG_ON(!client_has_redirect(c, c->redirect_uris.items[i]));
    }
    for (size_t i = 0; i < c->id_token_claims.n; i++) {
        BUG_ON(failed(identity_claim_check(c->id_token_claims.items[i])));
    }
    buf_init(&text, 1 << 22);
    json_write(&text, c->metadata);
    if (text.n <= 64 * 1024) {
        BUG_ON(failed(client_parse(buf_str(&text), &again)));
        BUG_ON(again->auth != c->auth || again->grants != c->grants || again->scopes != c->scopes);
        client_unref(again);
    }
    buf_release(&text);
    client_unref(c);
    return 0;
}
