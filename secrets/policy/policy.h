/*
 * policy: Vault's access control language.
 *
 * A policy is text (HCL or JSON) that grants capabilities on path patterns. Policies are parsed once
 * into immutable, counted `struct policy`. The policies of a token, with its entity for templates,
 * are compiled into one `struct acl`, which then answers requests without allocating.
 *
 *     struct policy *p;
 *     TRY(policy_parse(S("dev"), text, &p));
 *     struct acl *acl;
 *     TRY(acl_new((struct policy *[]){p}, 1, &entity, &acl));
 *     struct acl_verdict v;
 *     acl_check(acl, &(struct acl_request){.op = ACL_READ, .path = S("secret/data/a")}, &v);
 *
 * Patterns: `*` is special as the last character only (any rest, also an empty one); `+` alone between
 * slashes is any one segment. The exact path wins; then the pattern whose first wildcard
 * stands furthest right, then the one that does not end in `*`, then fewer `+`, then the longer, then
 * the lexicographically greater. Only the best pattern counts. The same pattern in several policies is
 * merged, and `deny` in any of them denies all.
 */
#ifndef SEXTANT_SECRETS_POLICY_H
#define SEXTANT_SECRETS_POLICY_H

#include "lib/json/json.h"

enum acl_op {
    ACL_READ,
    ACL_UPDATE,
    ACL_CREATE,
    ACL_DELETE,
    ACL_PATCH,
    ACL_LIST,
    ACL_SCAN,
    ACL_HELP,
};

/* Capabilities; a set of them is an or. */
enum {
    CAP_DENY = 1 << 0,
    CAP_CREATE = 1 << 1,
    CAP_READ = 1 << 2,
    CAP_UPDATE = 1 << 3,
    CAP_DELETE = 1 << 4,
    CAP_LIST = 1 << 5,
    CAP_SUDO = 1 << 6,
    CAP_PATCH = 1 << 7,
    CAP_SCAN = 1 << 8,
    CAP_ROOT = 1 << 9, /* only in answers */
};

enum {
    POLICY_TEXT_MAX = 256 * 1024,
    POLICY_RULES_MAX = 4096,
    POLICY_NAME_MAX = 128,
    ACL_POLICIES_MAX = 256, /* policies compiled into one acl */
};

/* One `path` stanza. */
struct policy_rule {
    struct str path;    /* without leading '/'; without final '*' when prefix and no '+' */
    struct str written; /* as it stands in the text */
    bool prefix;        /* ended in '*' */
    bool segments;      /* holds a '+' segment */
    bool templated;     /* `path` still holds {{...}} */
    unsigned caps;
    struct json *allowed,
        *denied;              /* object of lower-case name -> array of values; NULL when absent */
    struct json *required;    /* array of strings; NULL when absent */
    struct json *mfa_methods; /* array of strings; NULL when absent */
    int64_t min_wrap_s, max_wrap_s; /* 0 = not set */
    unsigned line;
};

struct policy {
    unsigned refs;
    struct arena arena;
    struct str name, text;
    struct policy_rule *rules;
    size_t n_rules;
    bool templated; /* some rule is */
};

/*
 * ERR_SYNTAX with line and column; ERR_INVALID with every unknown key and its line; ERR_LIMIT. `name` is
 * used as it is given; policy_name_normal() says what it should look like.
 */
struct err policy_parse(struct str name, struct str text, struct policy **out);
struct policy *policy_ref(struct policy *p);
void policy_unref(struct policy *p); /* NULL ok */

/* Trimmed and in lower case, as policy names are compared. ERR_INVALID for empty, odd or long ones. */
struct err policy_name_normal(struct arena *a, struct str name, struct str *out);

/* What templates may speak of. All slices belong to the caller. */
struct acl_alias {
    struct str accessor, id, name;
    const struct json *metadata, *custom_metadata; /* objects or NULL */
};

struct acl_group {
    struct str id, name;
    const struct json *metadata;
};

struct acl_entity {
    struct str id, name;
    const struct json *metadata;
    const struct acl_alias *aliases;
    size_t n_aliases;
    const struct acl_group *groups;
    size_t n_groups;
};

/*
 * Replaces every {{identity...}} of `text`. `blocked` is a list of characters that a substituted value
 * may not hold ("*+/" for policy paths). A NULL entity serves only text without directives.
 */
struct err policy_template(struct arena *a, struct str text, const struct acl_entity *entity,
                           const char *blocked, struct str *out);

struct acl;

/*
 * Compiles policies. One policy named "root" alone gives the root acl; beside others it is ERR_INVALID.
 * Paths whose templates cannot be filled are left out.
 */
struct err acl_new(struct policy *const *policies, size_t n, const struct acl_entity *entity,
                   struct acl **out);
void acl_free(struct acl *acl); /* NULL ok */

struct acl_request {
    enum acl_op op;
    struct str path;         /* list and scan: as the request gave it, with or without final '/' */
    const struct json *data; /* object or NULL */
    bool wrapped;
    int64_t wrap_ttl_s;
    bool capabilities_only; /* skip parameters and wrapping */
};

/* One rule of the acl after merging; what a verdict points at. */
struct acl_rule {
    struct str path;
    bool prefix, segments;
    unsigned caps;
    struct json *allowed, *denied, *required, *mfa_methods;
    int64_t min_wrap_s, max_wrap_s;
    const struct policy **granting; /* policies that took part, in order; caps of each beside it */
    unsigned *granting_caps;
    unsigned *granting_lines;
    size_t n_granting;
};

struct acl_verdict {
    bool allowed;
    bool sudo; /* the rule holds sudo, whatever the operation */
    bool root;
    unsigned caps;               /* of the deciding rule; CAP_ROOT for root; 0 without a rule */
    const struct acl_rule *rule; /* NULL for root, help and no match */
};

void acl_check(const struct acl *acl, const struct acl_request *req, struct acl_verdict *out);

/* The capability that an operation needs; 0 for help. */
unsigned acl_capability_of(enum acl_op op);

/* Does any rule grant something at or below `mount` ("secret/")? */
bool acl_sees_mount(const struct acl *acl, struct str mount);

/* Capabilities of a path, as sys/capabilities prints them: array of strings. */
struct json *acl_capabilities_json(struct arena *a, const struct acl *acl, struct str path);
struct json *caps_to_json(struct arena *a, unsigned caps);

/* {root, exact_paths, glob_paths} as sys/internal/ui/resultant-acl gives them. */
void acl_describe(struct arena *a, const struct acl *acl, struct json *out);

#endif
