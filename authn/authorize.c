/* The authorization endpoint: decides between an error, a code at once, and an interaction. */
#include "authorize.h"

#include "lib/base/clock.h"
#include "lib/base/codec.h"
#include "lib/daemon/daemon.h"

#include "pages.h"
#include "tokens.h"

#include <stdlib.h>

enum { TOUCH_S = 60 };

/* ---- answers to the client ---- */

static void send_back(struct op *op, const struct auth_request *r, const struct param *fields,
                      size_t n)
{
    if (r->mode == MODE_FORM_POST) {
        page_form_post(op, r->redirect_uri, fields, n);
        return;
    }
    struct buf b;
    buf_init(&b, 32 * 1024);
    buf_puts(&b, r->redirect_uri);
    char separator = str_find_char(r->redirect_uri, '?') == STR_NPOS ? '?' : '&';
    for (size_t i = 0; i < n; i++) {
        buf_putc(&b, separator);
        buf_puts(&b, fields[i].name);
        buf_putc(&b, '=');
        percent_put(&b, fields[i].value);
        separator = '&';
    }
    op_redirect(op, arena_str(&op->arena, buf_str(&b)));
    buf_release(&b);
}

static size_t common_fields(const struct op *op, const struct auth_request *r, struct param *fields,
                            size_t n)
{
    if (r->state.n > 0) {
        fields[n++] = (struct param){S("state"), r->state};
    }
    fields[n++] = (struct param){S("iss"), op->n->config->issuer};
    return n;
}

void authorize_error(struct op *op, const struct auth_request *r, const char *code,
                     struct str description)
{
    struct param fields[4] = {{S("error"), str_of(code)}, {S("error_description"), description}};
    send_back(op, r, fields, common_fields(op, r, fields, 2));
}

/* ---- granting ---- */

struct grant {
    struct auth_request request;
    struct family family;
    struct code_details details;
    struct str code;
    unsigned consented;
};

static struct err grant_write(struct op *op)
{
    struct grant *g = op->state;
    struct store *s = op->n->store;
    TRY(family_insert(s, &g->family));
    TRY(code_insert(s, g->code, g->family.id, &g->details));
    return g->consented != 0
               ? consent_insert(s, g->family.sub, g->family.client, g->consented, g->family.created)
               : OK;
}

static void grant_written(struct op *op, struct err e)
{
    struct grant *g = op->state;
    if (failed(e)) {
        op_fail(op, "authorize", e);
        return;
    }
    struct param fields[4] = {{S("code"), g->code}};
    send_back(op, &g->request, fields, common_fields(op, &g->request, fields, 1));
    op_end(op, "authorize", "allowed", STR_EMPTY);
}

void authorize_grant(struct op *op, const struct auth_request *r, struct str sub,
                     struct str session, int64_t auth_time, unsigned consented)
{
    const struct authn_config *c = op->n->config;
    struct arena *a = &op->arena;
    struct grant *g = arena_new(a, struct grant);
    int64_t now = clock_wall_s();
    g->request = *r;
    g->request.redirect_uri = arena_str(a, r->redirect_uri);
    g->request.state = arena_str(a, r->state);
    g->code = one_time_value(a);
    g->consented = consented;
    g->family = (struct family){
        .id = random_id(a, ID_TEXT, ALPHABET_BASE62),
        .client = arena_str(a, r->client->id),
        .sub = arena_str(a, sub),
        .session = arena_str(a, session),
        .audience = arena_str(a, r->audience),
        .scopes = r->scopes,
        .auth_time = auth_time,
        .created = now,
        .expires = now + seconds_of(c->refresh_max_ns),
        .offline = (r->scopes & SCOPE_OFFLINE) != 0,
    };
    g->details = (struct code_details){arena_str(a, r->redirect_uri), arena_str(a, r->challenge),
                                       arena_str(a, r->nonce), now + seconds_of(c->code_ns)};
    op->event.class_uid = OCSF_AUTHORIZE_SESSION;
    op->event.actor_user = g->family.sub;
    op->event.session = g->family.session;
    op->event.resource_type = S("client");
    op->event.resource_uid = g->family.client;
    op->state = g;
    op_store(op, grant_write, grant_written);
}

struct err consent_needed(struct authn *n, const struct auth_request *r, struct str sub,
                          bool *needed)
{
    unsigned given;
    TRY(consent_scopes(n->store, sub, r->client->id, &given));
    *needed = r->prompt_consent ||
              (r->client->require_consent && (given == 0 || (r->scopes & ~given) != 0));
    return OK;
}

/* ---- the endpoint ---- */

static void deny(struct op *op, const struct auth_request *r, const struct auth_problem *p)
{
    op->event.class_uid = OCSF_AUTHORIZE_SESSION;
    if (r->client != NULL) {
        op->event.resource_type = S("client");
        op->event.resource_uid = arena_str(&op->arena, r->client->id);
    }
    if (p->by_redirect) {
        authorize_error(op, r, p->code, p->description);
    } else {
        page_error(op, 400, "This link does not work", p->description);
    }
    op_end(op, "authorize", "denied",
           arena_printf(&op->arena, "%s: %.*s", p->code, STR_FMT(p->description)));
}

