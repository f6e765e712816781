/*
 * The whole way, with real packets: a node's network namespace that forwards between nine pods, each
 * in a namespace of its own behind a veth pair; policies of cyclonus' cases in the kernel; every pod
 * tries every other over TCP and UDP, and what came through must be what the evaluator says.
 *
 * Needs root. Pods are processes of this test; nothing outside its own namespaces is touched.
 */
#include "test/netpol_cluster.h"

#include "compile.h"
#include "denials.h"
#include "flows.h"
#include "nft.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PODS_MAX = 9, WAIT_MS = 250, TRIES = 8 /* on a busy machine */, SAMPLE_EVERY = 9 };

static const uint16_t served[] = {80, 81};

/* What a pod is told to try, and what it answers. */
struct attempt {
    uint32_t ip;
    uint16_t port;
    uint8_t udp, came_through;
};

struct live_pod {
    pid_t pid;
    int control; /* attempts go out, results come back */
    struct netpol_end end;
};

static struct live_pod pods[PODS_MAX];
static size_t n_pods;
static struct arena arena;
static struct netlink *nl;

static bool shell(const char *fmt, ...)
{
    char command[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(command, sizeof(command), fmt, args);
    va_end(args);
    return system(command) == 0;
}

/* --- inside a pod ------------------------------------------------------------------------------ */

static int open_server(uint16_t port, int type)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fd, (struct sockaddr *)&a, sizeof(a)) != 0 ||
        (type == SOCK_STREAM && listen(fd, 64) != 0)) {
        _exit(3);
    }
    return fd;
}

/* Accepts and keeps TCP connections; sends UDP packets back. Never ends. */
static void serve(void)
{
    struct pollfd fds[4];
    signal(SIGCHLD, SIG_IGN); /* echoes are not waited for */
    for (int i = 0; i < 4; i++) {
        fds[i] = (struct pollfd){open_server(served[i / 2], i % 2 == 0 ? SOCK_STREAM : SOCK_DGRAM),
                                 POLLIN, 0};
    }
    for (;;) {
        poll(fds, 4, -1);
        for (int i = 0; i < 4; i++) {
            struct sockaddr_in from;
            socklen_t n = sizeof(from);
            char byte[8];
            if (fds[i].revents == 0) {
                continue;
            }
            if (i % 2 == 0) {
                int c = accept4(fds[i].fd, NULL, NULL, SOCK_CLOEXEC);
                if (c >= 0 && fork() == 0) { /* an echo for as long as the connection lives */
                    ssize_t got;
                    while ((got = read(c, byte, sizeof(byte))) > 0 &&
                           write(c, byte, (size_t)got) > 0) {
                    }
                    _exit(0);
                }
                close(c);
            } else if (recvfrom(fds[i].fd, byte, sizeof(byte), 0, (struct sockaddr *)&from, &n) >
                       0) {
                sendto(fds[i].fd, byte, 1, 0, (struct sockaddr *)&from, n);
            }
        }
    }
}

static int begin(const struct attempt *a)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(a->port), .sin_addr.s_addr = a->ip};
    int fd = socket(AF_INET, (a->udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int rc = connect(fd, (struct sockaddr *)&to, sizeof(to));
    if (rc != 0 && errno != EINPROGRESS) {
        close(fd);
        return -1;
    }
    if (a->udp && send(fd, "x", 1, 0) != 1) {
        close(fd);
        return -1;
    }
    return fd;
}

static bool came_through(int fd, bool udp)
{
    char byte;
    int error = 0;
    socklen_t n = sizeof(error);
    if (udp) {
        return recv(fd, &byte, 1, 0) == 1;
    }
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n) == 0 && error == 0;
}

static long now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* All attempts at once; what has not answered when time is up did not come through. */
static void try_all(struct attempt *a, size_t n)
{
    struct pollfd fds[PODS_MAX * 4];
    long deadline = now_ms() + WAIT_MS;
    size_t open = 0;
    for (size_t i = 0; i < n; i++) {
        fds[i] = (struct pollfd){begin(&a[i]), a[i].udp ? POLLIN : POLLOUT, 0};
        open += fds[i].fd >= 0;
        a[i].came_through = 0;
    }
    while (open > 0 && now_ms() < deadline) {
        poll(fds, n, (int)MAX(deadline - now_ms(), 0L));
        for (size_t i = 0; i < n; i++) {
            if (fds[i].fd >= 0 && fds[i].revents != 0) {
                a[i].came_through = came_through(fds[i].fd, a[i].udp);
                close(fds[i].fd);
                fds[i].fd = -1;
                open--;
            }
        }
    }
    for (size_t i = 0; i < n; i++) {
        close(fds[i].fd);
    }
}

