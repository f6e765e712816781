/*
 * Streams of the Workload API. Each message is the whole state; a new one is sent when it would differ from
 * the last. On every push the caller is attested again, so that a process which ended, changed its ids or
 * lost its entry gets nothing more.
 */
#include "identity.h"

#include "lib/base/clock.h"
#include "lib/base/codec.h"
#include "lib/grpc/proto/workload.pb-c.h"
#include "lib/loop/loop.h"
#include "lib/x509/digest.h"

enum { STREAMS_MAX = 10000, STREAM_ARENA_MAX = 16 << 20, FEDERATED_MAX = 64 };

struct stream {
    struct stream *next, **link;
    struct identity *id;
    struct grpc_call *call;
    enum stream_kind kind;
    struct attest_peer peer;
    struct trace trace;
    uint8_t sent[32], pending[32]; /* digests of states */
    bool busy;                     /* an audit event is on its way */
    bool again;                    /* something changed meanwhile */
    bool gone;                     /* the client left while busy */
    enum grpc_status end_status;
    const char *end_text; /* set: the stream ends once audit has the denial */
};

static void evaluate(struct stream *s);

static void stream_free(struct stream *s)
{
    *s->link = s->next;
    if (s->next != NULL) {
        s->next->link = s->link;
    }
    s->id->n_streams--;
    free(s);
}

static void end(struct stream *s, enum grpc_status status, const char *text)
{
    struct grpc_call *call = s->call;
    stream_free(s);
    grpc_end(call, status, text);
}

/* ---- what would be sent ---- */

static void digest_entry(struct digest_state *d, const struct entry *e)
{
    digest_add(d, e->id);
    digest_add(d, str_n(&e->revision, sizeof(e->revision)));
    if (e->svid != NULL) {
        digest_add(d, str_n(e->svid->serial, CA_SERIAL));
    }
}

static void state_digest(const struct stream *s, const struct view *v, uint8_t out[32])
{
    struct digest_state *d = digest_begin(DIGEST_SHA256);
    for (size_t i = 0; i < v->n && s->kind == STREAM_X509; i++) {
        digest_entry(d, v->entries[i]);
    }
    const struct federated *fed[FEDERATED_MAX];
    size_t n = view_federated(s->id, v, fed, FEDERATED_MAX);
    for (size_t i = 0; i < n; i++) {
        digest_add(d, fed[i]->document);
    }
    digest_add(d, s->id->ca.root->der);
    digest_add(d, s->kind == STREAM_JWT_BUNDLES ? s->id->ca.jwt_kid : S("x509"));
    if (s->kind != STREAM_JWT_BUNDLES) {
        digest_add(d, str_n(&s->id->deny.n_revoked, sizeof(size_t)));
    }
    uint8_t sum[DIGEST_MAX];
    digest_end(d, sum);
    memcpy(out, sum, 32);
}

/* ---- messages ---- */

static char *domain_id(struct arena *a, struct str name)
{
    return arena_cstr(a, arena_printf(a, "spiffe://%.*s", STR_FMT(name)));
}

static struct str anchors_der(struct arena *a, const struct x509_anchors *anchors)
{
    struct buf b;
    buf_init(&b, SPIFFE_BUNDLE_TEXT_MAX);
    for (size_t i = 0; i < x509_anchors_count(anchors); i++) {
        buf_puts(&b, x509_anchors_at(anchors, i)->der);
    }
    struct str s = arena_str(a, buf_str(&b));
    buf_release(&b);
    return s;
}

static struct str json_text(struct arena *a, const struct json *v)
{
    struct buf b;
    buf_init(&b, SPIFFE_BUNDLE_TEXT_MAX);
    json_write(&b, v);
    struct str s = arena_str(a, buf_str(&b));
    buf_release(&b);
    return s;
}

/* One list an authority that still has certificates out; none while nobody is banned. */
static size_t put_crls(struct stream *s, struct arena *a, ProtobufCBinaryData **out)
{
    const struct denylist *d = &s->id->deny;
    const struct authority *const all[] = {&s->id->ca.now, &s->id->ca.before};
    size_t n = 0;
    *out = arena_array(a, ProtobufCBinaryData, ARRAY_LEN(all));
    for (size_t i = 0; i < ARRAY_LEN(all) && d->n_revoked > 0; i++) {
        struct buf b;
        buf_init(&b, 1 << 20);
        if (all[i]->key != NULL && !failed(ca_crl(&s->id->ca, all[i], d->sequence, clock_wall_s(),
                                                  d->revoked, d->n_revoked, &b))) {
            (*out)[n++] = grpc_bytes(arena_str(a, buf_str(&b)));
        }
        buf_release(&b);
    }
    return n;
}