static void deny_code(struct op *op, const struct auth_request *r, const char *code,
                      const char *why)
{
    struct auth_problem p = {code, str_of(why), true};
    deny(op, r, &p);
}

/* The session of this browser, when it fits the request; false means: log in. */
static bool usable_session(struct op *op, const struct auth_request *r, struct session *s,
                           struct user *u)
{
    int64_t now = clock_wall_s();
    struct session_limits lim = authn_session_limits(op->n);
    if (op->session_cookie.n == 0 || r->prompt_login ||
        failed(session_by_cookie(op->n->store, &op->arena, op->session_cookie, &lim, now, s))) {
        return false;
    }
    if (r->max_age >= 0 && now - s->auth_time >= r->max_age) {
        return false;
    }
    if (r->hint_sub.n > 0 && !str_eq(r->hint_sub, s->sub)) {
        return false;
    }
    return !failed(user_by_sub(op->n->store, &op->arena, s->sub, u)) && !u->disabled;
}

struct touch {
    struct authn *n;
    char session[ID_TEXT + 1];
};

static struct err touch_write(void *ctx)
{
    const struct touch *t = ctx;
    return session_touch(t->n->store, str_of(t->session), clock_wall_s());
}

/* Nobody waits for it: a use that is lost in a crash shortens the idle time at worst. */
static void touch_done(void *ctx, struct err e)
{
    ignore_err(e);
    free(ctx);
}

/* The session has been used; written once a minute at most. */
static void touch(struct authn *n, const struct session *s)
{
    if (clock_wall_s() - s->seen < TOUCH_S) {
        return;
    }
    struct touch *t = calloc(1, sizeof(*t));
    BUG_ON(t == NULL || failed(str_to_cstr(s->id, t->session, sizeof(t->session))));
    t->n = n;
    store_batch(n->store, touch_write, touch_done, t);
}

static void begin_interaction(struct op *op, const struct auth_request *r, const struct session *s,
                              const struct user *u)
{
    if (op->browser_cookie.n == 0) {
        op->browser_cookie = one_time_value(&op->arena);
        op_header(
            op, "set-cookie",
            arena_printf(&op->arena,
                         "__Host-sextant-browser=%.*s; Path=/; Secure; HttpOnly; SameSite=Lax",
                         STR_FMT(op->browser_cookie)));
    }
    struct interaction *i =
        interaction_new(&op->n->interactions, r, op->browser_cookie, clock_mono_ns());
    if (s != NULL) {
        i->stage = STAGE_CONSENT;
        i->sub = arena_str(&i->arena, s->sub);
        i->session = arena_str(&i->arena, s->id);
        i->user_name = arena_str(&i->arena, u->name);
        i->auth_time = s->auth_time;
    }
    op_redirect(op, arena_printf(&op->arena, "/interaction/%.*s", STR_FMT(i->id)));
    op_send(op);
}

static void decide(struct op *op, const struct auth_request *r)
{
    struct session s;
    struct user u;
    bool ask = true, known = usable_session(op, r, &s, &u);
    if (known) {
        touch(op->n, &s);
        struct err e = consent_needed(op->n, r, s.sub, &ask);
        if (failed(e)) {
            op_fail(op, "authorize", e);
            return;
        }
    }
    if (known && !ask) {
        authorize_grant(op, r, s.sub, s.id, s.auth_time, 0);
    } else if (r->prompt_none) {
        deny_code(op, r, known ? "consent_required" : "login_required",
                  known ? "the person has not agreed yet" : "nobody is signed in");
    } else {
        begin_interaction(op, r, known ? &s : NULL, known ? &u : NULL);
    }
}

static void authorize(struct http_req *req, void *ctx)
{
    struct op *op = op_new(ctx, req);
    struct auth_request r = {.max_age = -1};
    struct auth_problem problem;
    struct str hint;
    struct own_token t;
    op->event.class_uid = OCSF_AUTHORIZE_SESSION;
    if (failed(op_params(op, true))) {
        page_error(op, 400, "This link does not work", arena_str(&op->arena, str_of(err_detail())));
        op_end(op, "authorize", "denied", S("malformed or repeated parameters"));
        return;
    }
    auth_request_read(&op->arena, &op->n->clients, op->n->config->issuer, &op->params, &r,
                      &problem);
    if (r.client != NULL) {
        op->client = client_ref(r.client);
    }
    if (problem.code != NULL) {
        deny(op, &r, &problem);
        return;
    }
    hint = params_get(&op->params, "id_token_hint");
    if (hint.n > 0) {
        if (failed(id_token_read(op->n, &op->arena, hint, &t))) {
            deny_code(op, &r, "invalid_request",
                      "id_token_hint is not an ID token of this provider");
            return;
        }
        r.hint_sub = t.sub;
    }
    decide(op, &r);
}

void authorize_routes(struct authn *n, struct router *r)
{
    router_add(r, "GET", "/authorize", authorize, n);
    router_add(r, "POST", "/authorize", authorize, n);
}
