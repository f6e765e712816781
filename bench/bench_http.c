/* deps: http loop base */
/* A server that answers 1 KB from memory, for bench/http.sh to hold against nginx. */
#include "lib/http/router.h"

#include <stdio.h>
#include <string.h>

static char body[1024];

static void answer(struct http_req *req, void *ctx)
{
    http_reply_text(req, 200, str_n(body, sizeof(body)));
}

int main(int argc, char **argv)
{
    struct loop *loop;
    struct http_server *server;
    struct router router;
    memset(body, 'x', sizeof(body));
    router_init(&router);
    router_add(&router, "GET", "/x", answer, NULL);
    struct http_server_opts o = {.handle = router_dispatch, .ctx = &router};
    struct err e = loop_new(&loop);
    e = failed(e) ? e : http_server_new(loop, &o, &server);
    e = failed(e) ? e
                  : http_server_listen(server, str_of(argc > 1 ? argv[1] : "127.0.0.1:20250"), NULL,
                                       NULL);
    if (failed(e)) {
        fprintf(stderr, "%s\n", err_detail());
        return 1;
    }
    loop_run(loop);
    return 0;
}
