/* The table of sys/. */
#include "engines.h"
#include "sys_priv.h"

static const struct route routes[] = {
    {"mounts", .read = sys_mounts_read},
    {"mounts/{path...}", .read = sys_mount_read, .write = sys_mount_write, .del = sys_mount_del},
    {"auth", .read = sys_auths_read},
    {"auth/{path...}", .read = sys_auth_read, .write = sys_auth_write, .del = sys_auth_del,
     .flags = ROUTE_SUDO},
    {"policies/acl", .read = sys_policies_list, .list = sys_policies_list},
    {"policies/acl/{name}", .read = sys_policy_read, .write = sys_policy_write,
     .del = sys_policy_del},
    {"policy", .read = sys_old_policies, .list = sys_old_policies},
    {"policy/{name}", .read = sys_old_policy_read, .write = sys_policy_write,
     .del = sys_policy_del},
    {"capabilities", .write = sys_capabilities},
    {"capabilities-self", .write = sys_capabilities_self},
    {"capabilities-accessor", .write = sys_capabilities_accessor},
    {"leases", .read = sys_lease_irrevocable, .flags = ROUTE_SUDO},
    {"leases/count", .read = sys_lease_count},
    {"leases/tidy", .write = sys_lease_tidy},
    {"leases/lookup", .write = sys_lease_lookup, .list = sys_lease_list},
    {"leases/lookup/{prefix...}", .list = sys_lease_list, .flags = ROUTE_SUDO},
    {"leases/renew", .write = sys_lease_renew},
    {"leases/renew/{lease_id...}", .write = sys_lease_renew},
    {"leases/revoke", .write = sys_lease_revoke},
    {"leases/revoke/{lease_id...}", .write = sys_lease_revoke},
    {"leases/revoke-prefix/{prefix...}", .write = sys_lease_revoke_prefix, .flags = ROUTE_SUDO},
    {"leases/revoke-force/{prefix...}", .write = sys_lease_revoke_force, .flags = ROUTE_SUDO},
    {"renew", .write = sys_lease_renew},
    {"renew/{lease_id...}", .write = sys_lease_renew},
    {"revoke", .write = sys_lease_revoke},
    {"revoke/{lease_id...}", .write = sys_lease_revoke},
    {"revoke-prefix/{prefix...}", .write = sys_lease_revoke_prefix, .flags = ROUTE_SUDO},
    {"revoke-force/{prefix...}", .write = sys_lease_revoke_force, .flags = ROUTE_SUDO},
    {"wrapping/wrap", .write = sys_wrap},
    {"wrapping/lookup", .write = sys_wrap_lookup, .read = sys_wrap_lookup, .flags = ROUTE_UNAUTH},
    {"wrapping/unwrap", .write = sys_unwrap,
     .flags = ROUTE_UNAUTH}, /* the wrapping token is the right */
    {"wrapping/rewrap", .write = sys_rewrap},
    {"internal/ui/mounts", .read = sys_ui_mounts, .flags = ROUTE_UNAUTH},
    {"internal/ui/mounts/{path...}", .read = sys_ui_mount, .flags = ROUTE_UNAUTH},
    {"internal/ui/resultant-acl", .read = sys_resultant_acl},
    {"internal/counters/{what}", .read = sys_counters},
    {"internal/entity/holdings", .read = sys_holdings, .write = sys_holdings, .flags = ROUTE_SUDO},
    {"internal/entity/revoke", .write = sys_entity_revoke, .flags = ROUTE_SUDO},
    {"seal", .write = sys_seal, .flags = ROUTE_SUDO},
    {"rotate", .write = sys_rotate, .flags = ROUTE_SUDO},
    {"rotate/keyring", .write = sys_rotate, .flags = ROUTE_SUDO},
    {"key-status", .read = sys_key_status},
    {"audit", .read = sys_audit_list, .flags = ROUTE_SUDO},
    {"audit-hash/{path}", .write = sys_audit_hash},
    {"tools/random", .write = sys_random},
    {"tools/random/{bytes}", .write = sys_random},
    {0},
};

const struct engine system_engine = {.type = "system", .routes = routes};

const struct engine *const engines[] = {
    &system_engine,   &cubbyhole_engine, &identity_engine, &kv_engine,
    &database_engine, &transit_engine,   &token_engine,    &jwt_engine,
    &cert_engine,     &approle_engine,   &userpass_engine, NULL,
};

bool engine_is_built_in(const struct engine *e)
{
    return e == &system_engine || e == &cubbyhole_engine || e == &identity_engine ||
           e == &token_engine;
}
