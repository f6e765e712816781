#include "mesh.h"

#include "lib/base/clock.h"

static const char *const tls_kinds[] = {"mesh", "people", NULL};
static const char *const protocols[] = {"auto", "http", "tcp", NULL};
static const char *const others[] = {"refuse", "plain", NULL};
static const char *const audits[] = {"all", "denied", NULL};
static const char *const paths[] = {"BASE", "NONE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES",
                                    NULL};

static const struct config_key inbound_keys[] = {
    {"listen", CONFIG_STR, offsetof(struct door_config, listen), .required = true,
     .help = "address, such as 0.0.0.0:8443"},
    {"port", CONFIG_INT, offsetof(struct door_config, port), .fallback = "0", .min = 0,
     .max = 65535, .help = "the workload's port, as policies name it; 0: that of listen"},
    {"to", CONFIG_STR, offsetof(struct door_config, to),
     .help = "the workload, such as 127.0.0.1:8080"},
    {"tls", CONFIG_STR, offsetof(struct door_config, tls), .fallback = "mesh", .choices = tls_kinds,
     .help = "mesh: as PeerAuthentication says; people: TLS without a client certificate"},
    {"protocol", CONFIG_STR, offsetof(struct door_config, protocol), .fallback = "auto",
     .choices = protocols, .help = "auto looks at the first bytes"},
    {0},
};

static const struct config_key outbound_keys[] = {
    {"listen", CONFIG_STR, offsetof(struct door_config, listen), .required = true,
     .help = "address the workload connects to"},
    {"to", CONFIG_STR, offsetof(struct door_config, to), .required = true,
     .help = "where it leads"},
    {"identity", CONFIG_STR, offsetof(struct door_config, identity),
     .help = "SPIFFE id that must be there; empty: no TLS"},
    {"protocol", CONFIG_STR, offsetof(struct door_config, protocol), .fallback = "auto",
     .choices = protocols, .help = "auto looks at the first bytes"},
    {0},
};

static const struct config_key destination_keys[] = {
    {"address", CONFIG_STR, offsetof(struct destination_config, address), .required = true,
     .help = "IP address, or address:port"},
    {"identity", CONFIG_STR, offsetof(struct destination_config, identity),
     .help = "SPIFFE id that must be there; empty: no TLS"},
    {0},
};

static const struct config_key provider_keys[] = {
    {"name", CONFIG_STR, offsetof(struct provider_config, name), .required = true,
     .help = "as CUSTOM policies call it"},
    {"address", CONFIG_STR, offsetof(struct provider_config, address), .required = true,
     .help = "gRPC ext_authz service: host:port or unix:/path"},
    {"timeout", CONFIG_DURATION, offsetof(struct provider_config, timeout_ns), .fallback = "2s",
     .min = 10 * NS_PER_MS, .max = 60 * NS_PER_S, .help = "no answer by then is an error"},
    {"fail_open", CONFIG_BOOL, offsetof(struct provider_config, fail_open), .fallback = "false",
     .help = "an error allows the request"},
    {"status_on_error", CONFIG_INT, offsetof(struct provider_config, status_on_error),
     .fallback = "403", .min = 400, .max = 599,
     .help = "answer to the client when the provider cannot be asked"},
    {0},
};

#define KEY(n, t, f) n, t, offsetof(struct mesh_options, f)

const struct config_key mesh_keys[] = {
    {KEY("uid", CONFIG_INT, uid), .fallback = "0", .min = 0, .max = INT32_MAX,
     .help = "own uid when started by root; identity knows the workload by it"},
    {KEY("namespace", CONFIG_STR, ns), .fallback = "default", .help = "namespace of the workload"},
    {KEY("labels", CONFIG_MAP, labels),
     .help = "labels of the workload, for selectors of policies"},
    {KEY("policies", CONFIG_STR, policies), .required = true,
     .help = "folder of security.istio.io YAML files; watched"},
    {KEY("workload_address", CONFIG_STR, workload_address), .fallback = "127.0.0.1",
     .help = "where the workload listens; empty: the address the client wanted"},
    {KEY("inbound_listen", CONFIG_STR, inbound_listen),
     .help = "receives what `intercept` redirects to the workload, usually 0.0.0.0:15006"},
    {KEY("outbound_listen", CONFIG_STR, outbound_listen),
     .help = "receives what `intercept` redirects from the workload, usually 127.0.0.1:15001"},
    {KEY("admin_listen", CONFIG_STR, admin_listen), .fallback = "127.0.0.1:15020",
     .help = "health, metrics and configuration; empty: none"},
    {KEY("inbound", CONFIG_SECTIONS, inbound), .keys = inbound_keys,
     .size = sizeof(struct door_config), .max = 64,
     .help = "listeners of their own, leading to the workload"},
    {KEY("outbound", CONFIG_SECTIONS, outbound), .keys = outbound_keys,
     .size = sizeof(struct door_config), .max = 64,
     .help = "listeners of their own, leading to others"},
    {KEY("destinations", CONFIG_SECTIONS, destinations), .keys = destination_keys,
     .size = sizeof(struct destination_config), .max = 10000,
     .help = "who must be where, for redirected connections"},
    {KEY("other_destinations", CONFIG_STR, other_destinations), .fallback = "refuse",
     .choices = others, .help = "redirected connections to addresses that are not listed"},
    {KEY("providers", CONFIG_SECTIONS, providers), .keys = provider_keys,
     .size = sizeof(struct provider_config), .max = 16,
     .help = "external authorizers of CUSTOM policies"},
    {KEY("ca_file", CONFIG_STR, ca_file),
     .help = "PEM file of authorities for key sets and revocations over https; empty: the "
             "machine's own"},
    {KEY("workload_api", CONFIG_STR, workload_api),
     .help = "socket of the Workload API; empty: that of identity in run_dir"},
    {KEY("denylist", CONFIG_STR, denylist), .help = "URL of identity's deny-list; empty: none"},
    {KEY("revocations", CONFIG_STR, revocations),
     .help = "URL of authn's revocations; empty: none"},
    {KEY("people_names", CONFIG_LIST, people_names),
     .help = "names and addresses in a certificate made here for people; empty: the SVID is shown"},
    {KEY("path_normalization", CONFIG_STR, path_normalization), .fallback = "BASE",
     .choices = paths, .help = "as Istio's mesh configuration has it"},
    {KEY("trust_domain_aliases", CONFIG_LIST, trust_domain_aliases),
     .help = "other names of the trust domain in principals"},
    {KEY("root_namespace", CONFIG_STR, root_namespace), .fallback = "istio-system",
     .help = "namespace whose policies hold everywhere"},
    {KEY("audit", CONFIG_STR, audit), .fallback = "all", .choices = audits,
     .help = "which decisions leave an event; denied is for measuring"},
    {KEY("clock_skew", CONFIG_DURATION, clock_skew_ns), .fallback = "30s", .min = 0,
     .max = 60 * NS_PER_S, .help = "how far the clock of a token's issuer may be off"},
    {KEY("mark", CONFIG_INT, mark), .fallback = "0", .min = 0, .max = UINT32_MAX,
     .help = "SO_MARK of own connections (needs CAP_NET_ADMIN); 0: none"},
    {0},
};
