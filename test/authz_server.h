/*
 * authz_server: starts `sextant-authz run -s` on a unix socket of its own and asks it, byte by byte, for tests that
 * look at what is on the wire.
 *
 *     struct server s;
 *     server_start(&s, binary, (const char *const[]){"--authorization=basic", NULL});
 *     struct answer a = server_ask(&s, &arena, &(struct ask){.method = "GET", .target = "/health"});
 *     server_stop(&s);
 */
#ifndef SEXTANT_TEST_AUTHZ_SERVER_H
#define SEXTANT_TEST_AUTHZ_SERVER_H

#include "lib/base/arena.h"
#include "lib/base/buf.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

struct server {
    pid_t pid;
    char dir[64], socket[100];
};

struct ask {
    const char *method, *target;
    struct str headers; /* "Name: value\r\n"… */
    struct str body;
};

struct answer {
    int status;      /* 0: no answer */
    struct str head; /* with its status line; header names as they came */
    struct str body;
};

static inline void server_fail(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

static inline int server_connect(const struct server *s)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    memcpy(sa.sun_path, s->socket, strlen(s->socket) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval patience = {.tv_sec = 20};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&sa, sizeof sa) != 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

/* `more`: further arguments, NULL-terminated, or NULL. */
static inline void server_start(struct server *s, const char *binary, const char *const *more)
{
    const char *argv[64] = {binary, "run", "-s", "--log-level=error", "-a"};
    char address[120];
    size_t n = 6;
    snprintf(s->dir, sizeof s->dir, "%s/authz-test-XXXXXX",
             access("/tmp", W_OK) == 0 ? "/tmp" : ".");
    if (mkdtemp(s->dir) == NULL) {
        server_fail(s->dir);
    }
    snprintf(s->socket, sizeof s->socket, "%s/s", s->dir);
    snprintf(address, sizeof address, "unix://%s", s->socket);
    argv[5] = address;
    for (size_t i = 0; more != NULL && more[i] != NULL && n + 1 < 64; i++) {
        argv[n++] = more[i];
    }
    s->pid = fork();
    if (s->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execv(binary, (char *const *)(uintptr_t)argv);
        server_fail(binary);
    }
    for (int i = 0; i < 400; i++) {
        int fd = server_connect(s);
        if (fd >= 0) {
            close(fd);
            return;
        }
        usleep(25000);
    }
    server_fail("the server does not listen");
}

static inline void server_stop(struct server *s)
{
    int status = 0;
    kill(s->pid, SIGTERM);
    if (waitpid(s->pid, &status, 0) == s->pid && WIFSIGNALED(status)) {
        fprintf(stderr, "the server died by signal %d\n", WTERMSIG(status));
        exit(1);
    }
    unlink(s->socket);
    rmdir(s->dir);
}

static inline void server_write(int fd, struct str s)
{
    while (s.n > 0) {
        ssize_t n = send(fd, s.p, s.n, MSG_NOSIGNAL);
        if (n <= 0) {
            return;
        }
        s = str_sub(s, (size_t)n, s.n);
    }
}

/* The value of a header, in any case of its name; empty when absent. */
static inline struct str answer_header(const struct answer *a, const char *name)
{
    struct str rest = a->head;
    while (rest.p != NULL) {
        struct str line = str_split(&rest, '\n'), value = line;
        struct str key = str_split(&value, ':');
        if (value.p != NULL && str_eq_nocase(str_trim(key), str_of(name))) {
            return str_trim(value);
        }
    }
    return STR_EMPTY;
}

static inline struct str server_unchunk(struct arena *a, struct str in)
{
    struct buf out;
    buf_init(&out, 256 << 20);
    for (;;) {
        size_t line = str_find(in, S("\r\n"));
        if (line == STR_NPOS) {
            break;
        }
        size_t n = strtoul(arena_cstr(a, str_sub(in, 0, line)), NULL, 16);
        if (n == 0) {
            break;
        }
        buf_puts(&out, str_sub(in, line + 2, line + 2 + n));
        in = str_sub(in, line + 4 + n, in.n);
    }
    struct str s = arena_str(a, buf_str(&out));
    buf_release(&out);
    return s;
}

static inline struct answer server_ask(const struct server *s, struct arena *a, const struct ask *q)
{
    struct answer r = {0};
    struct buf in;
    char head[8192], chunk[65536];
    bool length = q->body.n > 0 || strchr("P", q->method[0]) != NULL;
    int fd = server_connect(s);
    if (fd < 0) {
        return r;
    }
    int n = snprintf(head, sizeof head, "%s %s HTTP/1.1\r\nHost: h\r\nConnection: close\r\n%.*s",
                     q->method, q->target, STR_FMT(q->headers));
    n += length ? snprintf(head + n, sizeof head - (size_t)n, "Content-Length: %zu\r\n", q->body.n)
                : 0;
    server_write(fd, str_n(head, (size_t)n));
    server_write(fd, S("\r\n"));
    server_write(fd, q->body);
    buf_init(&in, 512 << 20);
    for (ssize_t got; (got = read(fd, chunk, sizeof chunk)) > 0;) {
        buf_put(&in, chunk, (size_t)got);
    }
    close(fd);
    struct str all = arena_str(a, buf_str(&in));
    buf_release(&in);
    size_t end = str_find(all, S("\r\n\r\n"));
    if (end == STR_NPOS || all.n < 12) {
        return r;
    }
    r.status = atoi(all.p + 9);
    r.head = str_sub(all, 0, end);
    r.body = str_sub(all, end + 4, all.n);
    if (str_is(answer_header(&r, "transfer-encoding"), "chunked")) {
        r.body = server_unchunk(a, r.body);
    }
    return r;
}

#endif
