#include "daemon_priv.h"

#include "lib/base/log.h"
#include "lib/spiffe/svid_source.h"

static void on_svid(void *ctx, struct svid_source *s, struct err e)
{
    struct daemon *d = ctx;
    if (failed(e) && d->priv->svid_missing) {
        return; /* said already; the source tries on */
    }
    d->priv->svid_missing = failed(e);
    if (failed(e)) {
        log_warn("no SVID", {"error", LOG_CSTR(err_detail())});
        if (d->priv->svid_dep != NULL) {
            daemon_lost(d->priv->svid_dep, "identity gives no SVID");
        }
        return;
    }
    log_info("SVID received", {"id", LOG_STR(svid_source_id(s))});
    if (d->priv->svid_dep != NULL) {
        daemon_have(d->priv->svid_dep);
    }
}

struct err daemon_start_svid(struct daemon *d)
{
    if ((d->spec->needs & (DAEMON_NEEDS_SVID | DAEMON_WANTS_SVID)) == 0) {
        return OK;
    }
    if ((d->spec->needs & DAEMON_NEEDS_SVID) != 0) {
        d->priv->svid_dep = daemon_need(d, "identity");
    }
    return svid_source_start(d->loop, daemon_socket(d, "identity", "workload.sock"), on_svid, d,
                             &d->svid);
}

void daemon_stop_svid(struct daemon *d)
{
    svid_source_free(d->svid);
}
