/*
 * The bundle endpoint (https_spiffe: our own SVID proves us), the view of it that OpenID Connect verifiers
 * need, and the deny-list for enforcement points on other machines.
 */
#include "identity.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static void reply_json(struct http_req *req, const struct json *v, const char *cache)
{
    struct buf b;
    buf_init(&b, SPIFFE_BUNDLE_TEXT_MAX);
    json_write(&b, v);
    struct http_header headers[] = {{S("cache-control"), str_of(cache)}};
    http_reply(req, &(struct http_reply){.status = 200,
                                         .content_type = S("application/json"),
                                         .body = buf_str(&b),
                                         .headers = headers,
                                         .n_headers = 1});
    buf_release(&b);
}

static void get_bundle(struct http_req *req, void *ctx)
{
    struct identity *id = ctx;
    struct spiffe_bundle b;
    struct err e = identity_bundle(id, &b);
    if (failed(e)) {
        http_reply_err(req, e);
        return;
    }
    reply_json(req, spiffe_bundle_to_json(req->arena, &b), "no-cache");
    spiffe_bundle_release(&b);
}

static struct str issuer(struct identity *id, const struct http_req *req)
{
    return id->cfg->jwt_issuer.n > 0
               ? id->cfg->jwt_issuer
               : arena_printf(req->arena, "https://%.*s", STR_FMT(req->authority));
}

/* OpenID Connect Discovery section 3, as SPIRE's discovery provider fills it in. */
static void get_discovery(struct http_req *req, void *ctx)
{
    struct identity *id = ctx;
    struct arena *a = req->arena;
    struct str iss = issuer(id, req);
    struct json *o = json_new_object(a), *one;
    static const struct {
        const char *name, *value;
    } lists[] = {{"response_types_supported", "id_token"},
                 {"subject_types_supported", "public"},
                 {"id_token_signing_alg_values_supported", "ES256"}};
    json_set(a, o, S("issuer"), json_new_string(a, iss));
    json_set(a, o, S("jwks_uri"), json_new_string(a, arena_printf(a, "%.*s/keys", STR_FMT(iss))));
    json_set(a, o, S("authorization_endpoint"), json_new_string(a, S("")));
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        one = json_new_array(a);
        json_push(a, one, json_new_string(a, str_of(lists[i].value)));
        json_set(a, o, str_of(lists[i].name), one);
    }
    reply_json(req, o, "no-cache");
}

static void get_keys(struct http_req *req, void *ctx)
{
    struct identity *id = ctx;
    if (!ca_ready(&id->ca)) {
        http_reply_status(req, 503);
        return;
    }
    reply_json(req, spiffe_bundle_to_oidc_jwks(req->arena, id->ca.jwt), "no-cache");
}

/* Over the network only identities of our own trust domain hear of bans. */
static void get_denylist(struct http_req *req, void *ctx)
{
    struct identity *id = ctx;
    if (req->peer->kind == PEER_TCP && req->peer->spiffe_id.n == 0) {
        http_reply_text(req, 401, S("a client certificate (X.509-SVID) is required\n"));
        return;
    }
    denylist_handler(req, &id->deny);
}

void web_mount(struct identity *id)
{
    struct router *const all[] = {&id->web_router, &id->admin_router};
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        router_add(all[i], "GET", "/bundle", get_bundle, id);
        router_add(all[i], "GET", "/v1/denylist", get_denylist, id);
        daemon_add_common_routes(id->d, all[i]);
    }
    router_add(&id->web_router, "GET", "/.well-known/openid-configuration", get_discovery, id);
    router_add(&id->web_router, "GET", "/keys", get_keys, id);
}

/* ---- our own SVID ---- */

static struct err own_identity(struct identity *id, struct tls_identity **out)
{
    struct svid_request r = {.spiffe_id = str_of(id->d->spiffe_id),
                             .names = &id->names,
                             .now_s = clock_wall_s(),
                             .ttl_s = id->cfg->x509_ttl_ns / NS_PER_S};
    struct svid *svid;
    TRY(ca_issue(&id->ca, &r, &svid));
    struct x509_chain chain;
    struct err e = x509_chain_from_der(buf_str(&svid->chain), &chain);
    if (!failed(e)) {
        e = tls_identity_new(&chain, svid->key, out);
        x509_chain_release(&chain);
    }
    svid_unref(id->own);
    id->own = svid;
    return e;
}

static struct err own_trust(struct identity *id, struct tls_trust **out)
{
    struct x509_anchors *anchors;
    struct x509_bundles *bundles;
    TRY(x509_anchors_new(&anchors));
    TRY(x509_bundles_new(&bundles));
    struct err e = x509_anchors_add(anchors, id->ca.root);
    if (!failed(e)) {
        e = x509_bundles_set(bundles, id->ca.domain, anchors);
    }
    if (!failed(e)) {
        e = tls_trust_spiffe(bundles, out);
    }
    x509_anchors_unref(anchors);
    x509_bundles_unref(bundles);
    return e;
}

/* run_dir/identity/bundle.pem: for programs that want a CA file. Replaced whole, never half-written. */
static struct err write_bundle_pem(struct identity *id)
{
    struct buf pem;
    buf_init(&pem, X509_CERT_MAX * 2);
    pem_put(&pem, "CERTIFICATE", id->ca.root->der);
    char path[4096], fresh[4096];
    snprintf(path, sizeof(path), "%s/bundle.pem", id->d->run_dir);
    snprintf(fresh, sizeof(fresh), "%s/bundle.pem.new", id->d->run_dir);
    int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    bool good = fd >= 0 && fchmod(fd, 0644) == 0 && write(fd, pem.p, pem.n) == (ssize_t)pem.n;
    if (fd >= 0) {
        close(fd);
    }
    good = good && rename(fresh, path) == 0;
    buf_release(&pem);
    ENSURE(good, ERR_IO, "cannot write %s: %s", path, strerror(errno));
    return OK;
}

struct err web_update(struct identity *id)
{
    struct tls_identity *mine;
    struct tls_trust *trust;
    TRY(own_identity(id, &mine));
    struct err e = tls_server_set_identity(id->tls, mine);
    tls_identity_unref(mine);
    TRY(e);
    TRY(own_trust(id, &trust));
    e = tls_server_set_trust(id->tls, trust);
    tls_trust_unref(trust);
    TRY(e);
    return write_bundle_pem(id);
}
