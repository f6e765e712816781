/* deps: mesh_policy yaml json base */
/*
 * Istio documents: whatever is accepted must decide; a peer without identity never matches a positive identity
 * rule, and adding a DENY of everything denies.
 */
#include "lib/yaml/yaml.h"
#include "mesh/policy/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum mesh_jwt_verdict verify(void *ctx, const struct mesh_jwt_rule *rule, struct str token,
                                    const struct json **claims)
{
    (void)rule;
    *claims = ctx;
    return token.n % 3 == 0 ? MESH_JWT_OK : token.n % 3 == 1 ? MESH_JWT_AUDIENCE : MESH_JWT_INVALID;
}

static void check_paths(struct arena *a, struct str target)
{
    for (int mode = MESH_PATH_BASE; mode <= MESH_PATH_DECODE_AND_MERGE_SLASHES; mode++) {
        struct str out;
        if (mode == MESH_PATH_NONE ||
            failed(mesh_path_normalise(a, (enum mesh_path_mode)mode, target, &out))) {
            continue;
        }
        BUG_ON(out.n == 0);
        for (struct str rest = out; rest.p != NULL;) {
            struct str segment = str_split(&rest, '/');
            BUG_ON(str_is(segment, ".") || str_is(segment, ".."));
        }
    }
}

static void check_policies(struct arena *a, struct json *docs, struct str text)
{
    struct mesh_policies *all;
    struct mesh_finding *findings;
    size_t n;
    struct mesh_header headers[] = {
        {S("authorization"), S("Bearer a.b.c")}, {S("cookie"), S("x=y")}, {S("x-a"), text}};
    struct mesh_label label = {S("app"), S("b")};
    struct mesh_workload w = {S("default"), &label, 1};
    struct mesh_config config = {.envoy_path_templates = (text.n & 1) != 0};
    if (failed(mesh_policies_load(a, docs->items, docs->n, &config, &all))) {
        return;
    }
    const struct mesh_set *set = mesh_policies_for(a, all, &w);
    struct mesh_http http = {S("GET"), S("access_token=x&token=%41"), headers, 3};
    struct mesh_jwt_outcome jwt;
    mesh_jwt_check(a, set, &http, verify, docs, &jwt);
    struct mesh_request r = {.http = true,
                             .host = S("h:80"),
                             .method = S("GET"),
                             .path = text,
                             .headers = headers,
                             .n_headers = 3,
                             .peer_id = S("spiffe://cluster.local/ns/a/sa/b"),
                             .claims = jwt.claims,
                             .destination_port = 80};
    struct mesh_decision d = mesh_authz_decide(set, &r);
    BUG_ON(d.verdict == MESH_CUSTOM && d.provider == NULL);
    r.http = false;
    mesh_authz_decide(set, &r);
    BUG_ON(mesh_mtls_mode(set, 80) == MESH_MTLS_UNSET);
    mesh_policies_analyze(a, all, &(struct mesh_surroundings){0}, &findings, &n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    struct json *docs;
    struct str text = str_n(data, size);
    arena_init(&a, 64 << 20);
    struct yaml_limits limits = {.max_bytes = 1 << 16, .max_values = 20000};
    check_paths(&a, text);
    if (!failed(yaml_parse(&a, text, S("fuzz"), &limits, &docs))) {
        check_policies(&a, docs, text);
    }
    arena_release(&a);
    return 0;
}