struct x509_build {
    X509SVIDResponse response;
    X509SVID *svids;
    struct secret keys[REGISTRY_MATCH_MAX];
    size_t n_keys;
};

static bool hint_taken(const struct view *v, size_t i)
{
    for (size_t k = 0; k < i; k++) {
        if (v->entries[k]->hint.n > 0 && str_eq(v->entries[k]->hint, v->entries[i]->hint)) {
            return true; /* of two identities with one hint the older goes out */
        }
    }
    return false;
}

static struct err put_svids(struct stream *s, struct arena *a, const struct view *v,
                            struct x509_build *b)
{
    struct str root = arena_str(a, s->id->ca.root->der);
    b->svids = arena_array(a, X509SVID, v->n);
    b->response.svids = arena_array(a, X509SVID *, v->n);
    for (size_t i = 0; i < v->n; i++) {
        const struct svid *svid = v->entries[i]->svid;
        if (svid == NULL || hint_taken(v, i)) {
            continue;
        }
        TRY(key_to_pkcs8(svid->key, &b->keys[b->n_keys]));
        struct str key = secret_bytes(&b->keys[b->n_keys++]);
        X509SVID *m = &b->svids[b->response.n_svids];
        x509_svid__init(m);
        m->spiffe_id = arena_cstr(a, v->entries[i]->spiffe_id);
        m->x509_svid = grpc_bytes(buf_str(&svid->chain));
        m->x509_svid_key = grpc_bytes(key);
        m->bundle = grpc_bytes(root);
        m->hint = arena_cstr(a, v->entries[i]->hint);
        b->response.svids[b->response.n_svids++] = m;
    }
    return OK;
}

static void put_federated(struct stream *s, struct arena *a, const struct view *v,
                          X509SVIDResponse *r)
{
    const struct federated *fed[FEDERATED_MAX];
    size_t n = view_federated(s->id, v, fed, FEDERATED_MAX);
    r->federated_bundles = arena_array(a, X509SVIDResponse__FederatedBundlesEntry *, n);
    for (size_t i = 0; i < n; i++) {
        X509SVIDResponse__FederatedBundlesEntry *m =
            arena_new(a, X509SVIDResponse__FederatedBundlesEntry);
        x509_svidresponse__federated_bundles_entry__init(m);
        m->key = domain_id(a, fed[i]->bundle.trust_domain);
        m->value = grpc_bytes(anchors_der(a, fed[i]->bundle.x509));
        r->federated_bundles[r->n_federated_bundles++] = m;
    }
}

static struct err send_x509(struct stream *s, struct arena *a, const struct view *v)
{
    static struct x509_build b; /* large; one thread */
    b = (struct x509_build){.n_keys = 0};
    x509_svidresponse__init(&b.response);
    struct err e = put_svids(s, a, v, &b);
    if (!failed(e)) {
        put_federated(s, a, v, &b.response);
        b.response.n_crl = put_crls(s, a, &b.response.crl);
        grpc_send_secret(s->call, &b.response.base);
    }
    for (size_t i = 0; i < b.n_keys; i++) {
        secret_release(&b.keys[i]);
    }
    return e;
}

static struct err send_x509_bundles(struct stream *s, struct arena *a, const struct view *v)
{
    X509BundlesResponse r = X509_BUNDLES_RESPONSE__INIT;
    const struct federated *fed[FEDERATED_MAX];
    size_t n = view_federated(s->id, v, fed, FEDERATED_MAX);
    r.bundles = arena_array(a, X509BundlesResponse__BundlesEntry *, n + 1);
    for (size_t i = 0; i <= n; i++) {
        X509BundlesResponse__BundlesEntry *m = arena_new(a, X509BundlesResponse__BundlesEntry);
        x509_bundles_response__bundles_entry__init(m);
        m->key = domain_id(a, i == 0 ? s->id->ca.domain : fed[i - 1]->bundle.trust_domain);
        m->value = grpc_bytes(i == 0 ? arena_str(a, s->id->ca.root->der)
                                     : anchors_der(a, fed[i - 1]->bundle.x509));
        r.bundles[r.n_bundles++] = m;
    }
    r.n_crl = put_crls(s, a, &r.crl);
    grpc_send(s->call, &r.base);
    return OK;
}

