/* serve_folder FOLDER: its files over HTTP on a free port of this machine; the first line printed is HOST:PORT. */
#include "lib/http/http.h"
#include "lib/loop/loop.h"

#include <signal.h>
#include <stdio.h>

static void stop(void *ctx)
{
    loop_stop(ctx);
}

static void send_file(struct http_req *req, void *ctx)
{
    struct buf body;
    char chunk[65536];
    struct str path = arena_printf(req->arena, "%s%.*s", (const char *)ctx, STR_FMT(req->path));
    FILE *f = str_find(req->path, S("..")) == STR_NPOS ? fopen(path.p, "rbe") : NULL;
    if (f == NULL) {
        http_reply_text(req, 404, S("not there\n"));
        return;
    }
    buf_init(&body, 64 << 20);
    for (size_t n; (n = fread(chunk, 1, sizeof chunk, f)) > 0;) {
        buf_put(&body, chunk, n);
    }
    fclose(f);
    http_reply_text(req, 200, arena_str(req->arena, buf_str(&body)));
    buf_release(&body);
}

int main(int argc, char **argv)
{
    struct loop *loop;
    struct http_server *server;
    if (argc != 2) {
        fprintf(stderr, "serve_folder FOLDER\n");
        return 2;
    }
    struct http_server_opts o = {.handle = send_file, .ctx = argv[1]};
    if (failed(loop_new(&loop)) || failed(http_server_new(loop, &o, &server)) ||
        failed(http_server_listen(server, S("127.0.0.1:0"), NULL, NULL))) {
        fprintf(stderr, "%s\n", err_detail());
        return 1;
    }
    printf("%s\n", http_server_address(server, 0));
    fflush(stdout);
    loop_on_signal(loop, SIGTERM, stop, loop);
    loop_run(loop);
    http_server_free(server);
    loop_free(loop);
    return 0;
}
