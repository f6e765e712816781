/* What the files of mesh/policy share: policies as read, ready to be matched. */
#ifndef SEXTANT_MESH_POLICY_PRIV_H
#define SEXTANT_MESH_POLICY_PRIV_H

#include "policy.h"

enum mesh_field {
    FIELD_PRINCIPAL,
    FIELD_NAMESPACE,
    FIELD_SERVICE_ACCOUNT,
    FIELD_TRUST_DOMAIN,
    FIELD_REQUEST_PRINCIPAL,
    FIELD_SOURCE_IP,
    FIELD_REMOTE_IP,
    FIELD_HOST,
    FIELD_PORT,
    FIELD_METHOD,
    FIELD_PATH,
    FIELD_HEADER,
    FIELD_AUDIENCE,
    FIELD_PRESENTER,
    FIELD_CLAIM,
    FIELD_DESTINATION_IP,
    FIELD_SNI,
    FIELD_METADATA,
};

bool mesh_field_needs_http(enum mesh_field f);
bool mesh_field_is_identity(enum mesh_field f); /* of the mTLS peer */
bool mesh_field_is_token(enum mesh_field f);    /* of the request's JWT */

enum pattern_kind {
    PATTERN_EXACT,
    PATTERN_PREFIX,
    PATTERN_SUFFIX,
    PATTERN_PRESENT,
    PATTERN_TEMPLATE
};

/* One value of a field, read according to the field. */
struct mesh_value {
    enum pattern_kind kind;
    struct str text;       /* without its star */
    struct str ns;         /* service accounts: the namespace */
    struct ip_block block; /* addresses */
    uint16_t port;
    bool list; /* metadata [x]: some element of a list */
    bool envoy_template;
};

struct mesh_values {
    struct mesh_value *items;
    size_t n;
};

/* One field's test: some value matches (or none is listed), and no not-value does. */
struct mesh_cond {
    enum mesh_field field;
    struct str key;   /* header, or metadata filter */
    struct str *path; /* claim, or metadata key */
    size_t n_path;
    struct mesh_values any, none;
};

struct mesh_clause { /* all of them */
    struct mesh_cond *conds;
    size_t n;
};

enum mesh_action { ACTION_ALLOW, ACTION_DENY, ACTION_AUDIT, ACTION_CUSTOM, ACTION_MAX };

struct mesh_authz;

struct mesh_rule {
    struct mesh_clause *from, *to; /* some of them, or none listed */
    size_t n_from, n_to;
    struct mesh_clause when;
    bool needs_http; /* some field of it */
    const struct mesh_authz *policy;
    struct str key;
    unsigned line;
};

struct mesh_selector {
    struct mesh_label *labels;
    size_t n;
    bool given;       /* there is a selector with labels in it */
    bool target_refs; /* attached to a gateway or waypoint: not for sidecars */
};

/* Every kind begins alike. */
struct mesh_object {
    struct str ns, name;
    int64_t created_ns;
    struct mesh_selector selector;
    unsigned line;
    const struct json *doc;
};

struct mesh_authz {
    struct mesh_object object;
    enum mesh_action action;
    struct str provider;
    bool dry_run;
    struct mesh_rule *rules;
    size_t n_rules;
};

struct mesh_port_mode {
    uint16_t port;
    enum mesh_mtls_mode mode;
};

struct mesh_peer_auth {
    struct mesh_object object;
    enum mesh_mtls_mode mode;
    struct mesh_port_mode *ports;
    size_t n_ports;
};

struct mesh_request_auth {
    struct mesh_object object;
    struct mesh_jwt_rule *rules;
    size_t n_rules;
};

struct mesh_policies {
    struct arena *arena;
    struct mesh_config config; /* with defaults filled in */
    struct str *trust_domains; /* the own one, then its aliases */
    size_t n_trust_domains;
    struct mesh_authz **authz;
    struct mesh_peer_auth **peer;
    struct mesh_request_auth **request;
    size_t n_authz, n_peer, n_request;
};

struct mesh_rules {
    const struct mesh_rule **items;
    size_t n;
};

struct mesh_set {
    const struct mesh_policies *all;
    struct mesh_rules rules[ACTION_MAX]; /* enforced ones, in order */
    struct mesh_rules dry_run;
    bool has_allow; /* an enforced ALLOW policy selects the workload */
    bool needs_http;
    const struct mesh_peer_auth *peer[3]; /* workload, namespace, mesh; the oldest of each */
    struct mesh_jwt_rule *jwt;
    size_t n_jwt;
};

/* What reading carries: where results live, and the first thing worth a warning. */
struct mesh_reader {
    struct arena *arena;
    const struct mesh_policies *all; /* NULL when only validating */
    struct str warning;
};

/* read.c */
struct err mesh_invalid(const struct json *at, const char *fmt, ...) PRINTF_LIKE(2, 3);
struct err mesh_check_fields(const struct json *obj, const char *what, const char *const *known);
/* A list of non-empty strings; `*n` is 0 when absent. An empty list is an error. */
struct err mesh_read_strings(struct mesh_reader *r, const struct json *list, const char *what,
                             struct str **out, size_t *n);
struct err mesh_read_object(struct mesh_reader *r, const struct json *doc, struct mesh_object *out);
/* authz_read.c, peer.c, jwt_read.c: admission and reading in one pass */
struct err mesh_read_authz(struct mesh_reader *r, const struct json *doc, struct mesh_authz *out);
struct err mesh_read_peer_auth(struct mesh_reader *r, const struct json *doc,
                               struct mesh_peer_auth *out);
struct err mesh_read_request_auth(struct mesh_reader *r, const struct json *doc,
                                  struct mesh_request_auth *out);
/* values.c */
struct err mesh_read_values(struct mesh_reader *r, enum mesh_field f, const struct json *list,
                            const char *what, struct str policy_ns, struct mesh_values *out);
struct err mesh_read_condition_key(struct mesh_reader *r, const struct json *key,
                                   struct mesh_cond *out);
/* "[a][b]" to a, b. False when it is not of that form. */
bool mesh_split_brackets(struct arena *a, struct str s, struct str **parts, size_t *n);
bool mesh_has_template(struct str path);
bool mesh_template_valid(struct str path);
/* Adds each principal's forms under the trust domains it may be meant for. */
struct str *mesh_expand_principals(struct arena *a, const struct mesh_policies *all,
                                   const struct str *values, size_t n, size_t *n_out);
/* match.c */
bool mesh_pattern_matches(const struct mesh_value *v, struct str s);
bool mesh_template_matches(const struct mesh_value *v, struct str path);
bool mesh_service_account_matches(struct str ns, struct str name, struct str id);
bool mesh_namespace_matches(struct str pattern, struct str id);
bool mesh_trust_domain_matches(const struct mesh_value *v, struct str id);
bool mesh_cond_holds(const struct mesh_cond *c, const struct mesh_set *set,
                     const struct mesh_request *req);
bool mesh_object_selects(const struct mesh_object *o, struct str root_ns,
                         const struct mesh_workload *w);

#endif
