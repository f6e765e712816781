/*
 * The SPIFFE Workload API (Workload API, section 5): the security header, the five stable methods, and
 * the status that each refusal has.
 */
#include "identity.h"

#include "lib/base/clock.h"
#include "lib/grpc/proto/workload.pb-c.h"

enum { AUDIENCES_MAX = 64, CLAIM_DEPTH = 16 };

bool workload_header_ok(struct grpc_call *call)
{
    if (str_is(http_header_get(grpc_request(call), "workload.spiffe.io"), "true")) {
        return true;
    }
    grpc_end(call, GRPC_INVALID_ARGUMENT, "security header missing from request");
    return false;
}

static void fetch_x509_svid(struct grpc_call *call, const ProtobufCMessage *in, void *ctx)
{
    if (workload_header_ok(call)) {
        streams_open(ctx, call, STREAM_X509);
    }
}

static void fetch_x509_bundles(struct grpc_call *call, const ProtobufCMessage *in, void *ctx)
{
    if (workload_header_ok(call)) {
        streams_open(ctx, call, STREAM_X509_BUNDLES);
    }
}

static void fetch_jwt_bundles(struct grpc_call *call, const ProtobufCMessage *in, void *ctx)
{
    if (workload_header_ok(call)) {
        streams_open(ctx, call, STREAM_JWT_BUNDLES);
    }
}

/* ---- FetchJWTSVID ---- */

struct fetch {
    struct identity *id;
    struct grpc_call *call;
    struct arena arena;
    struct attest_peer peer;
    struct trace trace;
    struct str audiences[AUDIENCES_MAX];
    size_t n_audiences;
    struct str ids[REGISTRY_MATCH_MAX], hints[REGISTRY_MATCH_MAX], tokens[REGISTRY_MATCH_MAX];
    int64_t ttl[REGISTRY_MATCH_MAX];
    size_t n, at;
    bool gone;
    enum grpc_status status;
    const char *text;
};

static void mint_next(struct fetch *f);

static void fetch_free(struct fetch *f)
{
    for (size_t i = 0; i < f->at; i++) {
        wipe((void *)(uintptr_t)f->tokens[i].p, f->tokens[i].n);
    }
    arena_release(&f->arena);
    free(f);
}

static void fetch_end(struct fetch *f, enum grpc_status status, const char *text)
{
    if (!f->gone) {
        grpc_end(f->call, status, text);
    }
    fetch_free(f);
}

static void fetch_aborted(void *ctx)
{
    struct fetch *f = ctx;
    f->gone = true; /* freed when what is under way comes back */
}

static void send_tokens(struct fetch *f)
{
    JWTSVIDResponse r = JWTSVIDRESPONSE__INIT;
    JWTSVID *svids = arena_array(&f->arena, JWTSVID, f->n);
    r.svids = arena_array(&f->arena, JWTSVID *, f->n);
    for (size_t i = 0; i < f->n; i++) {
        jwtsvid__init(&svids[i]);
        svids[i].spiffe_id = arena_cstr(&f->arena, f->ids[i]);
        svids[i].svid = arena_cstr(&f->arena, f->tokens[i]);
        svids[i].hint = arena_cstr(&f->arena, f->hints[i]);
        r.svids[r.n_svids++] = &svids[i];
    }
    grpc_send_secret(f->call, &r.base);
}

/* The caller may have been banned, or have ended, while crypto and audit were asked. */
static bool still_entitled(struct fetch *f)
{
    struct view v;
    if (failed(view_caller(f->id, &f->peer, &v))) {
        return false;
    }
    for (size_t i = 0; i < f->n; i++) {
        bool found = false;
        for (size_t k = 0; k < v.n && !found; k++) {
            found = str_eq(v.entries[k]->spiffe_id, f->ids[i]);
        }
        if (!found) {
            return false;
        }
    }
    return true;
}

