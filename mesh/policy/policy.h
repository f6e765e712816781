/*
 * policy: Istio's security API (security.istio.io/v1 and v1beta1) as a pure decision engine.
 *
 * Documents are loaded once into an immutable `struct mesh_policies` that lives in the caller's
 * arena (an epoch: build the next one aside, swap the pointer, free the old arena when its last
 * user is gone). From it the effective set of one workload is taken once, and every connection or
 * request of that workload is then decided against the set without allocation of its own.
 * Nothing here does I/O.
 *
 *     struct mesh_policies *all;
 *     TRY(mesh_policies_load(&arena, docs, n_docs, &config, &all));
 *     const struct mesh_set *set = mesh_policies_for(&arena, all, &workload);
 *     if (mesh_mtls_mode(set, 8080) == MESH_MTLS_STRICT && plaintext) close;
 *     struct mesh_decision d = mesh_authz_decide(set, &request);
 *     if (d.verdict == MESH_CUSTOM) { ask d.provider; when it allows: d = mesh_authz_decide_after_custom(...) }
 *
 * A document that does not pass the admission rules is an error of the load: the caller keeps the
 * epoch it has (fail closed). Semantics follow the sidecar, not the ambient node proxy.
 */
#ifndef SEXTANT_MESH_POLICY_H
#define SEXTANT_MESH_POLICY_H

#include "lib/base/arena.h"
#include "lib/base/ip.h"
#include "lib/json/json.h"

/* --- configuration ------------------------------------------------------------------------- */

enum mesh_path_mode {
    MESH_PATH_BASE, /* the default: dot segments, backslashes, unreserved escapes */
    MESH_PATH_NONE,
    MESH_PATH_MERGE_SLASHES,
    MESH_PATH_DECODE_AND_MERGE_SLASHES,
};

/* An external authorizer that CUSTOM policies name. The mesh does the calling. */
struct mesh_provider {
    struct str name;
    bool http; /* HTTP check service; else Envoy ext_authz gRPC. HTTP does not apply to TCP */
    bool fail_open;
    int status_on_error; /* 0 means 403 */
    void *ctx;           /* the caller's */
};

struct mesh_config {
    struct str root_namespace; /* empty means istio-system */
    struct str trust_domain;   /* empty means cluster.local */
    const struct str *trust_domain_aliases;
    size_t n_trust_domain_aliases;
    enum mesh_path_mode path_mode;
    const struct mesh_provider *providers; /* must outlive the policies */
    size_t n_providers;
    /*
     * Path templates as Envoy matches them: a segment that holds '=' or '*' matches no operator,
     * so a DENY can be slipped past with one. False (the default): {*} is any one segment.
     */
    bool envoy_path_templates;
};

/* --- loading ------------------------------------------------------------------------------- */

enum {
    MESH_POLICIES_MAX = 16384, /* documents in one load */
    MESH_RULES_MAX = 512,      /* rules of one policy; from and to of one rule */
    MESH_LABELS_MAX = 4096,
    MESH_JWT_RULES_MAX = 4096,
    MESH_TARGET_REFS_MAX = 16,
};

struct mesh_policies;
struct mesh_set; /* what holds for one workload */

/*
 * Reads parsed documents; kinds and API groups that are not ours are passed over. `docs` must
 * outlive the result. ERR_INVALID with line and column and the reason of the first bad document;
 * ERR_LIMIT.
 */
struct err mesh_policies_load(struct arena *a, struct json *const *docs, size_t n_docs,
                              const struct mesh_config *config, struct mesh_policies **out);

size_t mesh_policies_count(const struct mesh_policies *all);

struct mesh_label {
    struct str key, value;
};

struct mesh_workload {
    struct str ns;
    const struct mesh_label *labels;
    size_t n_labels;
};

/* The policies that select the workload, merged and in order. Never NULL; lives in `a`. */
const struct mesh_set *mesh_policies_for(struct arena *a, const struct mesh_policies *all,
                                         const struct mesh_workload *workload);

