/* The forms: login, consent, cancel. Each belongs to an interaction of the browser that began it. */
#include "lib/base/clock.h"
#include "lib/base/codec.h"
#include "lib/base/secret.h"
#include "lib/daemon/daemon.h"

#include "authorize.h"
#include "pages.h"
#include "users.h"

static struct interaction *find(struct op *op, const struct http_req *req)
{
    return interaction_find(&op->n->interactions, http_param(req, "id"), op->browser_cookie,
                            clock_mono_ns());
}

static struct interaction *again(struct op *op, struct str id)
{
    return interaction_find(&op->n->interactions, id, op->browser_cookie, clock_mono_ns());
}

static void lost(struct op *op, const char *activity)
{
    page_error(op, 400, "Please start again",
               S("This sign-in has expired, was finished, or was begun in another browser. Go back "
                 "to the application and sign in again."));
    op_end(op, activity, "denied", S("unknown, foreign or expired interaction"));
}

static void show(struct http_req *req, void *ctx)
{
    struct op *op = op_new(ctx, req);
    struct interaction *i = find(op, req);
    if (i == NULL) {
        lost(op, "login");
        return;
    }
    if (i->stage == STAGE_LOGIN) {
        page_login(op, 200, i, STR_EMPTY);
    } else {
        page_consent(op, i);
    }
    op_send(op);
}

/* A form comes from our own page: Fetch metadata, the origin where it is told, and the spent value. */
static bool form_is_ours(struct op *op, struct interaction *i)
{
    bool site_ok = op->fetch_site.n == 0 || str_is(op->fetch_site, "same-origin");
    bool origin_ok = op->origin.n == 0 || str_is(op->origin, "null") ||
                     str_eq(op->origin, op->n->config->issuer) ||
                     (str_starts(op->n->config->issuer, op->origin) &&
                      op->n->config->issuer.p[op->origin.n] == '/');
    bool csrf_ok = interaction_spend_csrf(i, params_get(&op->params, "csrf"));
    return site_ok && origin_ok && csrf_ok && op->form;
}

/* Reads the form and checks where it comes from; NULL when the operation has been ended. */
static struct interaction *take_form(struct op *op, const struct http_req *req, enum stage stage,
                                     const char *activity)
{
    struct interaction *i = find(op, req);
    if (failed(op_params(op, false))) {
        op_end(op, activity, "denied", S("malformed form"));
        return NULL;
    }
    if (i == NULL || i->stage != stage) {
        lost(op, activity);
        return NULL;
    }
    op->client = client_ref(i->request.client);
    op->event.resource_type = S("client");
    op->event.resource_uid = op->client->id;
    if (!form_is_ours(op, i)) {
        page_error(op, 403, "Please start again",
                   S("This form did not come from the page that was shown, or was sent before."));
        op_end(op, activity, "denied", S("anti-forgery value missing, wrong or spent"));
        return NULL;
    }
    return i;
}

/* ---- login ---- */

struct login {
    struct str interaction, name, throttle_source, cookie, renewed;
    struct user user;
    struct session session;
};

static void refuse_login(struct op *op, int status, struct str message, struct str reason)
{
    struct login *l = op->state;
    struct interaction *i = again(op, l->interaction);
    if (i != NULL) {
        page_login(op, status, i, message);
    } else {
        page_error(op, status, "Please start again", message);
    }
    op_end(op, "login", "denied", reason);
}

static struct err login_write(struct op *op)
{
    struct login *l = op->state;
    struct store *s = op->n->store;
    if (op->session_cookie.n > 0) {
        TRY(session_end_others(s, op->session_cookie));
    }
    if (l->renewed.n > 0) {
        TRY(user_set_hash(s, l->user.sub, l->renewed, l->user.changed));
    }
    return session_insert(s, &l->session, l->cookie, op->source);
}

/* The login is on record: go on to consent, or straight to the code. */
static void login_recorded(struct op *op, struct err e)
{
    struct login *l = op->state;
    struct interaction *i = again(op, l->interaction);
    bool ask = true;
    if (failed(e)) {
        op_fail(op, "login", e);
        return;
    }
    if (i == NULL) {
        lost(op, "login");
        return;
    }
    if (i->request.hint_sub.n > 0 && !str_eq(i->request.hint_sub, l->user.sub)) {
        authorize_error(op, &i->request, "login_required",
                        S("somebody else signed in than the application named"));
        interaction_free(&op->n->interactions, i);
        op_end(op, "authorize", "denied", S("another person than id_token_hint names"));
        return;
    }
    e = consent_needed(op->n, &i->request, l->user.sub, &ask);
    if (failed(e)) {
        op_fail(op, "login", e);
        return;
    }
    if (ask) {
        op_redirect(op, arena_printf(&op->arena, "/interaction/%.*s", STR_FMT(l->interaction)));
        op_send(op);
        return;
    }
    authorize_grant(op, &i->request, l->user.sub, l->session.id, l->session.auth_time, 0);
    interaction_free(&op->n->interactions, i);
}

static void login_written(struct op *op, struct err e)
{
    struct login *l = op->state;
    struct interaction *i = again(op, l->interaction);
    if (failed(e) || i == NULL) {
        op_fail(op, "login", failed(e) ? e : err_make(ERR_UNAVAILABLE, "the interaction is gone"));
        return;
    }
    i->stage = STAGE_CONSENT;
    i->sub = arena_str(&i->arena, l->user.sub);
    i->session = arena_str(&i->arena, l->session.id);
    i->user_name = arena_str(&i->arena, l->user.name);
    i->auth_time = l->session.auth_time;
    op_header(op, "set-cookie",
              arena_printf(&op->arena,
                           "__Host-sextant=%.*s; Path=/; Secure; HttpOnly; SameSite=Lax",
                           STR_FMT(l->cookie)));
    op->event.actor_user = l->user.sub;
    op->event.session = l->session.id;
    op_audit(op, "login", "allowed", STR_EMPTY, login_recorded);
}