static void fetch_audited(void *ctx, struct err e)
{
    struct fetch *f = ctx;
    if (f->gone) {
        fetch_free(f);
    } else if (failed(e)) {
        fetch_end(f, GRPC_UNAVAILABLE, "audit is not reachable");
    } else if (f->text != NULL) {
        fetch_end(f, f->status, f->text);
    } else if (!still_entitled(f)) {
        fetch_end(f, GRPC_PERMISSION_DENIED, "no identity issued");
    } else {
        send_tokens(f);
        fetch_end(f, GRPC_OK, NULL);
    }
}

static void fetch_audit(struct fetch *f, const char *outcome, struct str reason)
{
    struct arena *a = &f->arena;
    struct json *extra = json_new_object(a), *aud = json_new_array(a);
    for (size_t i = 0; i < f->n_audiences; i++) {
        json_push(a, aud, json_new_string(a, f->audiences[i]));
    }
    json_set(a, extra, S("audience"), aud);
    json_set(a, extra, S("pid"), json_new_int(a, f->peer.pid));
    json_set(a, extra, S("uid"), json_new_int(a, f->peer.uid));
    struct audit_event ev = identity_event(OCSF_AUTHENTICATION, "svid.jwt.issue", outcome);
    ev.actor_spiffe_id = f->n > 0 ? f->ids[0] : STR_EMPTY;
    ev.resource_type = S("svid");
    ev.resource_uid = ev.actor_spiffe_id;
    ev.key_name = S("identity-jwt");
    ev.source_addr = S("unix:");
    ev.reason = reason;
    ev.trace = f->trace;
    ev.extra = extra;
    audit_emit(f->id->d->audit, &ev, fetch_audited, f);
}

static void fetch_deny(struct fetch *f, enum grpc_status status, const char *text,
                       struct str reason)
{
    f->status = status;
    f->text = text;
    fetch_audit(f, "denied", reason);
}

static void minted(void *ctx, struct err e, struct str token)
{
    struct fetch *f = ctx;
    if (f->gone) {
        fetch_free(f);
        return;
    }
    if (failed(e)) {
        fetch_deny(f, GRPC_UNAVAILABLE, "the token could not be signed",
                   arena_str(&f->arena, str_of(err_detail())));
        return;
    }
    f->tokens[f->at++] = arena_str(&f->arena, token);
    mint_next(f);
}

static void mint_next(struct fetch *f)
{
    if (f->at == f->n) {
        fetch_audit(f, "allowed", STR_EMPTY);
        return;
    }
    struct jwt_request r = {.spiffe_id = f->ids[f->at],
                            .audiences = f->audiences,
                            .n_audiences = f->n_audiences,
                            .ttl_s = f->ttl[f->at],
                            .trace = &f->trace};
    jwt_mint(f->id, &r, minted, f);
}

static void choose_entries(struct fetch *f, const struct view *v, struct str only)
{
    for (size_t i = 0; i < v->n; i++) {
        const struct entry *e = v->entries[i];
        if (only.n > 0 && !str_eq(only, e->spiffe_id)) {
            continue;
        }
        f->ids[f->n] = arena_str(&f->arena, e->spiffe_id);
        f->hints[f->n] = arena_str(&f->arena, e->hint);
        f->ttl[f->n++] = e->jwt_ttl_s > 0 ? e->jwt_ttl_s : f->id->cfg->jwt_ttl_ns / NS_PER_S;
    }
}

static void start_fetch(struct fetch *f, struct str only)
{
    struct view v;
    struct err e = view_caller(f->id, &f->peer, &v);
    if (failed(e)) {
        fetch_deny(f, GRPC_UNAVAILABLE, "workload attestation failed",
                   arena_str(&f->arena, str_of(err_detail())));
        return;
    }
    choose_entries(f, &v, only);
    if (f->n == 0) {
        fetch_deny(f, GRPC_PERMISSION_DENIED, "no identity issued",
                   v.banned ? S("the identity is banned") : S("no registration entry matches"));
        return;
    }
    mint_next(f);
}

