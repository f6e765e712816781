/* deps: authn_core json base */
/*
 * authn: form parameters and the authorization request made of them. A request that is accepted must
 * name a registered redirect URI and a challenge of the right form.
 */
#include "authn/authorize.h"
#include "authn/params.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct clients *table(void)
{
    static struct clients t;
    static bool ready;
    struct client *c;
    if (!ready) {
        map_init(&t.by_id);
        map_init(&t.by_spiffe_id);
        BUG_ON(failed(client_parse(S("{\"client_id\":\"a\",\"redirect_uris\":[\"https://a.example/"
                                     "cb\",\"http://127.0.0.1/cb\"],"
                                     "\"token_endpoint_auth_method\":\"none\"}"),
                                   &c)));
        clients_publish(&t, c);
        ready = true;
    }
    return &t;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    struct params p = {0};
    struct auth_request r;
    struct auth_problem problem;
    arena_init(&a, 1 << 24);
    if (!failed(params_add(&p, &a, str_n(data, size)))) {
        auth_request_read(&a, table(), S("https://op.example"), &p, &r, &problem);
        if (problem.code == NULL || problem.by_redirect) {
            BUG_ON(!client_has_redirect(r.client, r.redirect_uri));
            BUG_ON(failed(redirect_uri_check(r.redirect_uri)));
            BUG_ON(redirect_uri_origin(r.redirect_uri).n == 0);
        }
        BUG_ON(problem.code == NULL && !pkce_challenge_ok(r.challenge));
    }
    arena_release(&a);
    return 0;
}
