/*
 * attest: what the kernel says about the process at the other end of a unix socket.
 *
 * The process is held by a pidfd from the moment it connected (SO_PEERPIDFD), so its number can't come to
 * mean another process unnoticed: everything below /proc is read through one directory handle, and
 * believed only if the pidfd says, after the handle was opened, that its process is still alive.
 * On kernels before 6.5, which have no SO_PEERPIDFD, a pidfd is opened from the number of SO_PEERCRED
 * and the process must have been started before it connected.
 *
 * Selectors (SPIRE's unix attestor): unix:uid, user, gid, group, supplementary_gid, supplementary_group,
 * path, sha256.
 */
#ifndef SEXTANT_IDENTITY_ATTEST_H
#define SEXTANT_IDENTITY_ATTEST_H

#include "entry.h"

#include <sys/types.h>

enum { ATTEST_SELECTORS_MAX = 256, ATTEST_HASH_MAX = 512 * 1024 * 1024 };

struct attest_peer {
    pid_t pid;
    uid_t uid;
    gid_t gid;
    int pidfd; /* SO_PEERPIDFD, or -1 */
    int64_t
        connected_ns; /* CLOCK_BOOTTIME at or before accept; only for kernels without SO_PEERPIDFD */
};

/*
 * ERR_UNAVAILABLE when the process cannot be looked at, ERR_DENIED when it is gone or not the one that
 * connected. `hash`: also the SHA-256 of its program.
 */
struct err attest_process(const struct attest_peer *p, bool hash, struct strs *selectors);
/* Is the process that connected still alive? */
bool attest_alive(int pidfd);

#endif
