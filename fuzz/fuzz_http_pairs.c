/* deps: http loop base */
#include "lib/http/client.h"
#include "lib/http/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Query strings, forms, cookies and URLs. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = str_n(data, size), name, value;
    struct arena a;
    bool bad = false;
    arena_init(&a, 16 << 20);
    for (struct str rest = text; http_pairs_next(&a, &rest, &name, &value, &bad);) {
        BUG_ON(!bad && (name.n > size || value.n > size));
    }
    struct http_header headers[] = {{S("cookie"), text},
                                    {S("content-type"), S("application/x-www-form-urlencoded")}};
    struct http_req req = {
        .arena = &a, .query = text, .body = text, .headers = headers, .n_headers = 2};
    (void)http_query_get(&req, "a", &value);
    (void)http_form_get(&req, "a", &value);
    (void)http_cookie_get(&req, "a", &value);
    BUG_ON(http_query_count(&req, "a") != http_form_count(&req, "a"));
    struct http_url url;
    if (!failed(http_url_parse(&a, text, &url))) {
        BUG_ON(url.address.n == 0 || url.target.n == 0 || url.target.p[0] != '/');
    }
    arena_release(&a);
    return 0;
}