static void pod_main(int control)
{
    struct attempt batch[PODS_MAX * 4];
    char go;
    if (setpgid(0, 0) != 0 || unshare(CLONE_NEWNET) != 0 || write(control, "u", 1) != 1 ||
        read(control, &go, 1) != 1) {
        _exit(2);
    }
    pid_t server = fork();
    if (server == 0) {
        close(control);
        serve();
    }
    usleep(20000);
    for (ssize_t n; (n = read(control, batch, sizeof(batch))) > 0;) {
        try_all(batch, (size_t)n / sizeof(batch[0]));
        if (write(control, batch, (size_t)n) != n) {
            break;
        }
    }
    kill(server, SIGKILL);
    _exit(0);
}

/* --- the node ---------------------------------------------------------------------------------- */

static void start_pod(struct live_pod *p, size_t index)
{
    int pair[2];
    char ip[INET_ADDRSTRLEN], ready;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    p->pid = fork();
    if (p->pid == 0) {
        close(pair[0]);
        pod_main(pair[1]);
    }
    close(pair[1]);
    p->control = pair[0];
    assert_int_equal(read(p->control, &ready, 1), 1);
    inet_ntop(AF_INET, p->end.ip.b, ip, sizeof(ip));
    assert_true(shell(
        "ip link add v%zu type veth peer name eth0 netns %d && ip addr add 169.254.1.1/32 dev v%zu "
        "&& ip link set v%zu up && ip route add %s/32 dev v%zu && "
        "nsenter -t %d -n sh -c 'ip link set lo up; ip addr add %s/32 dev eth0; ip link set eth0 "
        "up; "
        "ip route add 169.254.1.1 dev eth0; ip route add default via 169.254.1.1'",
        index, p->pid, index, index, ip, index, p->pid, ip));
    assert_int_equal(write(p->control, "g", 1), 1);
}

static void stop_pods(void)
{
    for (size_t i = 0; i < n_pods; i++) {
        close(pods[i].control);
        kill(-pods[i].pid, SIGKILL); /* its group: the pod, its server and their echoes */
        waitpid(pods[i].pid, NULL, 0);
        shell("ip link del v%zu 2>/dev/null", i);
    }
    n_pods = 0;
}

static void start_pods(const struct netpol_model *m)
{
    assert_true(m->n_pods <= PODS_MAX);
    for (size_t i = 0; i < m->n_pods; i++) {
        pods[i].end = (struct netpol_end){m->pods[i], m->pods[i]->ips[0]};
        start_pod(&pods[i], i);
        n_pods++;
    }
}

static void enforce(const struct netpol_model *m)
{
    struct netpol_ruleset *r;
    struct buf text;
    buf_init(&text, NFT_TEXT_MAX);
    assert_ok(netpol_compile(&arena, m, &r));
    assert_ok(netpol_put_ruleset(
        &text, r,
        &(struct netpol_text_opts){.comment = S("live test"), .log_group = DENIALS_GROUP}));
    assert_ok(nft_apply(buf_str(&text)));
    buf_release(&text);
    struct flows_report flows;
    assert_ok(flows_cut(nl, m, &flows));
}

static size_t attempts_of(size_t from, struct attempt *out)
{
    size_t n = 0;
    for (size_t to = 0; to < n_pods; to++) {
        for (size_t k = 0; k < 4 && to != from; k++) {
            struct attempt *a = &out[n++];
            *a = (struct attempt){.port = served[k / 2], .udp = k % 2 == 1};
            memcpy(&a->ip, pods[to].end.ip.b, 4);
        }
    }
    return n;
}

static struct netpol_decision decide_attempt(const struct netpol_model *m, size_t from,
                                             const struct attempt *a, struct netpol_end *src,
                                             struct netpol_end *dst)
{
    struct ip to = {.family = 4};
    memcpy(to.b, &a->ip, 4);
    *src = (struct netpol_end){m->pods[from], m->pods[from]->ips[0]};
    *dst = (struct netpol_end){netpol_model_pod_at(m, &to), to};
    return netpol_decide(m, src, dst, a->udp ? NETPOL_UDP : NETPOL_TCP, a->port);
}

static void complain(const struct netpol_model *m, size_t from, const struct attempt *a,
                     const char *what)
{
    struct netpol_end src, dst;
    struct netpol_decision d = decide_attempt(m, from, a, &src, &dst);
    struct buf text;
    char copy[4096];
    buf_init(&text, sizeof(copy));
    netpol_explain_text(&text, &src, &dst, a->udp ? NETPOL_UDP : NETPOL_TCP, a->port, &d);
    snprintf(copy, sizeof(copy), "%.*s", STR_FMT(buf_str(&text)));
    buf_release(&text);
    fail_msg("%s: %s came through: %s", what, a->came_through ? "a packet" : "nothing", copy);
}