/*
 * Admission check of one document, as the control plane's webhook and CRD schema do it. ERR_INVALID
 * says why; on success `*warning` is a sentence in `a`, or empty.
 */
struct err mesh_policy_validate(struct arena *a, const struct json *doc, struct str *warning);

/* --- peer authentication ------------------------------------------------------------------- */

enum mesh_mtls_mode { MESH_MTLS_UNSET, MESH_MTLS_DISABLE, MESH_MTLS_PERMISSIVE, MESH_MTLS_STRICT };

/* The mode of a port of the workload itself (not of a service). Never UNSET. */
enum mesh_mtls_mode mesh_mtls_mode(const struct mesh_set *set, uint16_t port);
const char *mesh_mtls_mode_name(enum mesh_mtls_mode mode);

/* --- authorization ------------------------------------------------------------------------- */

/* Same layout as the HTTP library's header: name in lower case. */
struct mesh_header {
    struct str name, value;
};

struct mesh_request {
    bool http;           /* false: a TCP connection; then only the first group below counts */
    struct str peer_id;  /* verified SPIFFE id of the peer, spiffe://...; empty: plaintext */
    struct ip source_ip; /* direct peer */
    struct ip remote_ip; /* original client (X-Forwarded-For, PROXY); family 0: source_ip */
    struct ip destination_ip;
    uint16_t destination_port; /* the workload's own port */
    struct str sni;

    struct str host; /* :authority or Host as sent, with the port if there was one */
    struct str method;
    struct str path; /* normalised by mesh_path_normalise; a query is ignored */
    const struct mesh_header *headers;
    size_t n_headers;
    const struct json *claims; /* payload of the verified token, or NULL */
    /* {"filter name": {"key": value}} for experimental.envoy.filters, or NULL */
    const struct json *metadata;
};

enum mesh_verdict { MESH_DENY, MESH_ALLOW, MESH_CUSTOM };

struct mesh_decision {
    enum mesh_verdict verdict;
    /* ns[NS]-policy[NAME]-rule[i] of the rule that decided; empty when no rule did. Lives as long as the set. */
    struct str policy_key;
    const char *reason;                   /* static text, e.g. "no ALLOW policy matches" */
    const struct mesh_provider *provider; /* CUSTOM only */
    struct str audit_key;                 /* first AUDIT rule that matched, or empty */
    struct str dry_run_key;               /* first dry-run rule that matched, or empty */
};

/* Fail closed: anything that cannot be evaluated (unknown provider, no address) is a denial. */
struct mesh_decision mesh_authz_decide(const struct mesh_set *set, const struct mesh_request *req);
/* The rest of the evaluation, once the provider of a CUSTOM decision has allowed the request. */
struct mesh_decision mesh_authz_decide_after_custom(const struct mesh_set *set,
                                                    const struct mesh_request *req);
/* Does any policy of the set need HTTP fields, and so a parsed request? */
bool mesh_set_needs_http(const struct mesh_set *set);

/* --- request authentication ---------------------------------------------------------------- */

struct mesh_jwt_header {
    struct str name, prefix; /* name in lower case; prefix as written, "Bearer " by default */
};

struct mesh_claim_header {
    struct str header, claim; /* claim: a dotted path */
};

struct mesh_jwt_rule {
    struct str issuer;
    struct str *audiences;
    size_t n_audiences;  /* none: any audience */
    struct str jwks_uri; /* empty when jwks is inline */
    struct str jwks;     /* inline JSON text */
    struct mesh_jwt_header *from_headers;
    size_t n_from_headers;
    struct str *from_params;
    size_t n_from_params;
    struct str *from_cookies;
    size_t n_from_cookies;
    struct str output_payload_to_header; /* lower case; empty: none */
    bool forward_original_token;
    struct mesh_claim_header *output_claims;
    size_t n_output_claims;
    struct str *space_delimited;
    size_t n_space_delimited; /* beside scope and permission */
    int64_t timeout_ms;
    struct str policy_key; /* ns[NS]-policy[NAME]-rule[i] */
    void *user;            /* for the caller: its key set for this rule; starts NULL */
};

