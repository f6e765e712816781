#include "mesh.h"

#include <stdio.h>

static bool address_matches(struct str config, struct str dst, size_t host_len)
{
    return str_eq(config, dst) || str_eq(config, str_sub(dst, 0, host_len));
}

/*
 * The identity that must be at a destination. An entry with a port is more particular than one without.
 * What is not listed is refused, or plain when the configuration says so.
 */
static void look_up(struct mesh *m, struct str dst, struct target *out)
{
    const struct destination_config *all = m->o->destinations.items, *best = NULL;
    size_t colon = str_rfind_char(dst, ':');
    for (size_t i = 0; i < m->o->destinations.n; i++) {
        if (!address_matches(all[i].address, dst, colon == STR_NPOS ? dst.n : colon)) {
            continue;
        }
        if (best == NULL || str_eq(all[i].address, dst)) {
            best = &all[i];
        }
    }
    if (best != NULL) {
        out->identity = best->identity;
    } else if (!str_is(m->o->other_destinations, "plain")) {
        out->refused = "destination not listed";
    }
}

/* Who lost their identity call nobody in its name, and nobody is called who lost theirs. */
static void check_identities(const struct mesh *m, struct target *out)
{
    if (out->identity.n == 0 || out->refused != NULL) {
        return;
    }
    if (m->withdrawn) {
        out->refused = "the workload's identity is withdrawn";
    } else if (mesh_id_is_denied(m, out->identity)) {
        out->refused = "the destination's identity is on the deny-list";
    }
}

void target_of(struct mesh *m, const struct flow *f, struct target *out)
{
    *out = (struct target){.identity = STR_EMPTY};
    const struct door_config *c = f->door->config;
    if (f->door->dir == INBOUND) {
        struct str host = m->o->workload_address;
        if (c != NULL && c->to.n > 0) {
            snprintf(out->address, sizeof(out->address), "%.*s", STR_FMT(c->to));
        } else if (host.n > 0) {
            snprintf(out->address, sizeof(out->address), "%.*s:%u", STR_FMT(host), f->port);
        } else {
            snprintf(out->address, sizeof(out->address), "%s", f->dst);
        }
        return;
    }
    if (c != NULL) {
        snprintf(out->address, sizeof(out->address), "%.*s", STR_FMT(c->to));
        out->identity = c->identity;
    } else {
        snprintf(out->address, sizeof(out->address), "%s", f->dst);
        look_up(m, str_of(f->dst), out);
    }
    check_identities(m, out);
}