/*
 * What came through though denied is wrong at once. What was allowed and did not come in time is kept for
 * another try: time is all it may lack.
 */
static size_t check_results(const struct netpol_model *m, size_t from, struct attempt *got,
                            size_t n, const char *what)
{
    size_t late = 0;
    for (size_t i = 0; i < n; i++) {
        struct netpol_end src, dst;
        bool allowed = decide_attempt(m, from, &got[i], &src, &dst).allowed;
        if (got[i].came_through && !allowed) {
            complain(m, from, &got[i], what);
        }
        if (!got[i].came_through && allowed) {
            got[late++] = got[i];
        }
    }
    return late;
}

static void exchange(size_t pod, struct attempt *batch, size_t n, bool send)
{
    ssize_t bytes = (ssize_t)(n * sizeof(batch[0]));
    if (send) {
        assert_int_equal(write(pods[pod].control, batch, (size_t)bytes), bytes);
    } else {
        assert_int_equal(read(pods[pod].control, batch, (size_t)bytes), bytes);
    }
}

/* Every pod tries every other at the same time. */
static size_t probe(const struct netpol_model *m, const char *what)
{
    static struct attempt batches[PODS_MAX][PODS_MAX * 4];
    size_t n[PODS_MAX], tried = 0;
    for (size_t i = 0; i < n_pods; i++) {
        n[i] = attempts_of(i, batches[i]);
        tried += n[i];
    }
    for (int try = 0; try < TRIES; try++) {
        for (size_t i = 0; i < n_pods; i++) {
            if (n[i] > 0) {
                exchange(i, batches[i], n[i], true);
            }
        }
        for (size_t i = 0; i < n_pods; i++) {
            if (n[i] > 0) {
                exchange(i, batches[i], n[i], false);
                n[i] = check_results(m, i, batches[i], n[i], what);
            }
        }
    }
    for (size_t i = 0; i < n_pods; i++) {
        if (n[i] > 0) {
            complain(m, i, &batches[i][0], what);
        }
    }
    return tried;
}

static void test_cyclonus_with_packets(void **state)
{
    (void)state;
    const struct json *suite = suite_file(&arena, "cyclonus-generated.json");
    if (suite == NULL) {
        print_message("skipped: netpol/cyclonus-generated.json is not there\n");
        skip();
    }
    const struct json *cases = json_get(suite, "cases");
    size_t tried = 0, steps_done = 0;
    for (uint32_t i = 0; i < cases->n; i += SAMPLE_EVERY) {
        const struct json *step = json_get(cases->items[i], "steps")->items[0];
        struct netpol_model *m =
            cluster_model(&arena, step, json_get(step, "policies"), json_get(suite, "containers"));
        if (n_pods == 0) {
            start_pods(m);
        }
        enforce(m);
        tried += probe(m, arena_cstr(&arena, json_str(json_get(cases->items[i], "description"))));
        steps_done++;
        netpol_model_release(m);
    }
    print_message("%zu cases of cyclonus with %zu real connections: as the evaluator says\n",
                  steps_done, tried);
    stop_pods();
}

/* --- live connections ---------------------------------------------------------------------------- */

static struct netpol_model *two_pods(const char *policies_json)
{
    static const char cluster[] =
        "{\"namespaces\":{\"n\":{}},\"pods\":["
        "{\"namespace\":\"n\",\"name\":\"a\",\"ip\":\"10.77.0.1\",\"labels\":{\"app\":\"a\"}},"
        "{\"namespace\":\"n\",\"name\":\"b\",\"ip\":\"10.77.0.2\",\"labels\":{\"app\":\"b\"}}]}";
    struct json *c, *p;
    assert_ok(json_parse(&arena, str_of(cluster), NULL, &c));
    assert_ok(json_parse(&arena, str_of(policies_json), NULL, &p));
    return cluster_model(&arena, c, p, NULL);
}

static bool echoes(int fd)
{
    char byte = 0;
    struct pollfd p = {fd, POLLIN, 0};
    return send(fd, "y", 1, MSG_NOSIGNAL) == 1 && poll(&p, 1, 2000) == 1 &&
           recv(fd, &byte, 1, 0) == 1 && byte == 'y';
}

