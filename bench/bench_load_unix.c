/* deps: base */
/*
 * bench_load_unix: sends one HTTP/1.1 request over and over on a unix socket and counts the answers.
 * usage: bench_load_unix SOCKET SECONDS CONNECTIONS PATH BODY_FILE [HEADER...]
 * Prints the number of answers of status 200; anything else ends it with status 1. Used where wrk cannot be: the
 * same generator then serves both sides of a comparison.
 */
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 256, REQUEST_MAX = 4 << 20, ANSWER_MAX = 8 << 20, HEAD_MAX = 16384 };

static char *request;
static size_t request_n;

struct conn {
    int fd;
    char head[HEAD_MAX];
    size_t head_n;  /* bytes of the head so far */
    long body_left; /* NO_HEAD: the head is not complete; CHUNKED: until the last chunk */
};

enum { NO_HEAD = -1, CHUNKED = -2 };

static void fail(const char *what)
{
    fprintf(stderr, "bench_load_unix: %s: %s\n", what, errno != 0 ? strerror(errno) : "unexpected");
    exit(1);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void make_request(const char *path, const char *body_file, char **headers, int n)
{
    static char body[REQUEST_MAX];
    FILE *f = fopen(body_file, "r");
    if (f == NULL) {
        fail(body_file);
    }
    size_t body_n = fread(body, 1, sizeof(body), f);
    fclose(f);
    request = malloc(REQUEST_MAX + HEAD_MAX);
    if (request == NULL) {
        fail("malloc");
    }
    size_t at =
        (size_t)snprintf(request, HEAD_MAX,
                         "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                         "Content-Length: %zu\r\n",
                         path, body_n);
    for (int i = 0; i < n; i++) {
        at += (size_t)snprintf(request + at, HEAD_MAX - at, "%s\r\n", headers[i]);
    }
    at += (size_t)snprintf(request + at, HEAD_MAX - at, "\r\n");
    memcpy(request + at, body, body_n);
    request_n = at + body_n;
}

static void send_request(struct conn *c)
{
    for (size_t at = 0; at < request_n;) {
        ssize_t n = write(c->fd, request + at, request_n - at);
        if (n <= 0) {
            fail("write");
        }
        at += (size_t)n;
    }
    c->head_n = 0;
    c->body_left = NO_HEAD;
}

static void open_conn(struct conn *c, const char *path)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    snprintf(to.sun_path, sizeof(to.sun_path), "%s", path);
    c->fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof(to)) != 0) {
        fail(path);
    }
    send_request(c);
}

/* The head is in c->head, NUL-terminated: checks the status and learns the length of the body. */
static void read_head(struct conn *c, size_t have_of_body)
{
    char *length = strcasestr(c->head, "\r\ncontent-length:");
    bool chunked = strcasestr(c->head, "\r\ntransfer-encoding: chunked") != NULL;
    if (strncmp(c->head, "HTTP/1.1 200", 12) != 0 || (length == NULL && !chunked)) {
        fprintf(stderr, "bench_load_unix: answer: %.300s\n", c->head);
        exit(1);
    }
    c->body_left = chunked ? CHUNKED : strtol(length + 17, NULL, 10) - (long)have_of_body;
}

/* True when an answer is complete. */
static bool take(struct conn *c)
{
    static char block[1 << 16];
    ssize_t n = read(c->fd, block, sizeof(block));
    if (n <= 0) {
        fail("the server closed the connection");
    }
    /* one answer at a time: what ends with the last chunk is the end of it */
    bool ends = n >= 5 && memcmp(block + n - 5, "0\r\n\r\n", 5) == 0;
    if (c->body_left == CHUNKED) {
        return ends;
    }
    if (c->body_left >= 0) {
        c->body_left -= n;
        return c->body_left == 0;
    }
    size_t room = sizeof(c->head) - 1 - c->head_n;
    size_t copied = (size_t)n < room ? (size_t)n : room;
    memcpy(c->head + c->head_n, block, copied);
    c->head_n += copied;
    c->head[c->head_n] = '\0';
    char *end = strstr(c->head, "\r\n\r\n");
    if (end != NULL) {
        size_t before = c->head_n - copied; /* bytes of the head from earlier reads */
        size_t head_in_block = (size_t)(end + 4 - c->head) - before;
        read_head(c, (size_t)n - head_in_block);
    }
    return c->body_left == CHUNKED ? ends : c->body_left == 0;
}

int main(int argc, char **argv)
{
    static struct conn conns[CONNECTIONS_MAX];
    static struct pollfd fds[CONNECTIONS_MAX];
    if (argc < 6) {
        fprintf(stderr,
                "usage: bench_load_unix SOCKET SECONDS CONNECTIONS PATH BODY_FILE [HEADER...]\n");
        return 2;
    }
    double end = now() + strtod(argv[2], NULL);
    int n = (int)strtol(argv[3], NULL, 10);
    unsigned long answers = 0;
    if (n < 1 || n > CONNECTIONS_MAX) {
        return 2;
    }
    make_request(argv[4], argv[5], argv + 6, argc - 6);
    for (int i = 0; i < n; i++) {
        open_conn(&conns[i], argv[1]);
        fds[i] = (struct pollfd){.fd = conns[i].fd, .events = POLLIN};
    }
    while (now() < end) {
        if (poll(fds, (nfds_t)n, 1000) < 0) {
            fail("poll");
        }
        for (int i = 0; i < n; i++) {
            if ((fds[i].revents & (POLLIN | POLLHUP)) != 0 && take(&conns[i])) {
                answers++;
                send_request(&conns[i]);
            }
        }
    }
    printf("%lu\n", answers);
    return 0;
}
