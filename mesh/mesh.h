/*
 * mesh: the sidecar of one workload. What its files share.
 *
 * A door is a listener; a flow is one accepted connection through it. An inbound flow leads to the
 * workload: it is checked (mutual TLS, tokens, policy, deny-list) before a byte reaches the workload.
 * An outbound flow leads from the workload to others: it is given mutual TLS with the workload's
 * identity, and the other end must be who the configuration says.
 *
 * The policies in force are an epoch: immutable, counted, replaced by one pointer. After each replacement,
 * and after each change of identity, trust or deny-list, every live flow is judged again (recheck.c).
 */
#ifndef SEXTANT_MESH_H
#define SEXTANT_MESH_H

#include "lib/base/map.h"
#include "lib/daemon/daemon.h"
#include "lib/grpc/grpc.h"
#include "lib/http/http.h"
#include "lib/json/json.h"
#include "lib/tls/tls.h"
#include "mesh/policy/policy.h"
#include "mesh/upstream.h"

enum {
    MESH_BUFFER_MAX =
        256 * 1024, /* bytes under way in one direction of a flow before the sender waits */
    MESH_SNIFF_MAX = 16 * 1024, /* first bytes looked at */
    MESH_SNIFF_MS = 200,        /* a client that says nothing speaks neither TLS nor HTTP */
    MESH_HANDSHAKE_MS = 10000,
    MESH_FLOWS_MAX = 20000,
    MESH_POLICY_BYTES_MAX = 16 << 20,
    MESH_POLICY_FILES_MAX = 4096,
    MESH_DENIED_MAX = 100000, /* entries of the deny-list */
    MESH_HEADERS_ADDED = 24,
};

struct str_pair {
    struct str a, b;
};

/* ---- configuration ---- */

struct door_config {
    struct str listen;
    int64_t port;   /* inbound: the workload's port that policy speaks of; 0: the listener's own */
    struct str to;  /* where it leads: "127.0.0.1:8080", "10.77.2.2:8080" */
    struct str tls; /* inbound: mesh (as PeerAuthentication says), people (no client certificate) */
    struct str identity; /* outbound: SPIFFE id that must be there; empty: no TLS */
    struct str protocol; /* auto, http, tcp */
};

struct destination_config {
    struct str address;  /* "10.77.2.2" or "10.77.2.2:8080" */
    struct str identity; /* SPIFFE id; empty: plain on purpose */
};

struct provider_config {
    struct str name, address;
    int64_t timeout_ns;
    bool fail_open;
    int64_t status_on_error;
};

struct mesh_options {
    int64_t uid;
    struct str ns;
    struct config_map labels;
    struct str policies;
    struct str workload_address;
    struct str inbound_listen, outbound_listen; /* of interception; empty: none */
    struct str admin_listen;
    struct config_items inbound, outbound; /* struct door_config */
    struct config_items destinations;      /* struct destination_config */
    struct str other_destinations;         /* refuse, plain */
    struct config_items providers;         /* struct provider_config */
    struct str ca_file;                    /* trusted for key sets and revocations over https */
    struct str workload_api;
    struct str denylist, revocations; /* URLs; empty: none */
    struct config_list people_names;  /* names of the certificate for doors of kind people */
    struct str path_normalization;
    struct config_list trust_domain_aliases;
    struct str root_namespace;
    struct str audit; /* all, denied */
    int64_t mark, clock_skew_ns;
};

/* ---- policies in force ---- */

struct epoch {
    unsigned refs;
    struct arena arena;
    struct mesh_policies *all;
    const struct mesh_set *set;
    struct str *sources; /* names of the files, for messages */
    size_t n_sources;
};

struct mesh;
struct door;

enum direction { INBOUND, OUTBOUND };

struct flow {
    struct mesh *m;
    struct flow *prev, *next;
    const struct door *door;
    struct conn *conn;    /* the downstream one; NULL when gone */
    struct relay *relay;  /* when bytes are relayed as they are */
    struct px *exchanges; /* HTTP requests under way */
    struct timer *sniff_timer;
    struct buf first; /* bytes looked at but not yet passed on */
    char dst[64];     /* where the client wanted to go: "ip:port" */
    struct ip dst_ip, src_ip;
    char src_text[IP_TEXT_MAX + 1];
    char *xfcc;        /* owned; what x-forwarded-client-cert says of the peer */
    uint16_t port;     /* of the workload (inbound) or the destination (outbound) */
    char *peer_id;     /* owned; SPIFFE id of the verified peer; NULL: none */
    char *peer_hash;   /* owned; SHA-256 of the peer's certificate, hexadecimal */
    char *peer_serial; /* owned; of that certificate, hexadecimal */
    char *sni;         /* owned */
    bool http, tls, handed_over;
};

struct door {
    struct mesh *m;
    enum direction dir;
    bool intercepted; /* the destination is that of the original packet */
    bool people;
    enum { PROTO_AUTO, PROTO_HTTP, PROTO_TCP } protocol;
    const struct door_config *config; /* NULL for the two of interception */
    struct listener *listener;
    struct door *next;
};

struct provider {
    struct mesh_provider policy; /* what the policy engine sees; ctx points here */
    const struct provider_config *config;
    struct grpc_client *client;
};