/* Runs in pod a's network namespace: one TCP connection to b, asked about before and after. */
static void client_main(pid_t pod, int control)
{
    char ns[64], ask;
    snprintf(ns, sizeof(ns), "/proc/%d/ns/net", pod);
    int fd = open(ns, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || setns(fd, CLONE_NEWNET) != 0) {
        _exit(2);
    }
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(80)};
    inet_pton(AF_INET, "10.77.0.2", &to.sin_addr);
    int c = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char connected = connect(c, (struct sockaddr *)&to, sizeof(to)) == 0 && echoes(c) ? 'y' : 'n';
    if (write(control, &connected, 1) != 1) {
        _exit(2);
    }
    while (read(control, &ask, 1) == 1) {
        char answer = echoes(c) ? 'y' : 'n';
        if (write(control, &answer, 1) != 1) {
            break;
        }
    }
    _exit(0);
}

static char ask(int control)
{
    char answer = '?';
    assert_int_equal(write(control, "?", 1), 1);
    assert_int_equal(read(control, &answer, 1), 1);
    return answer;
}

/* A live connection outlives a change that allows it, and dies by one that does not. */
static void test_live_connection_is_cut(void **state)
{
    (void)state;
    static const char allow[] =
        "[{\"metadata\":{\"name\":\"p\",\"namespace\":\"n\"},\"spec\":{\"podSelector\":{},"
        "\"ingress\":"
        "[{\"from\":[{\"podSelector\":{\"matchLabels\":{\"app\":\"a\"}}}]}]}}]";
    static const char deny[] =
        "[{\"metadata\":{\"name\":\"p\",\"namespace\":\"n\"},\"spec\":{\"podSelector\":{}}}]";
    struct netpol_model *open = two_pods("[]"), *allowed = two_pods(allow),
                        *denied = two_pods(deny);
    int pair[2];
    char connected = '?';
    start_pods(open);
    enforce(open);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    pid_t client = fork();
    if (client == 0) {
        close(pair[0]);
        client_main(pods[0].pid, pair[1]);
    }
    close(pair[1]);
    assert_int_equal(read(pair[0], &connected, 1), 1);
    assert_int_equal(connected, 'y');
    enforce(allowed);
    assert_int_equal(ask(pair[0]), 'y');
    enforce(denied);
    assert_int_equal(ask(pair[0]), 'n');
    enforce(denied);
    assert_int_equal(ask(pair[0]), 'n');
    close(pair[0]);
    kill(client, SIGKILL);
    waitpid(client, NULL, 0);
    stop_pods();
    netpol_model_release(open);
    netpol_model_release(allowed);
    netpol_model_release(denied);
}

struct heard {
    struct ip src;
    uint16_t port;
    size_t n;
};

static void on_denial(void *ctx, const struct denial *what)
{
    struct heard *h = ctx;
    h->n += ip_eq(&what->src, &h->src) && what->dport == h->port && what->proto == NETPOL_TCP;
}

/* The kernel reports what it dropped. */
static void test_denials_are_reported(void **state)
{
    (void)state;
    static const char deny[] = "[{\"metadata\":{\"name\":\"p\",\"namespace\":\"n\"},\"spec\":{"
                               "\"podSelector\":{\"matchLabels\":{\"app\":\"b\"}}}}]";
    struct netpol_model *m = two_pods(deny);
    struct denials *d;
    struct attempt a = {.port = 81};
    struct heard heard = {.port = 81};
    assert_ok(denials_open(&d));
    start_pods(m);
    enforce(m);
    memcpy(&a.ip, pods[1].end.ip.b, 4);
    heard.src = pods[0].end.ip;
    exchange(0, &a, 1, true);
    exchange(0, &a, 1, false);
    assert_false(a.came_through);
    for (int i = 0; i < 20 && heard.n == 0; i++) {
        usleep(100000); /* the kernel gathers reports for up to a second */
        denials_read(d, on_denial, &heard);
    }
    assert_true(heard.n > 0);
    denials_close(d);
    stop_pods();
    netpol_model_release(m);
}

/* A node of its own: namespaces for network and mounts (sysctl files), forwarding on. */
static bool make_node(void)
{
    const char *file;
    return geteuid() == 0 && !failed(nft_find(&file)) && access("/usr/bin/nsenter", X_OK) == 0 &&
           shell("command -v ip >/dev/null") && unshare(CLONE_NEWNET) == 0 &&
           shell("ip link set lo up && echo 1 > /proc/sys/net/ipv4/ip_forward");
}

int main(void)
{
    if (!make_node()) {
        printf("skipped: netpol live: needs root, nft, ip and nsenter\n");
        return 77;
    }
    signal(SIGCHLD, SIG_DFL);
    arena_init(&arena, (size_t)512 << 20);
    if (failed(netlink_open(&nl))) {
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_live_connection_is_cut),
        cmocka_unit_test(test_denials_are_reported),
        cmocka_unit_test(test_cyclonus_with_packets),
    };
    int rc = cmocka_run_group_tests_name("netpol live", tests, NULL, NULL);
    stop_pods();
    netlink_close(nl);
    arena_release(&arena);
    return rc;
}
