#include "admin.h"

#include "lib/daemon/daemon.h"

#include <unistd.h>

static bool is_admin(struct op *op)
{
    bool ours = op->uid != (uid_t)-1 && (op->uid == 0 || op->uid == geteuid());
    const struct config_list *admins = &op->n->config->admins;
    for (size_t i = 0; i < admins->n && !ours; i++) {
        struct str id = admins->items[i];
        if (!str_starts(id, S("spiffe://"))) {
            id = arena_printf(&op->arena, "spiffe://%.*s/sextant/%.*s",
                              STR_FMT(op->n->daemon->trust_domain), STR_FMT(id));
        }
        ours = op->peer_id.n > 0 && str_eq(id, op->peer_id);
    }
    return ours;
}

struct op *admin_op(struct authn *n, struct http_req *req, enum ocsf_class class_uid,
                    const char *activity)
{
    struct op *op = op_new(n, req);
    op->event.class_uid = class_uid;
    if (is_admin(op)) {
        if (op->peer_id.n == 0) {
            op->event.actor_user = arena_printf(&op->arena, "uid:%u", (unsigned)op->uid);
        }
        return op;
    }
    ignore_err(err_make(
        ERR_DENIED,
        "this API is for root, for the daemon's own user and for the SPIFFE ids of authn.admins"));
    op_error(op, (struct err){ERR_DENIED});
    op_end(op, activity, "denied", S("not an administrator"));
    return NULL;
}

void admin_refuse(struct op *op, const char *activity, struct err e)
{
    struct str reason = arena_str(&op->arena, str_of(err_detail()));
    op_error(op, e);
    op_end(op, activity, e.code == ERR_IO || e.code == ERR_INTERNAL ? "failed" : "denied", reason);
}

void admin_done(struct op *op, const char *activity)
{
    if (op->status == 0) {
        op_answer(op, 200, S("application/json"), S("{\"ok\":true}"));
    }
    op_end(op, activity, "allowed", STR_EMPTY);
}
