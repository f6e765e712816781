#include "daemon_priv.h"

#include "lib/base/log.h"
#include "lib/loop/loop.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { RETRY_MIN_MS = 50, RETRY_MAX_MS = 5000 };

/* sd_notify(3): the socket is opened before the sandbox, which may not let it be reached later. */
void notify_open(struct daemon *d)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    d->priv->notify_fd = -1;
    size_t n = path != NULL ? strlen(path) : 0;
    if (n == 0 || n >= sizeof(to.sun_path)) {
        return;
    }
    memcpy(to.sun_path, path, n);
    if (path[0] == '@') {
        to.sun_path[0] = '\0';
    }
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&to, len) != 0) {
        log_warn("NOTIFY_SOCKET cannot be reached", {"error", LOG_CSTR(strerror(errno))});
        close(fd);
        fd = -1;
    }
    d->priv->notify_fd = fd;
}

void notify_send(struct daemon *d, const char *text)
{
    if (d->priv->notify_fd >= 0 &&
        send(d->priv->notify_fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
        log_warn("readiness could not be told", {"error", LOG_CSTR(strerror(errno))});
    }
}

struct dependency *daemon_need(struct daemon *d, const char *name)
{
    BUG_ON(d->priv->n_deps == DAEMON_DEPENDENCIES_MAX);
    struct dependency *dep = &d->priv->deps[d->priv->n_deps++];
    *dep = (struct dependency){.d = d, .name = name, .why = "not there yet"};
    return dep;
}

void daemon_have(struct dependency *dep)
{
    if (!dep->there) {
        dep->there = true;
        log_info("dependency is there", {"name", LOG_CSTR(dep->name)});
        daemon_check_ready(dep->d);
    }
}

void daemon_lost(struct dependency *dep, const char *why)
{
    snprintf(dep->why, sizeof(dep->why), "%s", why);
    if (dep->there) {
        dep->there = false;
        log_warn("dependency is lost", {"name", LOG_CSTR(dep->name)}, {"why", LOG_CSTR(why)});
    }
}

bool daemon_ready(const struct daemon *d)
{
    for (size_t i = 0; i < d->priv->n_deps; i++) {
        if (!d->priv->deps[i].there) {
            return false;
        }
    }
    return d->priv->started && !d->priv->draining;
}

void daemon_check_ready(struct daemon *d)
{
    if (!d->priv->told_ready && daemon_ready(d)) {
        d->priv->told_ready = true;
        log_info("ready");
        notify_send(d, "READY=1\nSTATUS=ready\n");
    }
}

struct retry {
    struct daemon *d;
    void (*attempt)(void *ctx, struct retry *r);
    void *ctx;
    int delay_ms;
};

static void try_again(void *ctx)
{
    struct retry *r = ctx;
    r->attempt(r->ctx, r);
}

struct retry *daemon_retry(struct daemon *d, void (*attempt)(void *ctx, struct retry *r), void *ctx)
{
    struct retry *r = calloc(1, sizeof(*r));
    BUG_ON(r == NULL);
    *r = (struct retry){.d = d, .attempt = attempt, .ctx = ctx, .delay_ms = RETRY_MIN_MS};
    loop_defer(d->loop, try_again, r);
    return r;
}

void retry_done(struct retry *r)
{
    free(r);
}

void retry_again(struct retry *r)
{
    timer_background(timer_start(r->d->loop, r->delay_ms, 0, try_again, r));
    r->delay_ms = MIN(r->delay_ms * 2, RETRY_MAX_MS);
}
