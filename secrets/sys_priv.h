/* Handlers of sys/, by file. */
#ifndef SEXTANT_SECRETS_SYS_PRIV_H
#define SEXTANT_SECRETS_SYS_PRIV_H

#include "core.h"

/* sys_mounts.c */
handler sys_mounts_read, sys_mount_read, sys_mount_write, sys_mount_del;
handler sys_auths_read, sys_auth_read, sys_auth_write, sys_auth_del;
handler sys_ui_mounts, sys_ui_mount;

/* sys_policy.c */
handler sys_policies_list, sys_policy_read, sys_policy_write, sys_policy_del;
handler sys_old_policies, sys_old_policy_read;
handler sys_capabilities, sys_capabilities_self, sys_capabilities_accessor, sys_resultant_acl;

/* sys_lease.c */
handler sys_lease_lookup, sys_lease_list, sys_lease_renew, sys_lease_revoke,
    sys_lease_revoke_prefix, sys_lease_revoke_force, sys_lease_count, sys_lease_irrevocable,
    sys_lease_tidy;
handler sys_holdings, sys_entity_revoke;

/* wrapping.c */
handler sys_wrap, sys_wrap_lookup, sys_unwrap, sys_rewrap;

/* sys_misc.c */
handler sys_seal, sys_rotate, sys_key_status, sys_audit_list, sys_audit_hash, sys_random,
    sys_counters;

#endif
