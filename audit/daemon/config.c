#include "audit_daemon.h"

#include "lib/base/clock.h"

#define KEY(name) offsetof(struct audit_config, name)
#define EXPECT(name) offsetof(struct expect_config, name)

static const struct config_key expect_keys[] = {
    {"identity", CONFIG_STR, EXPECT(identity), .required = true,
     .help = "SPIFFE id or person; a prefix when it ends in *"},
    {"secrets", CONFIG_LIST, EXPECT(secrets),
     .help = "prefixes of the secret paths it may be seen at"},
    {"namespaces", CONFIG_LIST, EXPECT(namespaces), .help = "namespaces it works in"},
    {"resources", CONFIG_LIST, EXPECT(resources), .help = "prefixes of the resources it works on"},
    {"regions", CONFIG_LIST, EXPECT(regions), .help = "regions it is placed in"},
    {0},
};

const struct config_key audit_keys[] = {
    {"listen", CONFIG_STR, KEY(listen), .fallback = "127.0.0.1:8600",
     .help = "HTTPS address of the query API and the log's tiles; empty: the unix socket alone"},
    {"origin", CONFIG_STR, KEY(origin),
     .help = "name of the log in its checkpoints; default TRUST_DOMAIN/sextant-audit. Not to be "
             "changed"},
    {"checkpoint_key", CONFIG_STR, KEY(key_name), .fallback = "audit-checkpoint",
     .help = "Ed25519 key in crypto that signs checkpoints"},
    {"checkpoint_interval", CONFIG_DURATION, KEY(checkpoint_ns), .fallback = "500ms",
     .min = 10 * NS_PER_MS, .max = 60 * NS_PER_S,
     .help = "a new event is under a checkpoint within this"},
    {"readers", CONFIG_LIST, KEY(readers),
     .help =
         "SPIFFE ids that may ask over HTTPS; default: respond and console of the trust domain"},
    {"expect", CONFIG_SECTIONS, KEY(expect), .keys = expect_keys,
     .size = sizeof(struct expect_config), .max = 10000,
     .help = "what identities are expected to do; anything else is an alert"},
    {"syslog", CONFIG_STR, KEY(syslog),
     .help = "address (host:port) of a syslog receiver over TCP (RFC 5424, "
             "octet counting); empty: none"},
    {"export_file", CONFIG_STR, KEY(syslog_file),
     .help = "file in the state folder that gets every event as a JSON line; empty: none"},
    {"syslog_facility", CONFIG_STR, KEY(facility), .fallback = "13",
     .help = "syslog facility: 13 is log audit, 10 authpriv"},
    {0},
};

struct str audit_origin(struct arena *a, const struct daemon *d)
{
    const struct audit_config *c = d->section;
    return c->origin.n > 0 ? c->origin
                           : arena_printf(a, "%.*s/sextant-audit", STR_FMT(d->trust_domain));
}

void audit_expectations(struct daemon *d, struct expectations *out)
{
    const struct audit_config *c = d->section;
    const struct expect_config *from = c->expect.items;
    struct expectation *to = arena_array(&d->boot, struct expectation, c->expect.n + 1);
    for (size_t i = 0; i < c->expect.n; i++) {
        to[i] = (struct expectation){
            .identity = from[i].identity,
            .secrets = from[i].secrets.items,
            .n_secrets = from[i].secrets.n,
            .namespaces = from[i].namespaces.items,
            .n_namespaces = from[i].namespaces.n,
            .resources = from[i].resources.items,
            .n_resources = from[i].resources.n,
            .regions = from[i].regions.items,
            .n_regions = from[i].regions.n,
        };
    }
    *out = (struct expectations){to, c->expect.n};
}
