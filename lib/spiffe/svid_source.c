#include "svid_source.h"

#include "lib/base/clock.h"
#include "lib/grpc/grpc.h"
#include "lib/grpc/proto/workload.pb-c.h"
#include "lib/loop/loop.h"
#include "lib/x509/own.h"

enum { ATTACHED_MAX = 32, FIRST_RETRY_MS = 50, STEP_MS = 1000, RETRY_MAX_MS = 30000 };

struct svid_source {
    struct loop *loop;
    struct grpc_client *client;
    struct grpc_stream *stream;
    struct timer *timer;
    void (*on_update)(void *ctx, struct svid_source *s, struct err e);
    void *ctx;
    struct tls_identity *identity;
    struct x509_bundles *bundles;
    struct tls_trust *trust;
    struct str id; /* owned */
    int retry_ms;
    bool connected; /* the Workload API has answered before */
    struct tls_server *servers[ATTACHED_MAX];
    struct tls_client *clients[ATTACHED_MAX];
    size_t n_servers, n_clients;
};

static void connect_stream(void *ctx);

/* ---- one message is the whole state ---- */

struct fresh {
    struct str id;
    struct tls_identity *identity;
    struct x509_bundles *bundles;
    struct tls_trust *trust;
};

static void fresh_release(struct fresh *f)
{
    tls_identity_unref(f->identity);
    x509_bundles_unref(f->bundles);
    tls_trust_unref(f->trust);
}

static struct str bytes_of(ProtobufCBinaryData d)
{
    return str_n(d.data, d.len);
}

static struct err add_bundle(struct x509_bundles *b, struct str trust_domain, struct str der)
{
    struct x509_anchors *anchors;
    TRY(x509_anchors_new(&anchors));
    struct err e = x509_anchors_add_der(anchors, der);
    if (!failed(e)) {
        e = x509_bundles_set(b, trust_domain, anchors);
    }
    x509_anchors_unref(anchors);
    return e;
}

static struct err read_identity(const X509SVID *svid, struct fresh *f)
{
    struct x509_chain chain;
    struct key *key;
    TRY(x509_chain_from_der(bytes_of(svid->x509_svid), &chain));
    struct err e = key_from_pkcs8(bytes_of(svid->x509_svid_key), &key);
    if (!failed(e)) {
        e = x509_spiffe_leaf_check(chain.certs[0]);
        if (!failed(e) && !str_is(chain.certs[0]->spiffe_id, svid->spiffe_id)) {
            e = err_make(ERR_INVALID, "the SVID is not of the id it was sent for");
        }
        if (!failed(e)) {
            e = tls_identity_new(&chain, key, &f->identity);
        }
        key_unref(key);
    }
    x509_chain_release(&chain);
    return e;
}

static struct err read_bundles(const X509SVIDResponse *r, struct fresh *f)
{
    struct spiffe_id id;
    TRY(spiffe_id_parse(str_of(r->svids[0]->spiffe_id), &id));
    TRY(x509_bundles_new(&f->bundles));
    TRY(add_bundle(f->bundles, id.trust_domain, bytes_of(r->svids[0]->bundle)));
    for (size_t i = 0; i < r->n_federated_bundles; i++) {
        struct spiffe_id td;
        TRY(spiffe_id_parse(str_of(r->federated_bundles[i]->key), &td));
        TRY(add_bundle(f->bundles, td.trust_domain, bytes_of(r->federated_bundles[i]->value)));
    }
    return tls_trust_spiffe(f->bundles, &f->trust);
}

static struct err read_message(const X509SVIDResponse *r, struct fresh *f)
{
    ENSURE(r->n_svids > 0, ERR_INVALID, "the Workload API sent no SVID");
    f->id = str_of(r->svids[0]->spiffe_id);
    TRY(read_identity(r->svids[0], f));
    return read_bundles(r, f);
}

static struct err apply_to(struct svid_source *s, struct tls_server *server,
                           struct tls_client *client)
{
    if (s->identity == NULL) {
        return OK;
    }
    if (server != NULL) {
        TRY(tls_server_set_identity(server, s->identity));
        return tls_server_set_trust(server, s->trust);
    }
    TRY(tls_client_set_identity(client, s->identity));
    return tls_client_set_trust(client, s->trust);
}

static struct err adopt(struct svid_source *s, struct fresh *f)
{
    struct fresh old = {s->id, s->identity, s->bundles, s->trust};
    s->id = str_own(f->id);
    s->identity = f->identity;
    s->bundles = f->bundles;
    s->trust = f->trust;
    fresh_release(&old);
    str_disown(&old.id);
    for (size_t i = 0; i < s->n_servers; i++) {
        TRY(apply_to(s, s->servers[i], NULL));
    }
    for (size_t i = 0; i < s->n_clients; i++) {
        TRY(apply_to(s, NULL, s->clients[i]));
    }
    return OK;
}