/* All rules that hold for the workload, ordered by issuer. */
struct mesh_jwt_rule *mesh_jwt_rules(const struct mesh_set *set, size_t *n);

enum mesh_jwt_verdict {
    MESH_JWT_OK,
    MESH_JWT_INVALID,  /* signature, issuer, times: 401 */
    MESH_JWT_AUDIENCE, /* valid but for another audience: 403 */
    MESH_JWT_NO_KEYS,  /* the key set cannot be had: 401 */
};

/*
 * Verifies one token under one rule: signature, issuer (empty rule issuer: any), times, audiences.
 * On MESH_JWT_OK writes the claims. Given by the caller, which owns lib/jose and the key cache.
 */
typedef enum mesh_jwt_verdict (*mesh_jwt_verify_fn)(void *ctx, const struct mesh_jwt_rule *rule,
                                                    struct str token, const struct json **claims);

struct mesh_http {
    struct str method, query /* after '?', raw */;
    const struct mesh_header *headers;
    size_t n_headers;
};

struct mesh_jwt_outcome {
    int status;         /* 200, 401 or 403 */
    const char *reason; /* static text */
    /* of the accepted token, for mesh_request.claims; NULL without one */
    const struct json *claims;
    const struct mesh_jwt_rule *rule; /* that accepted it */
    struct str *remove_headers;
    size_t n_remove_headers; /* from the request sent upstream */
    struct mesh_header *set_headers;
    size_t n_set_headers; /* to it, after the removal */
    struct str
        remove_param; /* query parameter that held the token and must not go upstream, or empty */
};

/*
 * The whole of RequestAuthentication for one request: finds tokens where the rules look for them,
 * verifies them, and says what goes upstream. Headers that rules would set are always removed
 * first, token or not, so that a client cannot forge them. CORS preflight passes.
 */
void mesh_jwt_check(struct arena *a, const struct mesh_set *set, const struct mesh_http *req,
                    mesh_jwt_verify_fn verify, void *ctx, struct mesh_jwt_outcome *out);

/* --- paths --------------------------------------------------------------------------------- */

/*
 * The path that policy and the workload both see. `target` is the request target up to (and
 * without) '?'; a fragment is cut. The normalised form must be what is sent upstream.
 * ERR_INVALID (answer 400) for %00. But for MESH_PATH_NONE a path that climbs above the root is
 * clamped to it.
 */
struct err mesh_path_normalise(struct arena *a, enum mesh_path_mode mode, struct str target,
                               struct str *out);

/* --- findings ------------------------------------------------------------------------------ */

struct mesh_finding {
    const char *code; /* IST0106 ..., or SXM0001 ... for findings of our own */
    enum { MESH_INFO, MESH_WARNING, MESH_ERROR } level;
    struct str resource; /* Kind ns/name */
    unsigned line;
    struct str text; /* what is wrong and what would be right */
};

struct mesh_workload_info {
    struct str name;
    struct mesh_workload workload;
    const uint16_t *tcp_ports; /* ports known to carry plain TCP */
    size_t n_tcp_ports;
};

/* What the policies are held against; what is not known (NULL, 0) is not judged. */
struct mesh_surroundings {
    const struct mesh_workload_info *workloads;
    size_t n_workloads;
    const struct str *namespaces;
    size_t n_namespaces;
};

/* Findings of a static look over all policies, in the order of the policies. They live in `a`. */
void mesh_policies_analyze(struct arena *a, const struct mesh_policies *all,
                           const struct mesh_surroundings *around, struct mesh_finding **findings,
                           size_t *n);

#endif
