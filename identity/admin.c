/*
 * The admin API on admin.sock: registration entries, bans, federated bundles, minting.
 *
 * Open to root, to the names `operator` and `respond` of `uids`, and to nobody else. Every change is an
 * audit event before it is made, and reaches the workloads concerned in the same turn of the loop.
 */
#include "identity.h"

#include "lib/base/clock.h"
#include "lib/base/codec.h"

enum { MINT_TTL_MAX_S = 86400 };

/* ---- who may ---- */

static bool may_administer(const struct identity *id, const struct http_req *req,
                           struct caller *who)
{
    bool named = !failed(daemon_caller(id->d, req, who));
    if (!named) {
        *who = (struct caller){.source = S("unix:"), .pid = req->peer->pid, .uid = req->peer->uid};
    }
    if (req->peer->kind != PEER_UNIX) {
        return false;
    }
    if (req->peer->uid == 0) {
        return true;
    }
    struct spiffe_id caller;
    return named && !failed(spiffe_id_parse(who->spiffe_id, &caller)) &&
           str_eq(caller.trust_domain, id->ca.domain) &&
           (str_is(caller.path, "/sextant/operator") || str_is(caller.path, "/sextant/respond"));
}

/* One change under way: it is made once audit has its event. */
struct change {
    struct identity *id;
    struct http_req *req;
    void (*make)(struct change *c);
    struct entry *entry;
    struct str kind, value, reason; /* in the request's arena */
    bool denied, gone;
};

static void change_free(struct change *c)
{
    entry_free(c->entry);
    free(c);
}

static void change_aborted(void *ctx)
{
    struct change *c = ctx;
    c->gone = true;
}

static void change_audited(void *ctx, struct err e)
{
    struct change *c = ctx;
    if (c->gone) {
        change_free(c); /* the client left before it was made: nothing is changed */
        return;
    }
    if (failed(e)) {
        http_reply_json(c->req, 503, S("{\"error\":\"audit is not reachable\"}"));
    } else if (c->denied) {
        http_reply_json(
            c->req, 403,
            S("{\"error\":\"only root, operator and respond may administer identity\"}"));
    } else {
        c->make(c);
    }
    change_free(c);
}

static void change_begin(struct change *c, const char *activity, struct str type,
                         struct str resource)
{
    struct caller who;
    c->denied = !may_administer(c->id, c->req, &who);
    struct audit_event ev =
        identity_event(OCSF_ENTITY_MANAGEMENT, activity, c->denied ? "denied" : "allowed");
    daemon_audit_caller(&ev, &who, &c->req->trace);
    struct json *extra = json_new_object(c->req->arena);
    json_set(c->req->arena, extra, S("uid"), json_new_int(c->req->arena, c->req->peer->uid));
    ev.extra = extra;
    ev.resource_type = type;
    ev.resource_uid = resource;
    ev.reason = c->reason;
    http_on_abort(c->req, change_aborted, c);
    audit_emit(c->id->d->audit, &ev, change_audited, c);
}

static struct change *change_new(struct identity *id, struct http_req *req,
                                 void (*make)(struct change *c))
{
    struct change *c = calloc(1, sizeof(*c));
    BUG_ON(c == NULL);
    *c = (struct change){.id = id, .req = req, .make = make};
    return c;
}

/* Reading is not an event of its own, but it is for the same callers. */
static bool may_read(struct identity *id, struct http_req *req)
{
    struct caller who;
    if (may_administer(id, req, &who)) {
        return true;
    }
    http_reply_json(req, 403,
                    S("{\"error\":\"only root, operator and respond may administer identity\"}"));
    return false;
}

/* Callers here are operators: they are told what is wrong. */
static void reply_failure(struct http_req *req, struct err e)
{
    struct buf b;
    struct jw w;
    buf_init(&b, 8192);
    jw_init(&w, &b);
    jw_obj(&w);
    jw_key_str(&w, S("error"), str_of(err_detail()));
    jw_key_int(&w, S("code"), err_grpc_status(e));
    jw_end(&w);
    http_reply_json(req, err_http_status(e), buf_str(&b));
    buf_release(&b);
}

static void reply_value(struct http_req *req, int status, const struct json *v)
{
    struct buf b;
    buf_init(&b, 256 << 20);
    json_write(&b, v);
    http_reply_json(req, status, buf_str(&b));
    buf_release(&b);
}