/* A JWT bundle is the document with its token keys alone. */
static struct str jwt_document(struct arena *a, const struct jwks *jwt)
{
    struct json *doc = json_new_object(a), *keys = json_new_array(a);
    for (size_t i = 0; i < jwt->n; i++) {
        struct json *k = jwk_to_json(a, jwt->keys[i]);
        json_set(a, k, S("use"), json_new_string(a, S("jwt-svid")));
        json_push(a, keys, k);
    }
    json_set(a, doc, S("keys"), keys);
    return json_text(a, doc);
}

static struct err send_jwt_bundles(struct stream *s, struct arena *a, const struct view *v)
{
    JWTBundlesResponse r = JWTBUNDLES_RESPONSE__INIT;
    const struct federated *fed[FEDERATED_MAX];
    size_t n = view_federated(s->id, v, fed, FEDERATED_MAX);
    r.bundles = arena_array(a, JWTBundlesResponse__BundlesEntry *, n + 1);
    for (size_t i = 0; i <= n; i++) {
        JWTBundlesResponse__BundlesEntry *m = arena_new(a, JWTBundlesResponse__BundlesEntry);
        jwtbundles_response__bundles_entry__init(m);
        m->key = domain_id(a, i == 0 ? s->id->ca.domain : fed[i - 1]->bundle.trust_domain);
        m->value = grpc_bytes(jwt_document(a, i == 0 ? s->id->ca.jwt : fed[i - 1]->bundle.jwt));
        r.bundles[r.n_bundles++] = m;
    }
    grpc_send(s->call, &r.base);
    return OK;
}

static struct err send_state(struct stream *s, const struct view *v)
{
    struct arena a;
    arena_init(&a, STREAM_ARENA_MAX);
    struct err e = s->kind == STREAM_X509           ? send_x509(s, &a, v)
                   : s->kind == STREAM_X509_BUNDLES ? send_x509_bundles(s, &a, v)
                                                    : send_jwt_bundles(s, &a, v);
    arena_release(&a);
    if (!failed(e)) {
        memcpy(s->sent, s->pending, sizeof(s->sent));
    }
    return e;
}

/* ---- audit, then send ---- */

static void audited(void *ctx, struct err e)
{
    struct stream *s = ctx;
    s->busy = false;
    if (s->gone) {
        stream_free(s);
        return;
    }
    if (failed(e)) {
        end(s, GRPC_UNAVAILABLE, "audit is not reachable");
        return;
    }
    if (s->end_text != NULL) {
        end(s, s->end_status, s->end_text);
        return;
    }
    struct view v;
    uint8_t now[32];
    if (s->again || failed(view_caller(s->id, &s->peer, &v)) || !ca_ready(&s->id->ca)) {
        s->again = false;
        evaluate(s);
        return;
    }
    state_digest(s, &v, now);
    if (memcmp(now, s->pending, sizeof(now)) != 0 || v.n == 0) {
        evaluate(
            s); /* changed while the event was written: what was recorded is not what would go out */
        return;
    }
    if (failed(send_state(s, &v))) {
        end(s, GRPC_UNAVAILABLE, "the SVID could not be encoded");
    }
}

static void put_process(struct arena *a, struct json *extra, const struct attest_peer *p)
{
    json_set(a, extra, S("pid"), json_new_int(a, p->pid));
    json_set(a, extra, S("uid"), json_new_int(a, p->uid));
}

static void emit(struct stream *s, struct audit_event *ev, struct arena *a, struct json *extra)
{
    put_process(a, extra, &s->peer);
    ev->source_addr = S("unix:");
    ev->trace = s->trace;
    ev->extra = extra;
    s->busy = true;
    audit_emit(s->id->d->audit, ev, audited, s);
}

static void deny(struct stream *s, enum grpc_status status, const char *text, struct str reason)
{
    struct arena a;
    arena_init(&a, 1 << 20);
    s->end_status = status;
    s->end_text = text;
    struct audit_event ev = identity_event(OCSF_AUTHENTICATION, "svid.x509.issue", "denied");
    ev.reason = reason;
    emit(s, &ev, &a, json_new_object(&a));
    arena_release(&a);
}

