#include "policies.h"

static const char default_policy[] =
    "# What every token may do with itself.\n"
    "path \"auth/token/lookup-self\" { capabilities = [\"read\"] }\n"
    "path \"auth/token/renew-self\" { capabilities = [\"update\"] }\n"
    "path \"auth/token/revoke-self\" { capabilities = [\"update\"] }\n"
    "path \"sys/capabilities-self\" { capabilities = [\"update\"] }\n"
    "path \"identity/entity/id/{{identity.entity.id}}\" { capabilities = [\"read\"] }\n"
    "path \"identity/entity/name/{{identity.entity.name}}\" { capabilities = [\"read\"] }\n"
    "path \"sys/internal/ui/resultant-acl\" { capabilities = [\"read\"] }\n"
    "path \"sys/renew\" { capabilities = [\"update\"] }\n"
    "path \"sys/leases/renew\" { capabilities = [\"update\"] }\n"
    "path \"sys/leases/lookup\" { capabilities = [\"update\"] }\n"
    "path \"cubbyhole/*\" { capabilities = [\"create\", \"read\", \"update\", \"delete\", "
    "\"list\"] }\n"
    "path \"sys/wrapping/wrap\" { capabilities = [\"update\"] }\n"
    "path \"sys/wrapping/lookup\" { capabilities = [\"update\"] }\n"
    "path \"sys/wrapping/unwrap\" { capabilities = [\"update\"] }\n"
    "path \"sys/tools/hash\" { capabilities = [\"update\"] }\n"
    "path \"sys/tools/hash/*\" { capabilities = [\"update\"] }\n";

static const char wrapping_policy[] =
    "path \"cubbyhole/response\" { capabilities = [\"create\", \"read\"] }\n"
    "path \"sys/wrapping/unwrap\" { capabilities = [\"update\"] }\n";

static const char operator_policy[] = "# Sets the system up: mounts, auth methods, roles, "
                                      "policies. Narrow it once your own policies stand.\n"
                                      "path \"*\" { capabilities = [\"create\", \"read\", "
                                      "\"update\", \"patch\", \"delete\", \"list\", \"sudo\"] }\n";

static struct str record_path(struct arena *a, struct str name)
{
    return arena_printf(a, "sys/policy/%.*s", STR_FMT(name));
}

static struct err keep(struct core *c, struct str name, struct str text)
{
    struct policy *p;
    TRY(policy_parse(name, text, &p));
    policy_unref(map_set(&c->policies, name, p));
    core_forget_acls(c);
    return OK;
}

struct err policies_set(struct core *c, struct str name, struct str text)
{
    struct policy *p;
    TRY(policy_parse(name, text, &p));
    struct arena a;
    arena_init(&a, 64 * 1024);
    struct err e = storage_put(c->st, record_path(&a, name), text);
    arena_release(&a);
    if (failed(e)) {
        policy_unref(p);
        return e;
    }
    policy_unref(map_set(&c->policies, name, p));
    core_forget_acls(c);
    return OK;
}

struct err policies_del(struct core *c, struct str name)
{
    struct arena a;
    arena_init(&a, 64 * 1024);
    struct err e = storage_del(c->st, record_path(&a, name));
    arena_release(&a);
    TRY(e);
    policy_unref(map_del(&c->policies, name));
    core_forget_acls(c);
    return OK;
}

struct policy *policies_get(struct core *c, struct str name)
{
    return map_get(&c->policies, name);
}

struct err policies_defaults(struct core *c)
{
    TRY(policies_set(c, S("default"), str_of(default_policy)));
    TRY(policies_set(c, S("operator"), str_of(operator_policy)));
    return policies_set(c, S("response-wrapping"), str_of(wrapping_policy));
}

static struct err load_one(void *ctx, struct str path, struct str text)
{
    size_t prefix = sizeof "sys/policy/" - 1;
    struct err e = keep(ctx, str_sub(path, prefix, path.n), text);
    return failed(e) ? err_wrap(e, "%.*s", STR_FMT(path)) : OK;
}

struct err policies_load(struct core *c)
{
    TRY(storage_each(c->st, S("sys/policy/"), load_one, c));
    return keep(c, S("root"), STR_EMPTY);
}

void policies_unload(struct core *c)
{
    struct map_entry *e;
    for (size_t i = 0; (e = map_at(&c->policies, &i)) != NULL;) {
        policy_unref(e->value);
    }
    map_release(&c->policies);
    map_init(&c->policies);
}