static struct err body_object(struct http_req *req, struct json **out)
{
    TRY(json_parse(req->arena, req->body, NULL, out));
    ENSURE(json_is(*out, JSON_OBJECT), ERR_INVALID, "the body must be a JSON object");
    return OK;
}

/* ---- entries ---- */

static bool wanted(const struct http_req *req, const struct entry *e)
{
    struct str v;
    return !(http_query_get(req, "spiffe_id", &v) && !str_eq(v, e->spiffe_id)) &&
           !(http_query_get(req, "parent_id", &v) && !str_eq(v, e->parent_id)) &&
           !(http_query_get(req, "selector", &v) && !strs_has(&e->selectors, v)) &&
           !(http_query_get(req, "hint", &v) && !str_eq(v, e->hint));
}

/* Written without a tree: a million entries are listed in constant memory beside the answer. */
static void list_entries(struct http_req *req, void *ctx)
{
    struct identity *id = ctx;
    if (!may_read(id, req)) {
        return;
    }
    http_reply_begin(req, 200, S("application/json"), NULL, 0);
    struct buf b;
    buf_init(&b, 4 << 20);
    buf_puts(&b, S("{\"entries\":["));
    struct map_entry *m;
    bool first = true;
    for (size_t i = 0; (m = map_at(&id->registry.by_id, &i)) != NULL;) {
        if (!wanted(req, m->value)) {
            continue;
        }
        struct arena a;
        arena_init(&a, 4 << 20);
        buf_puts(&b, first ? S("") : S(","));
        json_write(&b, entry_to_json(&a, m->value));
        arena_release(&a);
        first = false;
        if (b.n > 64 * 1024) {
            http_reply_chunk(req, buf_str(&b));
            buf_clear(&b);
        }
    }
    buf_puts(&b, S("],\"next_page_token\":\"\"}"));
    http_reply_chunk(req, buf_str(&b));
    http_reply_end(req);
    buf_release(&b);
}

static void get_entry(struct http_req *req, void *ctx)
{
    struct identity *id = ctx;
    if (!may_read(id, req)) {
        return;
    }
    const struct entry *e = registry_find(&id->registry, http_param(req, "id"));
    if (e == NULL) {
        reply_failure(req, err_make(ERR_NOT_FOUND, "no such entry"));
        return;
    }
    reply_value(req, 200, entry_to_json(req->arena, e));
}

static void make_entry(struct change *c)
{
    struct entry *e = c->entry;
    struct err err = registry_create(&c->id->registry, e);
    if (failed(err)) {
        reply_failure(c->req, err);
        return;
    }
    c->entry = NULL; /* the registry's now */
    streams_push(c->id);
    reply_value(c->req, 201, entry_to_json(c->req->arena, e));
}

static void create_entry(struct http_req *req, void *ctx)
{
    struct identity *id = ctx;
    struct json *v;
    struct entry *e = NULL;
    struct err err = body_object(req, &v);
    if (!failed(err)) {
        err = entry_from_json(v, id->ca.domain, &e);
    }
    if (!failed(err)) {
        err = registry_check_new(&id->registry, e);
    }
    if (failed(err)) {
        entry_free(e);
        struct caller who;
        if (may_administer(id, req, &who)) {
            reply_failure(req, err);
        } else {
            http_reply_status(req, 403);
        }
        return;
    }
    struct change *c = change_new(id, req, make_entry);
    c->entry = e;
    change_begin(c, "entry.create", S("registration entry"), e->spiffe_id);
}

static void make_update(struct change *c)
{
    struct entry *e = c->entry;
    struct err err = registry_update(&c->id->registry, e);
    if (failed(err)) {
        reply_failure(c->req, err);
        return;
    }
    c->entry = NULL;
    streams_push(c->id);
    reply_value(c->req, 200, entry_to_json(c->req->arena, e));
}

static void update_entry(struct http_req *req, void *ctx)
{
    struct identity *id = ctx;
    struct json *v;
    struct entry *e;
    struct err err = body_object(req, &v);
    if (!failed(err)) {
        json_remove(v, S("entry_id"));
        json_set(req->arena, v, S("id"), json_new_string(req->arena, http_param(req, "id")));
        err = entry_from_json(v, id->ca.domain, &e);
    }
    if (failed(err)) {
        reply_failure(req, err);
        return;
    }
    struct change *c = change_new(id, req, make_update);
    c->entry = e;
    change_begin(c, "entry.update", S("registration entry"), e->spiffe_id);
}