static void fetch_jwt_svid(struct grpc_call *call, const ProtobufCMessage *in, void *ctx)
{
    struct identity *id = ctx;
    const JWTSVIDRequest *r = (const JWTSVIDRequest *)(const void *)in;
    struct attest_peer peer;
    if (!workload_header_ok(call)) {
        return;
    }
    bool blank = r->n_audience == 0 || r->n_audience > AUDIENCES_MAX;
    for (size_t i = 0; i < r->n_audience && !blank; i++) {
        blank = r->audience[i][0] == '\0' || strlen(r->audience[i]) > 1024;
    }
    if (blank) {
        grpc_end(call, GRPC_INVALID_ARGUMENT, "audience must be specified");
        return;
    }
    if (failed(view_peer(id, grpc_request(call), &peer))) {
        grpc_end(call, GRPC_UNAVAILABLE, err_detail());
        return;
    }
    struct fetch *f = calloc(1, sizeof(*f));
    BUG_ON(f == NULL);
    *f = (struct fetch){.id = id, .call = call, .peer = peer, .trace = grpc_request(call)->trace};
    arena_init(&f->arena, 4 << 20);
    for (size_t i = 0; i < r->n_audience; i++) {
        f->audiences[f->n_audiences++] = arena_str(&f->arena, str_of(r->audience[i]));
    }
    grpc_on_abort(call, fetch_aborted, f);
    start_fetch(f, arena_str(&f->arena, str_of(r->spiffe_id)));
}

/* ---- ValidateJWTSVID ---- */

struct visible {
    struct identity *id;
    struct view view;
};

/* Only our own keys, and those of domains that the caller's own entries federate with. */
static const struct jwks *find_keys(void *ctx, struct str trust_domain)
{
    struct visible *v = ctx;
    if (str_eq(trust_domain, v->id->ca.domain)) {
        return v->id->ca.jwt;
    }
    for (size_t i = 0; i < v->view.n; i++) {
        if (strs_has(&v->view.entries[i]->federates_with, trust_domain)) {
            const struct federated *f = federation_get(&v->id->federation, trust_domain);
            return f != NULL ? f->bundle.jwt : NULL;
        }
    }
    return NULL;
}

static Google__Protobuf__Value *value_of(struct arena *a, const struct json *v, unsigned depth);

static Google__Protobuf__ListValue *list_of(struct arena *a, const struct json *v, unsigned depth)
{
    Google__Protobuf__ListValue *l = arena_new(a, Google__Protobuf__ListValue);
    google__protobuf__list_value__init(l);
    l->values = arena_array(a, Google__Protobuf__Value *, v->n);
    for (uint32_t i = 0; i < v->n; i++) {
        l->values[l->n_values++] = value_of(a, v->items[i], depth + 1);
    }
    return l;
}

static Google__Protobuf__Struct *struct_of(struct arena *a, const struct json *v, unsigned depth)
{
    Google__Protobuf__Struct *s = arena_new(a, Google__Protobuf__Struct);
    google__protobuf__struct__init(s);
    s->fields = arena_array(a, Google__Protobuf__Struct__FieldsEntry *, v->n);
    for (uint32_t i = 0; i < v->n; i++) {
        Google__Protobuf__Struct__FieldsEntry *f =
            arena_new(a, Google__Protobuf__Struct__FieldsEntry);
        google__protobuf__struct__fields_entry__init(f);
        f->key = arena_cstr(a, v->members[i].key);
        f->value = value_of(a, v->members[i].value, depth + 1);
        s->fields[s->n_fields++] = f;
    }
    return s;
}

/* Tokens are at most 32 deep (jwt.c of lib/jose); the message has doubles where JSON has numbers. */
static Google__Protobuf__Value *value_of(struct arena *a, const struct json *v, unsigned depth)
{
    Google__Protobuf__Value *m = arena_new(a, Google__Protobuf__Value);
    google__protobuf__value__init(m);
    m->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_NULL_VALUE;
    if (depth > CLAIM_DEPTH) {
        return m;
    }
    if (v->type == JSON_STRING) {
        m->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE;
        m->string_value = arena_cstr(a, v->text);
    } else if (v->type == JSON_NUMBER) {
        m->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE;
        m->number_value = strtod(arena_cstr(a, v->text), NULL);
    } else if (v->type == JSON_TRUE || v->type == JSON_FALSE) {
        m->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE;
        m->bool_value = v->type == JSON_TRUE;
    } else if (v->type == JSON_ARRAY) {
        m->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE;
        m->list_value = list_of(a, v, depth);
    } else if (v->type == JSON_OBJECT) {
        m->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE;
        m->struct_value = struct_of(a, v, depth);
    }
    return m;
}