static void password_checked(void *ctx, struct err e, bool match, struct str renewed)
{
    struct op *op = ctx;
    struct login *l = op->state;
    int64_t now = clock_wall_s();
    if (failed(e)) {
        op_fail(op, "login", e);
        return;
    }
    /* Read again: the account may have been disabled while the hash ran. */
    struct user u;
    bool usable = l->user.sub.n > 0 &&
                  !failed(user_by_sub(op->n->store, &op->arena, l->user.sub, &u)) && !u.disabled;
    if (!match || !usable) {
        throttle_failed(&op->n->throttle, l->name, l->throttle_source, clock_mono_ns());
        op->event.actor_user = l->user.sub.n > 0 ? l->user.sub : l->name;
        refuse_login(op, 403, S("The user name or the password is wrong."),
                     match ? S("account disabled") : S("wrong user name or password"));
        return;
    }
    throttle_succeeded(&op->n->throttle, l->name, l->throttle_source);
    l->renewed = arena_str(&op->arena, renewed);
    l->cookie = one_time_value(&op->arena);
    l->session = (struct session){
        .id = random_id(&op->arena, ID_TEXT, ALPHABET_BASE62),
        .sub = l->user.sub,
        .auth_time = now,
        .seen = now,
        .expires = now + seconds_of(op->n->config->session_max_ns),
    };
    op_store(op, login_write, login_written);
}

static struct err take_password(struct op *op, struct secret *out)
{
    struct str text = params_take(&op->params, "password");
    ENSURE(text.n > 0 && text.n <= PASSWORD_MAX, ERR_LIMIT, "a password has 1 to %d bytes",
           PASSWORD_MAX);
    struct err e = secret_copy(out, text);
    wipe((char *)(uintptr_t)text.p, text.n);
    return e;
}

static void start_login(struct op *op, struct login *l)
{
    struct secret password = SECRET_EMPTY;
    char storage[64];
    int64_t wait;
    l->throttle_source =
        arena_str(&op->arena, throttle_source(op->source, storage, sizeof(storage)));
    wait = throttle_wait_s(&op->n->throttle, l->name, l->throttle_source, clock_mono_ns());
    op->event.actor_user = l->name;
    if (wait > 0) {
        op_header(op, "retry-after", arena_printf(&op->arena, "%lld", (long long)wait));
        refuse_login(op, 429,
                     arena_printf(&op->arena, "Too many failed tries. Wait %lld s and try again.",
                                  (long long)wait),
                     S("too many failed tries"));
        return;
    }
    if (failed(take_password(op, &password))) {
        refuse_login(op, 403, S("The user name or the password is wrong."),
                     S("no password, or one that is too long"));
        return;
    }
    bool known = !failed(user_by_name(op->n->store, &op->arena, l->name, &l->user));
    struct str hash = known && !l->user.disabled ? l->user.hash : STR_EMPTY;
    struct err e = hasher_check(op->n->hasher, hash, &password, password_checked, op);
    if (failed(e)) {
        secret_release(&password);
        op_fail(op, "login", e);
    }
}

static void login(struct http_req *req, void *ctx)
{
    struct op *op = op_new(ctx, req);
    struct interaction *i = take_form(op, req, STAGE_LOGIN, "login");
    if (i == NULL) {
        return;
    }
    struct login *l = arena_new(&op->arena, struct login);
    op->state = l;
    l->interaction = arena_str(&op->arena, i->id);
    if (failed(user_name_normalize(&op->arena, params_get(&op->params, "username"), &l->name))) {
        l->name = S(
            "-"); /* nobody is called so: the same work and the same answer as for anyone unknown */
    }
    start_login(op, l);
}

/* ---- consent and cancel ---- */

/* The person may have signed out in another tab since the page was shown. */
static bool still_signed_in(struct op *op, const struct interaction *i)
{
    struct session s;
    struct session_limits lim = authn_session_limits(op->n);
    return op->session_cookie.n > 0 &&
           !failed(session_by_cookie(op->n->store, &op->arena, op->session_cookie, &lim,
                                     clock_wall_s(), &s)) &&
           str_eq(s.id, i->session);
}

static void consent(struct http_req *req, void *ctx)
{
    struct op *op = op_new(ctx, req);
    struct interaction *i = take_form(op, req, STAGE_CONSENT, "consent");
    if (i == NULL) {
        return;
    }
    if (!still_signed_in(op, i)) {
        lost(op, "consent");
        return;
    }
    authorize_grant(op, &i->request, i->sub, i->session, i->auth_time, i->request.scopes);
    interaction_free(&op->n->interactions, i);
}

static void cancel(struct http_req *req, void *ctx)
{
    struct op *op = op_new(ctx, req);
    struct interaction *i = find(op, req);
    i = take_form(op, req, i != NULL ? i->stage : STAGE_LOGIN, "consent");
    if (i == NULL) {
        return;
    }
    op->event.class_uid = OCSF_AUTHORIZE_SESSION;
    op->event.actor_user = arena_str(&op->arena, i->sub);
    authorize_error(op, &i->request, "access_denied", S("the person refused"));
    interaction_free(&op->n->interactions, i);
    op_end(op, "consent", "denied", S("the person refused"));
}

void interaction_routes(struct authn *n, struct router *r)
{
    router_add(r, "GET", "/interaction/{id}", show, n);
    router_add(r, "POST", "/interaction/{id}/login", login, n);
    router_add(r, "POST", "/interaction/{id}/consent", consent, n);
    router_add(r, "POST", "/interaction/{id}/cancel", cancel, n);
}