static void make_deletion(struct change *c)
{
    struct err e = registry_delete(&c->id->registry, c->value);
    if (failed(e)) {
        reply_failure(c->req, e);
        return;
    }
    jwt_cache_drop(c->id->jwt);
    streams_push(c->id);
    http_reply_json(c->req, 200, S("{}"));
}

static void delete_entry(struct http_req *req, void *ctx)
{
    struct change *c = change_new(ctx, req, make_deletion);
    c->value = http_param(req, "id");
    const struct entry *e = registry_find(&c->id->registry, c->value);
    change_begin(c, "entry.delete", S("registration entry"), e != NULL ? e->spiffe_id : c->value);
}

/* ---- bans ---- */

static void list_bans(struct http_req *req, void *ctx)
{
    struct identity *id = ctx;
    if (may_read(id, req)) {
        reply_value(req, 200, denylist_to_json(req->arena, &id->deny));
    }
}

static void after_ban(struct change *c, struct err e)
{
    if (failed(e)) {
        reply_failure(c->req, e);
        return;
    }
    jwt_cache_drop(c->id->jwt);
    streams_push(c->id);
    struct json *o = json_new_object(c->req->arena);
    json_set(c->req->arena, o, S("sequence"),
             json_new_int(c->req->arena, (int64_t)c->id->deny.sequence));
    reply_value(c->req, 200, o);
}

static void make_ban(struct change *c)
{
    after_ban(c, denylist_add(&c->id->deny, c->kind, c->value, c->reason, clock_wall_s()));
}

static void make_unban(struct change *c)
{
    after_ban(c, denylist_remove(&c->id->deny, c->kind, c->value));
}

/* Exactly one of spiffe_id, serial and jti. */
static struct err read_ban(struct http_req *req, struct change *c)
{
    static const struct str kinds[] = {STR_INIT("spiffe_id"), STR_INIT("serial"), STR_INIT("jti")};
    struct json *v;
    TRY(body_object(req, &v));
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        const struct json *value = json_get_str(v, kinds[i]);
        if (value != NULL) {
            ENSURE(c->kind.n == 0, ERR_INVALID, "ban one of spiffe_id, serial and jti at a time");
            c->kind = kinds[i];
            c->value = json_str(value);
        }
    }
    ENSURE(c->kind.n > 0, ERR_INVALID, "say what to ban: spiffe_id, serial or jti");
    c->reason = json_str(json_get(v, "reason"));
    return denylist_check(c->kind, c->value, c->reason);
}

static void change_ban(struct http_req *req, struct identity *id, void (*make)(struct change *c),
                       const char *activity)
{
    struct change *c = change_new(id, req, make);
    struct err e = read_ban(req, c);
    if (failed(e)) {
        change_free(c);
        reply_failure(req, e);
        return;
    }
    change_begin(c, activity, c->kind, c->value);
}

static void post_ban(struct http_req *req, void *ctx)
{
    change_ban(req, ctx, make_ban, "identity.ban");
}

static void post_unban(struct http_req *req, void *ctx)
{
    change_ban(req, ctx, make_unban, "identity.unban");
}

/* ---- bundles of others ---- */

static void list_federated(struct http_req *req, void *ctx)
{
    struct identity *id = ctx;
    if (!may_read(id, req)) {
        return;
    }
    struct arena *a = req->arena;
    struct json *o = json_new_object(a), *domains = json_new_object(a);
    struct map_entry *m;
    for (size_t i = 0; (m = map_at(&id->federation.by_domain, &i)) != NULL;) {
        const struct federated *f = m->value;
        struct json *doc;
        if (!failed(json_parse(a, f->document, NULL, &doc))) {
            json_set(a, domains, f->bundle.trust_domain, doc);
        }
    }
    json_set(a, o, S("trust_domains"), domains);
    reply_value(req, 200, o);
}

static void after_federation(struct change *c, struct err e)
{
    if (failed(e)) {
        reply_failure(c->req, e);
        return;
    }
    streams_push(c->id);
    http_reply_json(c->req, 200, S("{}"));
}

static void make_federated(struct change *c)
{
    after_federation(c, federation_set(&c->id->federation, c->value, c->req->body));
}

static void drop_federated(struct change *c)
{
    after_federation(c, federation_delete(&c->id->federation, c->value));
}

