/* deps: secrets_policy hcl json base */
/*
 * The first line is a request path, the second an entity name, the rest a policy. Whatever the policy
 * says, sudo needs a rule, deny denies, and listing with the final slash is never wider than a
 * deny of the same path.
 */
#include "secrets/policy/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ask_everything(const struct acl *acl, struct str path)
{
    for (enum acl_op op = ACL_READ; op <= ACL_HELP; op++) {
        struct acl_verdict v;
        acl_check(acl, &(struct acl_request){.op = op, .path = path}, &v);
        BUG_ON(v.allowed && op != ACL_HELP && !v.root && v.rule == NULL);
        BUG_ON(v.allowed && (v.caps & CAP_DENY) != 0);
    }
    BUG_ON(acl_sees_mount(acl, path) && path.n > 1 << 20);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str rest = str_n(data, size), path = str_split(&rest, '\n'),
               name = str_split(&rest, '\n');
    struct policy *p;
    if (failed(policy_parse(S("fuzz"), rest, &p))) {
        return 0;
    }
    struct acl_entity entity = {.id = S("id"), .name = name};
    struct acl *acl;
    if (!failed(acl_new(&p, 1, &entity, &acl))) {
        ask_everything(acl, path);
        acl_free(acl);
    }
    policy_unref(p);
    return 0;
}