static void announce(struct stream *s, const struct view *v)
{
    struct arena a;
    arena_init(&a, 1 << 20);
    struct json *extra = json_new_object(&a), *serials = json_new_array(&a);
    for (size_t i = 0; i < v->n; i++) {
        json_push(
            &a, serials,
            json_new_string(&a, hex_encode(&a, str_n(v->entries[i]->svid->serial, CA_SERIAL))));
    }
    json_set(&a, extra, S("serials"), serials);
    json_set(&a, extra, S("not_after"), json_new_int(&a, v->entries[0]->svid->not_after_s));
    struct audit_event ev = identity_event(OCSF_AUTHENTICATION, "svid.x509.issue", "allowed");
    ev.actor_spiffe_id = v->entries[0]->spiffe_id;
    ev.resource_type = S("svid");
    ev.resource_uid = v->entries[0]->spiffe_id;
    emit(s, &ev, &a, extra);
    arena_release(&a);
}

static struct err make_svids(struct stream *s, const struct view *v)
{
    for (size_t i = 0; i < v->n && s->kind == STREAM_X509; i++) {
        struct svid *svid;
        bool made;
        TRY(view_svid(s->id, v->entries[i], &svid, &made));
    }
    return OK;
}

static void evaluate(struct stream *s)
{
    struct view v;
    if (s->busy) {
        s->again = true;
        return;
    }
    if (!ca_ready(&s->id->ca)) {
        end(s, GRPC_UNAVAILABLE, "the authority is not ready");
        return;
    }
    struct err e = view_caller(s->id, &s->peer, &v);
    if (failed(e)) {
        deny(s, GRPC_UNAVAILABLE, "workload attestation failed", str_of(err_detail()));
        return;
    }
    if (v.n == 0) {
        deny(s, GRPC_PERMISSION_DENIED, "no identity issued",
             v.banned ? S("the identity is banned") : S("no registration entry matches"));
        return;
    }
    e = make_svids(s, &v);
    if (failed(e)) {
        deny(s, GRPC_UNAVAILABLE, "the SVID could not be made", str_of(err_detail()));
        return;
    }
    state_digest(s, &v, s->pending);
    if (memcmp(s->pending, s->sent, sizeof(s->sent)) == 0) {
        return;
    }
    if (s->kind == STREAM_X509) {
        announce(s, &v);
    } else if (failed(send_state(s, &v))) {
        end(s, GRPC_UNAVAILABLE, "the bundle could not be encoded");
    }
}

/* ---- life ---- */

static void aborted(void *ctx)
{
    struct stream *s = ctx;
    if (s->busy) {
        s->gone = true;
        return;
    }
    stream_free(s);
}

void streams_open(struct identity *id, struct grpc_call *call, int kind)
{
    struct attest_peer peer;
    struct err e = view_peer(id, grpc_request(call), &peer);
    if (failed(e)) {
        grpc_end(call, GRPC_UNAVAILABLE, err_detail());
        return;
    }
    if (id->n_streams >= STREAMS_MAX) {
        grpc_end(call, GRPC_RESOURCE_EXHAUSTED, "too many streams");
        return;
    }
    struct stream *s = calloc(1, sizeof(*s));
    BUG_ON(s == NULL);
    *s = (struct stream){.next = id->streams,
                         .link = &id->streams,
                         .id = id,
                         .call = call,
                         .kind = (enum stream_kind)kind,
                         .peer = peer,
                         .trace = grpc_request(call)->trace};
    if (s->next != NULL) {
        s->next->link = &s->next;
    }
    id->streams = s;
    id->n_streams++;
    grpc_on_abort(call, aborted, s);
    evaluate(s);
}

static void push_now(void *ctx)
{
    struct identity *id = ctx;
    id->push_queued = false;
    struct stream *next;
    for (struct stream *s = id->streams; s != NULL && !id->stopping; s = next) {
        next = s->next;
        if (!s->gone) {
            evaluate(s);
        }
    }
}

/* Many changes of one turn make one push. */
void streams_push(struct identity *id)
{
    if (!id->push_queued) {
        id->push_queued = true;
        loop_defer(id->d->loop, push_now, id);
    }
}

void streams_close(struct identity *id)
{
    struct stream *next;
    for (struct stream *s = id->streams; s != NULL; s = next) {
        next = s->next;
        if (!s->gone) {
            struct grpc_call *call = s->call;
            s->gone = true;
            grpc_end(call, GRPC_UNAVAILABLE, "the daemon is stopping");
            if (!s->busy) {
                stream_free(s);
            }
        }
    }
}
