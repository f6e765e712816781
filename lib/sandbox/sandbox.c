#include "sandbox_priv.h"

#include "lib/base/secret.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#if SANDBOX_SANITIZED
/* The leak checker stops the world with ptrace, which the sandbox answers with death. */
static bool leaks_off;
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
    return leaks_off;
}
#endif

static struct err set_ids(uid_t uid, gid_t gid)
{
    /* a user namespace may forbid setgroups; that is fine when there is no other group to lose */
    ENSURE(setgroups(0, NULL) == 0 || getgroups(0, NULL) == 0, ERR_IO,
           "sandbox: cannot give up supplementary groups: %s", strerror(errno));
    ENSURE(setresgid(gid, gid, gid) == 0, ERR_IO, "sandbox: cannot become group %u: %s",
           (unsigned)gid, strerror(errno));
    ENSURE(setresuid(uid, uid, uid) == 0, ERR_IO, "sandbox: cannot become user %u: %s",
           (unsigned)uid, strerror(errno));
    ENSURE(setuid(0) != 0 && setgid(0) != 0, ERR_IO, "sandbox: user %u could become root again",
           (unsigned)uid);
    return OK;
}

struct err sandbox_become(const struct sandbox_profile *p)
{
    bool change = geteuid() == 0 && p->uid != 0;
    TRY(caps_drop_bounding(p->keep_caps));
    if (change) {
        ENSURE(prctl(PR_SET_KEEPCAPS, p->keep_caps != 0, 0, 0, 0) == 0, ERR_IO,
               "sandbox: keepcaps: %s", strerror(errno));
        TRY(set_ids(p->uid, p->gid != 0 ? p->gid : (gid_t)p->uid));
    }
    TRY(caps_set(p->keep_caps, (p->flags & SANDBOX_EXEC) != 0));
    return secret_harden_process(); /* again: changing ids makes a process dumpable by rule */
}

static struct err limit(int what, uint64_t value, const char *name)
{
    struct rlimit now;
    if (value == 0) {
        return OK;
    }
    ENSURE(getrlimit(what, &now) == 0, ERR_IO, "sandbox: %s: %s", name, strerror(errno));
    rlim_t v = MIN((rlim_t)value, now.rlim_max);
    struct rlimit want = {.rlim_cur = v, .rlim_max = v};
    ENSURE(setrlimit(what, &want) == 0, ERR_IO, "sandbox: %s: %s", name, strerror(errno));
    return OK;
}

struct err sandbox_enter(const struct sandbox_profile *p, struct sandbox_report *report)
{
    struct sandbox_report r = {.sanitized = SANDBOX_SANITIZED};
    TRY(sandbox_become(p));
    TRY(limit(RLIMIT_NOFILE, p->max_open_files, "open files"));
    TRY(limit(RLIMIT_FSIZE, p->max_file_size, "file size"));
    ENSURE(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, ERR_IO, "sandbox: no_new_privs: %s",
           strerror(errno));
    TRY(landlock_enter(p, &r));
    ENSURE(caps_are(p->keep_caps), ERR_IO, "sandbox: capabilities are left");
    r.no_caps = p->keep_caps == 0;
    r.own_uid = p->uid != 0 && geteuid() == p->uid;
#if SANDBOX_SANITIZED
    leaks_off = true;
#endif
    TRY(syscalls_enter(p));
    r.seccomp = true;
    if (report != NULL) {
        *report = r;
    }
    return OK;
}
