/* Capabilities, without libcap: two system calls and prctl (capabilities(7)). */
#include "sandbox_priv.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { CAP_NUMBERS = 64 };

static struct err caps_get(struct __user_cap_data_struct data[2])
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    ENSURE(syscall(SYS_capget, &head, data) == 0, ERR_IO, "capget: %s", strerror(errno));
    return OK;
}

static uint64_t permitted(const struct __user_cap_data_struct data[2])
{
    return (uint64_t)data[1].permitted << 32 | data[0].permitted;
}

struct err caps_drop_bounding(uint64_t keep)
{
    struct __user_cap_data_struct data[2];
    TRY(caps_get(data));
    if ((permitted(data) & (UINT64_C(1) << CAP_SETPCAP)) == 0) {
        return OK; /* an ordinary user: no_new_privs makes the bounding set idle */
    }
    for (unsigned cap = 0; cap < CAP_NUMBERS; cap++) {
        if ((keep >> cap & 1) != 0 || prctl(PR_CAPBSET_READ, cap, 0, 0, 0) != 1) {
            continue;
        }
        ENSURE(prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0, ERR_IO,
               "cannot drop capability %u from the bounding set: %s", cap, strerror(errno));
    }
    return OK;
}

/* A child that is executed keeps only ambient capabilities: netpol's nft needs its parent's. */
static struct err raise_ambient(uint64_t keep)
{
    for (unsigned cap = 0; cap < CAP_NUMBERS; cap++) {
        if ((keep >> cap & 1) != 0) {
            ENSURE(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) == 0, ERR_IO,
                   "cannot hand capability %u to children: %s", cap, strerror(errno));
        }
    }
    return OK;
}

struct err caps_set(uint64_t keep, bool for_children)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    TRY(caps_get(data));
    keep &= permitted(data);
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    for (unsigned half = 0; half < 2; half++) {
        uint32_t bits = (uint32_t)(keep >> (32 * half));
        data[half] = (struct __user_cap_data_struct){
            .effective = bits, .permitted = bits, .inheritable = for_children ? bits : 0};
    }
    ENSURE(syscall(SYS_capset, &head, data) == 0, ERR_IO, "capset: %s", strerror(errno));
    return for_children ? raise_ambient(keep) : OK;
}

bool caps_are(uint64_t keep)
{
    struct __user_cap_data_struct data[2];
    return !failed(caps_get(data)) && (permitted(data) & ~keep) == 0;
}
