#include "examples/services/service.h"

#include "lib/base/log.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

void service_init(struct service *s, const char *name, int argc, char **argv)
{
    *s = (struct service){.name = name, .argc = argc, .argv = argv};
    signal(SIGPIPE, SIG_IGN);
    log_setup(name, LOG_INFO, LOG_TEXT);
    router_init(&s->router);
    service_must(loop_new(&s->loop));
}

const char *service_option(struct service *s, const char *name)
{
    for (int i = 1; i + 1 < s->argc; i += 2) {
        if (strcmp(s->argv[i], name) == 0) {
            return s->argv[i + 1];
        }
    }
    fprintf(stderr, "%s: option %s VALUE is missing\n", s->name, name);
    exit(2);
}

void service_must(struct err e)
{
    if (failed(e)) {
        log_error(err_text(e), {"detail", LOG_CSTR(err_detail())});
        exit(1);
    }
}

void service_ready(struct service *s)
{
    (void)s;
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    if (path == NULL || failed(str_to_cstr(str_of(path), addr.sun_path, sizeof(addr.sun_path)))) {
        return;
    }
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        ssize_t n = sendto(fd, "READY=1", 7, MSG_NOSIGNAL, (struct sockaddr *)&addr, sizeof(addr));
        (void)n; /* nobody waits for us then */
        close(fd);
    }
}

static void stop(void *ctx)
{
    struct service *s = ctx;
    loop_stop(s->loop);
}

int service_run(struct service *s)
{
    struct http_server_opts opts = {.handle = router_dispatch, .ctx = &s->router};
    service_must(http_server_new(s->loop, &opts, &s->server));
    service_must(http_server_listen(s->server, str_of(service_option(s, "--listen")), NULL, NULL));
    loop_on_signal(s->loop, SIGTERM, stop, s);
    loop_on_signal(s->loop, SIGINT, stop, s);
    if (!s->ready_later) {
        service_ready(s);
    }
    loop_run(s->loop);
    http_server_free(s->server);
    router_release(&s->router);
    loop_free(s->loop);
    return 0;
}