static void on_message(void *ctx, const ProtobufCMessage *m)
{
    struct svid_source *s = ctx;
    struct fresh f = {.identity = NULL};
    struct err e = read_message((const X509SVIDResponse *)(const void *)m, &f);
    if (failed(e)) {
        fresh_release(&f);
    } else {
        s->connected = true;
        s->retry_ms = 0;
        e = adopt(s, &f);
    }
    s->on_update(s->ctx, s, e);
}

/* ---- the stream ---- */

/* Short steps while a system starts up, whole seconds once the Workload API has been there. */
static void retry(struct svid_source *s)
{
    if (!s->connected && s->retry_ms < STEP_MS) {
        s->retry_ms = s->retry_ms == 0 ? FIRST_RETRY_MS : s->retry_ms * 2;
    } else {
        s->retry_ms = MIN(s->retry_ms + STEP_MS, RETRY_MAX_MS);
    }
    s->timer = timer_start(s->loop, s->retry_ms, 0, connect_stream, s);
}

static struct err end_error(int status, struct str message)
{
    enum err_code code = status == GRPC_PERMISSION_DENIED  ? ERR_DENIED
                         : status == GRPC_UNIMPLEMENTED    ? ERR_UNSUPPORTED
                         : status == GRPC_INVALID_ARGUMENT ? ERR_INVALID
                                                           : ERR_UNAVAILABLE;
    return err_make(code, "Workload API: %.*s (gRPC status %d)", STR_FMT(message), status);
}

static void on_end(void *ctx, int status, struct str message)
{
    struct svid_source *s = ctx;
    s->stream = NULL;
    retry(s);
    s->on_update(s->ctx, s, end_error(status, message));
}

static void connect_stream(void *ctx)
{
    static const struct http_header metadata = {STR_INIT("workload.spiffe.io"), STR_INIT("true")};
    struct svid_source *s = ctx;
    s->timer = NULL;
    X509SVIDRequest request = X509_SVIDREQUEST__INIT;
    struct grpc_out o = {.path = "/SpiffeWorkloadAPI/FetchX509SVID",
                         .request = &request.base,
                         .reply = &x509_svidresponse__descriptor,
                         .metadata = &metadata,
                         .n_metadata = 1,
                         .on_message = on_message,
                         .on_end = on_end,
                         .ctx = s};
    s->stream = grpc_client_call(s->client, &o);
}

struct err svid_source_start(struct loop *loop, struct str address,
                             void (*on_update)(void *ctx, struct svid_source *s, struct err e),
                             void *ctx, struct svid_source **out)
{
    struct svid_source *s = calloc(1, sizeof(*s));
    BUG_ON(s == NULL);
    s->loop = loop;
    s->on_update = on_update;
    s->ctx = ctx;
    struct err e = grpc_client_new(loop, address, NULL, &s->client);
    if (failed(e)) {
        free(s);
        return e;
    }
    *out = s;
    connect_stream(s);
    return OK;
}

void svid_source_free(struct svid_source *s)
{
    if (s == NULL) {
        return;
    }
    timer_stop(s->timer);
    grpc_client_free(s->client);
    for (size_t i = 0; i < s->n_servers; i++) {
        tls_server_unref(s->servers[i]);
    }
    for (size_t i = 0; i < s->n_clients; i++) {
        tls_client_unref(s->clients[i]);
    }
    struct fresh mine = {s->id, s->identity, s->bundles, s->trust};
    fresh_release(&mine);
    str_disown(&s->id);
    free(s);
}

/* ---- what it holds ---- */

bool svid_source_ready(const struct svid_source *s)
{
    return s->identity != NULL && clock_wall_s() < svid_source_not_after(s);
}

struct str svid_source_id(const struct svid_source *s)
{
    return s->id;
}

struct tls_identity *svid_source_identity(const struct svid_source *s)
{
    return s->identity;
}

struct x509_bundles *svid_source_bundles(const struct svid_source *s)
{
    return s->bundles;
}

int64_t svid_source_not_after(const struct svid_source *s)
{
    return s->identity != NULL ? tls_identity_chain(s->identity)->certs[0]->not_after_s : 0;
}

struct err svid_source_attach_server(struct svid_source *s, struct tls_server *server)
{
    ENSURE(s->n_servers < ATTACHED_MAX, ERR_LIMIT, "over %d servers on one SVID", ATTACHED_MAX);
    TRY(apply_to(s, server, NULL));
    s->servers[s->n_servers++] = tls_server_ref(server);
    return OK;
}

struct err svid_source_attach_client(struct svid_source *s, struct tls_client *client)
{
    ENSURE(s->n_clients < ATTACHED_MAX, ERR_LIMIT, "over %d clients on one SVID", ATTACHED_MAX);
    TRY(apply_to(s, NULL, client));
    s->clients[s->n_clients++] = tls_client_ref(client);
    return OK;
}