struct mesh {
    struct daemon *d;
    const struct mesh_options *o;
    struct loop *loop;
    struct epoch *epoch;
    struct door *doors;
    struct flow *flows;
    size_t n_flows;
    struct tls_server *tls_mesh, *tls_people;
    struct tls_client *tls_h1, *tls_h2, *tls_tcp, *tls_web;
    struct upstream *up;
    struct http_server *http; /* serves adopted connections */
    struct http_server *admin;
    struct router admin_routes;
    struct http_client *web; /* key sets, revocations over https */
    struct provider *providers;
    struct mesh_provider *policy_providers;
    size_t n_providers;
    struct map key_sets; /* jwks_uri -> struct jwks_cache */
    struct map denied;   /* SPIFFE id -> something */
    struct map revoked;  /* "kind value" -> struct revocation */
    struct feed *denylist, *revocations;
    struct dir_watch *policy_watch;
    struct svid_source *svid;
    struct dependency *svid_dep;
    char *own_id;   /* owned; our SPIFFE id, from the SVID */
    bool withdrawn; /* identity says that we are nobody now */
    bool api_away;  /* the Workload API is out of reach */
    bool stopping;
};

extern const struct config_key mesh_keys[];
const struct sandbox_profile *mesh_sandbox(struct arena *a, const struct config *c,
                                           const void *section);

/* setup.c */
struct err mesh_make(struct mesh *m); /* m->d, m->o and m->loop are set */
void mesh_unmake(struct mesh *m);

/* epoch.c */
struct err epoch_load(struct mesh *m, struct epoch **out);
struct epoch *epoch_ref(struct epoch *e);
void epoch_unref(struct epoch *e);
struct err mesh_read_policies(struct arena *a, const char *dir, struct json ***docs, size_t *n,
                              struct str **sources, size_t *n_sources);
void mesh_reload_policies(struct mesh *m);
struct err mesh_watch_policies(struct mesh *m);

/* flow.c */
struct err doors_open(struct mesh *m);
void doors_close(struct mesh *m);
void flow_end(struct flow *f);                  /* the downstream connection is gone */
void flow_cut(struct flow *f, const char *why); /* break it off now */

/* hello.c: does a ClientHello offer one of the mesh's own protocols? */
enum hello { HELLO_PARTIAL, HELLO_MESH, HELLO_OTHER, HELLO_NONE };
enum hello hello_look(struct str bytes);

/* relay.c */
void relay_start(struct flow *f);
void relay_cut(struct relay *r);
void relay_judge(struct relay *r); /* the decision again; cuts when it is another */

/* proxy.c */
void proxy_request(struct http_req *req, void *mesh);
void proxy_judge(struct px *px);
struct px *proxy_next(const struct px *px);
enum mesh_path_mode mesh_path_mode_of(const struct mesh *m);
void proxy_conn_closed(void *flow);

/* target.c: where an outbound flow leads, and who must be there */
struct target {
    char address[64];
    struct str identity; /* empty: plain */
    const char *refused; /* why nothing may be sent there now; NULL: it may */
};
void target_of(struct mesh *m, const struct flow *f, struct target *out);

/* decide.c */
void flow_request(const struct flow *f,
                  struct mesh_request *out); /* the part a connection decides */
void audit_decision(struct mesh *m, const struct flow *f, const struct http_req *req,
                    const struct mesh_decision *d, const char *outcome, struct str user,
                    const struct trace *trace, void (*done)(void *ctx, struct err e), void *ctx);

/* check.c: external authorization */
struct check_result {
    bool allowed;
    int status; /* when denied */
    struct str body;
    struct http_header *headers; /* denied: for the answer; allowed: for the upstream request */
    size_t n_headers;
    struct str *remove; /* allowed: request headers to take away */
    size_t n_remove;
    const char *reason;
};
struct check;
/* `done` once, never before this returns, unless check_cancel came first. */
struct check *check_start(struct provider *p, const struct flow *f, const struct http_req *req,
                          struct str path, const struct json *claims,
                          void (*done)(void *ctx, const struct check_result *r), void *ctx);
void check_cancel(struct check *c);
struct err providers_open(struct mesh *m);
void providers_close(struct mesh *m);

/* tokens.c */
enum mesh_jwt_verdict mesh_verify_token(void *mesh_px_arena, const struct mesh_jwt_rule *rule,
                                        struct str token, const struct json **claims);
struct token_ctx {
    struct mesh *m;
    struct arena *arena;
};
struct err tokens_prepare(struct mesh *m, struct epoch *e);
void tokens_close(struct mesh *m);

/* feed.c: deny-list and revocations, held open */
struct err feeds_open(struct mesh *m);
void feeds_close(struct mesh *m);
bool mesh_is_denied(const struct mesh *m, const struct flow *f);
bool mesh_id_is_denied(const struct mesh *m, struct str spiffe_id);
bool mesh_token_revoked(const struct mesh *m, const struct json *claims);

/* recheck.c */
void mesh_recheck(struct mesh *m, const char *why);

/* admin.c */
struct err admin_open(struct mesh *m);
void admin_close(struct mesh *m);

/* headers.c */
struct head {
    struct http_header *h;
    size_t n, cap;
    struct arena *arena;
};
void head_init(struct head *h, struct arena *a, const struct http_header *from, size_t n,
               size_t extra);
void head_remove(struct head *h, struct str lower_name);
void head_remove_prefix(struct head *h, struct str prefix);
void head_add(struct head *h, struct str lower_name, struct str value);
void head_set(struct head *h, struct str lower_name, struct str value);
/* Without the headers of one connection: Connection and what it names, and their like. */
void head_end_to_end(struct head *h);

/* intercept.c, analyze.c: subcommands */
int mesh_cmd_intercept(struct daemon *d, int argc, char **argv);
int mesh_cmd_analyze(struct daemon *d, int argc, char **argv);

#endif