/* `aud` comes back as a list, whatever the token had. */
static struct json *with_audience_list(struct arena *a, const struct json *claims)
{
    struct json *copy = json_copy(a, claims);
    const struct json *aud = json_get(copy, "aud");
    if (json_is(aud, JSON_STRING)) {
        struct json *list = json_new_array(a);
        json_push(a, list, json_new_string(a, aud->text));
        json_set(a, copy, S("aud"), list);
    }
    return copy;
}

static struct err check_banned(struct identity *id, const struct jwt_svid *svid)
{
    ENSURE(!denylist_has(&id->deny, "spiffe_id", svid->id.text) &&
               (svid->claims.jti.n == 0 || !denylist_has(&id->deny, "jti", svid->claims.jti)),
           ERR_REVOKED, "the token has been revoked");
    return OK;
}

static void validate_jwt_svid(struct grpc_call *call, const ProtobufCMessage *in, void *ctx)
{
    struct visible v = {.id = ctx};
    const ValidateJWTSVIDRequest *r = (const ValidateJWTSVIDRequest *)(const void *)in;
    struct arena *a = grpc_request(call)->arena;
    struct attest_peer peer;
    if (!workload_header_ok(call)) {
        return;
    }
    if (r->audience[0] == '\0' || r->svid[0] == '\0') {
        grpc_end(call, GRPC_INVALID_ARGUMENT,
                 r->audience[0] == '\0' ? "audience must be specified" : "svid must be specified");
        return;
    }
    if (!ca_ready(&v.id->ca)) {
        grpc_end(call, GRPC_UNAVAILABLE, "the authority is not ready");
        return;
    }
    if (failed(view_peer(v.id, grpc_request(call), &peer)) ||
        failed(view_caller(v.id, &peer, &v.view))) {
        v.view.n = 0; /* without an identity it sees our own keys alone */
    }
    struct str audience = str_of(r->audience);
    struct jwt_svid svid;
    struct err e =
        jwt_svid_verify(a, str_of(r->svid), &audience, 1, clock_wall_s(), find_keys, &v, &svid);
    e = failed(e) ? e : check_banned(v.id, &svid);
    if (failed(e)) {
        grpc_end(call, GRPC_INVALID_ARGUMENT, err_detail());
        return;
    }
    ValidateJWTSVIDResponse out = VALIDATE_JWTSVIDRESPONSE__INIT;
    out.spiffe_id = arena_cstr(a, svid.id.text);
    out.claims = struct_of(a, with_audience_list(a, svid.claims.claims), 0);
    grpc_send(call, &out.base);
    grpc_end(call, GRPC_OK, NULL);
}

static bool serving(void *ctx)
{
    struct identity *id = ctx;
    return ca_ready(&id->ca);
}

void workload_mount(struct identity *id)
{
    struct router *r = &id->workload_router;
    grpc_method(r, "/SpiffeWorkloadAPI/FetchX509SVID", &x509_svidrequest__descriptor,
                fetch_x509_svid, id);
    grpc_method(r, "/SpiffeWorkloadAPI/FetchX509Bundles", &x509_bundles_request__descriptor,
                fetch_x509_bundles, id);
    grpc_method(r, "/SpiffeWorkloadAPI/FetchJWTSVID", &jwtsvidrequest__descriptor, fetch_jwt_svid,
                id);
    grpc_method(r, "/SpiffeWorkloadAPI/FetchJWTBundles", &jwtbundles_request__descriptor,
                fetch_jwt_bundles, id);
    grpc_method(r, "/SpiffeWorkloadAPI/ValidateJWTSVID", &validate_jwtsvidrequest__descriptor,
                validate_jwt_svid, id);
    grpc_unknown(r, "SpiffeWorkloadAPI");
    grpc_health(r, serving, id);
}
