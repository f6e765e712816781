/* RP-initiated logout (OpenID Connect RP-Initiated Logout 1.0). */
#include "lib/base/clock.h"
#include "lib/base/codec.h"
#include "lib/daemon/daemon.h"

#include "pages.h"
#include "tokens.h"

struct logout {
    struct str redirect_uri, state, sid;
    bool hinted; /* a valid ID token of ours names this session */
};

/* The client, by hint or by client_id; both must agree. An unregistered target is not followed. */
static struct err read_logout(struct op *op, struct logout *l)
{
    const struct params *p = &op->params;
    struct str id = params_get(p, "client_id"), hint = params_get(p, "id_token_hint"),
               uri = params_get(p, "post_logout_redirect_uri");
    if (hint.n > 0) {
        struct own_token t;
        ENSURE(!failed(id_token_read(op->n, &op->arena, hint, &t)), ERR_INVALID,
               "id_token_hint is not an ID token of this provider");
        ENSURE(id.n == 0 || str_eq(id, t.client_id), ERR_INVALID,
               "client_id is not the audience of id_token_hint");
        id = t.client_id;
        l->sid = t.sid;
        l->hinted = true;
    }
    struct client *c = id.n > 0 ? clients_find(&op->n->clients, id) : NULL;
    ENSURE(id.n == 0 || c != NULL, ERR_INVALID, "unknown client");
    if (uri.n > 0) {
        ENSURE(c != NULL && str_list_has(&c->post_logout_uris, uri), ERR_INVALID,
               "post_logout_redirect_uri is not registered by this client");
        l->redirect_uri = uri;
        l->state = params_get(p, "state");
    }
    op->client = c != NULL ? client_ref(c) : NULL;
    return OK;
}

static struct err logout_write(struct op *op)
{
    struct logout *l = op->state;
    return l->sid.n > 0 ? session_end(op->n->store, l->sid, clock_wall_s(), authn_mark_s(op->n))
                        : OK;
}

static void logout_written(struct op *op, struct err e)
{
    struct logout *l = op->state;
    if (failed(e)) {
        op_fail(op, "logout", e);
        return;
    }
    authn_marks_written(op->n);
    op_header(op, "set-cookie",
              S("__Host-sextant=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0"));
    if (l->redirect_uri.n == 0) {
        page_signed_out(op);
        op_end(op, "logout", "allowed", STR_EMPTY);
        return;
    }
    struct buf b;
    buf_init(&b, 16 * 1024);
    buf_puts(&b, l->redirect_uri);
    if (l->state.n > 0) {
        buf_puts(&b, str_find_char(l->redirect_uri, '?') == STR_NPOS ? S("?state=") : S("&state="));
        percent_put(&b, l->state);
    }
    op_redirect(op, arena_str(&op->arena, buf_str(&b)));
    buf_release(&b);
    op_end(op, "logout", "allowed", STR_EMPTY);
}

/* The value in our form: a digest of the cookie that only this browser has. */
static struct str logout_csrf(struct op *op)
{
    uint8_t digest[SHA256_BYTES];
    struct str text = arena_printf(&op->arena, "logout %.*s", STR_FMT(op->session_cookie));
    sha256(text, digest);
    return base64_encode(&op->arena, str_n(digest, sizeof(digest)), BASE64_URL);
}

static void logout(struct http_req *req, void *ctx)
{
    struct op *op = op_new(ctx, req);
    struct logout *l = arena_new(&op->arena, struct logout);
    struct session s = {0};
    struct session_limits lim = authn_session_limits(op->n);
    op->state = l;
    bool ok = !failed(op_params(op, true));
    struct err e =
        ok ? read_logout(op, l) : err_make(ERR_INVALID, "malformed or repeated parameters");
    if (failed(e)) {
        page_error(op, 400, "Sign-out did not work", arena_str(&op->arena, str_of(err_detail())));
        op_end(op, "logout", "denied", str_of(err_detail()));
        return;
    }
    bool signed_in = op->session_cookie.n > 0 &&
                     !failed(session_by_cookie(op->n->store, &op->arena, op->session_cookie, &lim,
                                               clock_wall_s(), &s));
    struct str csrf = logout_csrf(op);
    bool confirmed = str_is(op->method, "POST") && signed_in &&
                     str_eq_secret(params_get(&op->params, "csrf"), csrf);
    bool same = l->hinted && signed_in && str_eq(l->sid, s.id);
    if (signed_in && !confirmed && !same) {
        page_logout(op, csrf, params_get(&op->params, "id_token_hint"), &op->params);
        op_send(op);
        return;
    }
    l->sid = signed_in ? s.id : l->sid;
    op->event.actor_user = s.sub;
    op->event.session = l->sid;
    op_store(op, logout_write, logout_written);
}

void logout_routes(struct authn *n, struct router *r)
{
    router_add(r, "GET", "/logout", logout, n);
    router_add(r, "POST", "/logout", logout, n);
}