static void put_federated(struct http_req *req, void *ctx)
{
    struct change *c = change_new(ctx, req, make_federated);
    c->value = http_param(req, "td");
    change_begin(c, "bundle.set", S("bundle"), c->value);
}

static void delete_federated(struct http_req *req, void *ctx)
{
    struct change *c = change_new(ctx, req, drop_federated);
    c->value = http_param(req, "td");
    change_begin(c, "bundle.delete", S("bundle"), c->value);
}

/* ---- minting for an operator ---- */

static struct err mint(struct change *c, struct json **out)
{
    struct arena *a = c->req->arena;
    struct json *v;
    struct str der;
    TRY(body_object(c->req, &v));
    struct str pem = json_str(json_get(v, "csr")), rest = pem;
    TRY(pem_next(a, &rest, "CERTIFICATE REQUEST", &der));
    uint64_t ttl = 0;
    if (json_get(v, "ttl") != NULL) {
        TRY(json_u64(json_get(v, "ttl"), &ttl));
        ENSURE(ttl <= MINT_TTL_MAX_S, ERR_RANGE, "a ttl of %llu s; at most %d",
               (unsigned long long)ttl, MINT_TTL_MAX_S);
    }
    struct x509_csr csr;
    TRY(x509_csr_parse(der, &csr));
    struct spiffe_id who;
    struct err e = csr.n_uris == 1
                       ? spiffe_id_parse(csr.uris[0], &who)
                       : err_make(ERR_INVALID, "a request must name exactly one SPIFFE id");
    if (!failed(e) && (who.path.n == 0 || !str_eq(who.trust_domain, c->id->ca.domain) ||
                       denylist_has(&c->id->deny, "spiffe_id", who.text))) {
        e = err_make(ERR_DENIED, "'%.*s' can not be minted", STR_FMT(who.text));
    }
    struct svid *svid;
    if (!failed(e)) {
        struct strs names = {csr.dns_names, csr.n_dns_names};
        struct svid_request r = {.spiffe_id = who.text,
                                 .names = &names,
                                 .now_s = clock_wall_s(),
                                 .key = csr.key,
                                 .ttl_s =
                                     ttl > 0 ? (int64_t)ttl : c->id->cfg->x509_ttl_ns / NS_PER_S};
        e = ca_issue(&c->id->ca, &r, &svid);
    }
    if (!failed(e)) {
        denylist_issued(&c->id->deny, who.text, str_n(svid->serial, CA_SERIAL), svid->not_after_s);
        struct x509_chain chain;
        struct buf text;
        buf_init(&text, X509_CERT_MAX * 4);
        e = x509_chain_from_der(buf_str(&svid->chain), &chain);
        if (!failed(e)) {
            x509_chain_pem(&chain, &text);
            x509_chain_release(&chain);
        }
        *out = json_new_object(a);
        json_set(a, *out, S("svid"), json_new_string(a, arena_str(a, buf_str(&text))));
        json_set(a, *out, S("expires_at"), json_new_int(a, svid->not_after_s));
        buf_release(&text);
        svid_unref(svid);
    }
    x509_csr_release(&csr);
    return e;
}

static void make_mint(struct change *c)
{
    struct json *v = NULL;
    struct err e = mint(c, &v);
    if (failed(e)) {
        reply_failure(c->req, e);
        return;
    }
    reply_value(c->req, 200, v);
}

static void post_mint(struct http_req *req, void *ctx)
{
    change_begin(change_new(ctx, req, make_mint), "svid.x509.mint", S("svid"), STR_EMPTY);
}

void admin_mount(struct identity *id)
{
    struct router *r = &id->admin_router;
    router_add(r, "GET", "/v1/entries", list_entries, id);
    router_add(r, "POST", "/v1/entries", create_entry, id);
    router_add(r, "GET", "/v1/entries/{id}", get_entry, id);
    router_add(r, "PUT", "/v1/entries/{id}", update_entry, id);
    router_add(r, "DELETE", "/v1/entries/{id}", delete_entry, id);
    router_add(r, "GET", "/v1/bans", list_bans, id);
    router_add(r, "POST", "/v1/bans", post_ban, id);
    router_add(r, "POST", "/v1/unban", post_unban, id);
    router_add(r, "GET", "/v1/federated", list_federated, id);
    router_add(r, "PUT", "/v1/federated/{td}", put_federated, id);
    router_add(r, "DELETE", "/v1/federated/{td}", delete_federated, id);
    router_add(r, "POST", "/v1/mint/x509", post_mint, id);
}
