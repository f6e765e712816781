#include "daemon_priv.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const audit_modes[] = {"fail-closed", "spool", NULL};
static const char *const log_levels[] = {"debug", "info", "warn", "error", NULL};
static const char *const log_formats[] = {"text", "json", NULL};

static const struct config_key common_keys[] = {
    {"audit_mode", CONFIG_STR, offsetof(struct daemon_common, audit_mode),
     .fallback = "fail-closed", .choices = audit_modes,
     .help = "without audit: refuse service, or keep events in a file until it is back"},
    {"audit_timeout", CONFIG_DURATION, offsetof(struct daemon_common, audit_timeout_ns),
     .fallback = "5s", .min = 100 * NS_PER_MS, .max = 60 * NS_PER_S,
     .help = "how long a result waits for audit's acknowledgement"},
    {"log_level", CONFIG_STR, offsetof(struct daemon_common, log_level), .fallback = "info",
     .choices = log_levels, .help = "least level that is logged"},
    {"log_format", CONFIG_STR, offsetof(struct daemon_common, log_format), .fallback = "text",
     .choices = log_formats, .help = "text or JSON on stderr"},
};

/* The section struct is followed by the common one: one table fills both. */
static size_t common_offset(const struct daemon_spec *spec)
{
    return (spec->section_size + 15) & ~(size_t)15;
}

static const struct config_key *merged_keys(struct daemon *d)
{
    size_t own = 0, at = common_offset(d->spec);
    while (d->spec->keys != NULL && d->spec->keys[own].name != NULL) {
        own++;
    }
    struct config_key *all =
        arena_array(&d->boot, struct config_key, own + ARRAY_LEN(common_keys) + 1);
    if (own > 0) {
        memcpy(all, d->spec->keys, own * sizeof(*all));
    }
    for (size_t i = 0; i < ARRAY_LEN(common_keys); i++) {
        all[own + i] = common_keys[i];
        all[own + i].offset += at;
    }
    return all;
}

static void apply_log(struct daemon *d)
{
    static const enum log_level levels[] = {LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR};
    enum log_level level = LOG_INFO;
    for (size_t i = 0; i < ARRAY_LEN(levels); i++) {
        if (str_is(d->priv->common->log_level, log_levels[i])) {
            level = levels[i];
        }
    }
    const char *program = arena_cstr(&d->boot, arena_printf(&d->boot, "sextant-%s", d->spec->name));
    log_setup(program, level, str_is(d->priv->common->log_format, "json") ? LOG_JSON : LOG_TEXT);
}

static const char *folder_of(struct daemon *d, struct str base)
{
    return arena_cstr(&d->boot, arena_printf(&d->boot, "%.*s/%s", STR_FMT(base), d->spec->name));
}

/* On any error the daemon keeps what it had. */
struct err daemon_read_config(struct daemon *d)
{
    struct daemon next = *d;
    TRY(config_load(d->priv->config_path, &next.config));
    size_t at = common_offset(d->spec);
    next.section = arena_alloc(&d->boot, at + sizeof(struct daemon_common));
    TRY(config_section(next.config, d->spec->name, merged_keys(d), next.section));
    next.trust_domain = next.config->trust_domain;
    next.state_dir = folder_of(d, next.config->state_dir);
    next.run_dir = folder_of(d, next.config->run_dir);
    next.spiffe_id = arena_cstr(&d->boot, arena_printf(&d->boot, "spiffe://%.*s/sextant/%s",
                                                       STR_FMT(next.trust_domain), d->spec->name));
    next.boot = d->boot; /* grown since the copy */
    if (d->spec->check != NULL) {
        struct err e = d->spec->check(&next);
        d->boot = next.boot;
        TRY(e);
    }
    *d = next;
    d->priv->common = (struct daemon_common *)(void *)((char *)d->section + at);
    apply_log(d);
    return OK;
}

void daemon_describe(struct daemon *d, struct buf *out)
{
    config_describe(out, d->spec->name, merged_keys(d));
}

static struct err make_folder(const char *path, mode_t mode)
{
    struct stat st;
    if (mkdir(path, mode) == 0) {
        return OK;
    }
    ENSURE(errno == EEXIST || errno == EROFS, ERR_IO, "cannot make %s: %s", path, strerror(errno));
    ENSURE(stat(path, &st) == 0 && S_ISDIR(st.st_mode), ERR_IO, "%s is not a folder", path);
    return OK;
}

static struct err make_parents(const char *path)
{
    char part[1024];
    TRY(str_to_cstr(str_of(path), part, sizeof(part)));
    for (char *slash = strchr(part + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        TRY(make_folder(part, 0755));
        *slash = '/';
    }
    return OK;
}

/* Symbolic links are not followed: root would otherwise give away what a link names. */
static struct err give(const char *path, mode_t mode, uid_t uid, gid_t gid)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;
    ENSURE(fd >= 0, ERR_IO, "cannot open the folder %s: %s", path, strerror(errno));
    bool good = fstat(fd, &st) == 0;
    if (good && geteuid() == 0 && (st.st_uid != uid || st.st_gid != gid)) {
        good = fchown(fd, uid, gid) == 0;
    }
    if (good && (st.st_mode & 07777) != mode) {
        good = fchmod(fd, mode) == 0;
    }
    int saved = errno;
    close(fd);
    ENSURE(good, ERR_IO, "cannot make %s the daemon's own: %s", path, strerror(saved));
    return OK;
}

struct err daemon_make_folders(struct daemon *d, uid_t uid, gid_t gid)
{
    mode_t old = umask(0022);
    struct err e = make_parents(d->state_dir);
    if (!failed(e)) {
        e = make_folder(d->state_dir, 0700);
    }
    if (!failed(e)) {
        e = make_parents(d->run_dir);
    }
    if (!failed(e)) {
        e = make_folder(d->run_dir, 0755);
    }
    umask(old);
    TRY(e);
    TRY(give(d->state_dir, 0700, uid, gid));
    return give(d->run_dir, 0755, uid, gid);
}

/* The daemon's own profile, with the uid from the configuration and the configuration file itself. */
const struct sandbox_profile *daemon_profile(struct daemon *d)
{
    struct sandbox_profile *p = arena_new(&d->boot, struct sandbox_profile);
    *p = *d->spec->sandbox(&d->boot, d->config, d->section);
    uint32_t uid;
    if (p->uid == 0 && geteuid() == 0 && config_uid(d->config, str_of(d->spec->name), &uid)) {
        p->uid = uid;
        p->gid = uid;
    }
    size_t n = 0;
    while (p->paths_ro != NULL && p->paths_ro[n] != NULL) {
        n++;
    }
    const char **ro = arena_array(&d->boot, const char *, n + 2);
    for (size_t i = 0; i < n; i++) {
        ro[i] = p->paths_ro[i];
    }
    ro[n] = d->priv->config_path;
    p->paths_ro = ro;
    return p;
}
