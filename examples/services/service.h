/* service: what the two example services share: options, a loop, an HTTP server, readiness. */
#ifndef SEXTANT_EXAMPLES_SERVICE_H
#define SEXTANT_EXAMPLES_SERVICE_H

#include "lib/base/codec.h"
#include "lib/http/router.h"
#include "lib/loop/loop.h"

struct service {
    const char *name;
    int argc;
    char **argv;
    struct loop *loop;
    struct router router;
    struct http_server *server;
    bool ready_later; /* service_run does not tell readiness; service_ready will */
};

/* Ignores SIGPIPE, sets up logging, the loop and an empty router. */
void service_init(struct service *s, const char *name, int argc, char **argv);
/* Value after `--name` on the command line; ends the program with usage when it is missing. */
const char *service_option(struct service *s, const char *name);
/* Ends the program with a message on failure. */
void service_must(struct err e);
/* Tells NOTIFY_SOCKET that the service can do its work. */
void service_ready(struct service *s);
/* Listens on --listen, tells readiness unless ready_later, serves until SIGTERM. */
int service_run(struct service *s);

#endif
