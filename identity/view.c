/* Who a caller is, and what it is therefore given. */
#include "identity.h"

#include "lib/base/clock.h"

#include <time.h>

struct err view_peer(const struct identity *id, const struct http_req *req, struct attest_peer *out)
{
    const struct peer *p = req->peer;
    ENSURE(p->kind == PEER_UNIX, ERR_UNAVAILABLE,
           "the Workload API is served on its unix socket alone");
    ENSURE(p->pidfd >= 0 || str_is(id->cfg->peer_pidfd, "preferred"), ERR_UNAVAILABLE,
           "this kernel has no SO_PEERPIDFD (Linux 6.5); set identity.peer_pidfd to preferred to "
           "go by pid and start time");
    struct timespec t;
    BUG_ON(clock_gettime(CLOCK_BOOTTIME, &t) != 0);
    *out = (struct attest_peer){.pid = p->pid,
                                .uid = p->uid,
                                .gid = p->gid,
                                .pidfd = p->pidfd,
                                .connected_ns = (int64_t)t.tv_sec * NS_PER_S + t.tv_nsec};
    return OK;
}

struct err view_caller(struct identity *id, const struct attest_peer *p, struct view *out)
{
    struct strs selectors;
    struct entry *matched[REGISTRY_MATCH_MAX];
    TRY(attest_process(p, id->registry.hashed > 0, &selectors));
    size_t n = registry_match(&id->registry, &selectors, clock_wall_s(), matched);
    strs_release(&selectors);
    *out = (struct view){.n = 0};
    for (size_t i = 0; i < n; i++) {
        if (denylist_has(&id->deny, "spiffe_id", matched[i]->spiffe_id)) {
            out->banned = true;
        } else {
            out->entries[out->n++] = matched[i];
        }
    }
    return OK;
}

void view_drop_svid(struct entry *e)
{
    svid_unref(e->svid);
    e->svid = NULL;
}

struct err view_svid(struct identity *id, struct entry *e, struct svid **out, bool *made)
{
    int64_t now = clock_wall_s(),
            ttl = e->x509_ttl_s > 0 ? e->x509_ttl_s : id->cfg->x509_ttl_ns / NS_PER_S;
    *made = e->svid == NULL || now >= e->svid->renew_s;
    if (*made) {
        struct svid *fresh;
        struct svid_request r = {
            .spiffe_id = e->spiffe_id, .names = &e->dns_names, .ttl_s = ttl, .now_s = now};
        TRY(ca_issue(&id->ca, &r, &fresh));
        view_drop_svid(e);
        e->svid = fresh;
        denylist_issued(&id->deny, e->spiffe_id, str_n(fresh->serial, CA_SERIAL),
                        fresh->not_after_s);
    }
    id->renew_due_s = MIN(id->renew_due_s, e->svid->renew_s);
    *out = e->svid;
    return OK;
}

size_t view_federated(const struct identity *id, const struct view *v, const struct federated **out,
                      size_t max)
{
    size_t n = 0;
    for (size_t i = 0; i < v->n; i++) {
        const struct strs *with = &v->entries[i]->federates_with;
        for (size_t k = 0; k < with->n && n < max; k++) {
            const struct federated *f = federation_get(&id->federation, with->items[k]);
            bool seen = f == NULL;
            for (size_t j = 0; j < n && !seen; j++) {
                seen = out[j] == f;
            }
            if (!seen) {
                out[n++] = f;
            }
        }
    }
    return n;
}

struct err identity_bundle(struct identity *id, struct spiffe_bundle *out)
{
    ENSURE(ca_ready(&id->ca), ERR_UNAVAILABLE, "the authority is not ready");
    struct spiffe_bundle b = {.jwt = jwks_ref(id->ca.jwt),
                              .wit = jwks_new(),
                              .has_sequence = true,
                              .sequence = id->ca.sequence,
                              .refresh_hint_s = id->cfg->refresh_hint_ns / NS_PER_S};
    struct err e = x509_anchors_new(&b.x509);
    if (!failed(e)) {
        e = x509_anchors_add(b.x509, id->ca.root);
    }
    if (failed(e)) {
        spiffe_bundle_release(&b);
        return e;
    }
    *out = b;
    return OK;
}
