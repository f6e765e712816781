#include "sandbox.h"

#include "test/unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * Each attempt runs in a child that has entered the sandbox. ALLOWED, REFUSED (EPERM or EACCES),
 * KILLED (SIGSYS), or OTHER.
 */
enum verdict { ALLOWED = 1, REFUSED, KILLED, OTHER, NO_SANDBOX };

enum { UID = 70199 };

static char dir[64], other[64];

static enum verdict attempt(const struct sandbox_profile *p, int (*fn)(void))
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        struct err e = sandbox_enter(p, NULL);
        if (e.code != 0) {
            dprintf(2, "sandbox: %s\n", err_detail());
            _exit(NO_SANDBOX);
        }
        errno = 0;
        int rc = fn();
        _exit(rc >= 0 ? ALLOWED : errno == EPERM || errno == EACCES ? REFUSED : OTHER);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFSIGNALED(status)) {
        return WTERMSIG(status) == SIGSYS ? KILLED : OTHER;
    }
    return (enum verdict)WEXITSTATUS(status);
}

static struct sandbox_profile base_profile(unsigned flags)
{
    static const char *rw[] = {dir, NULL};
    return (struct sandbox_profile){
        .daemon = "test", .paths_rw = rw, .flags = flags, .uid = geteuid() == 0 ? UID : 0};
}

static int write_inside(void)
{
    char path[96];
    snprintf(path, sizeof(path), "%s/file", dir);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    return fd >= 0 && write(fd, "x", 1) == 1 ? unlink(path) : -1;
}

static int read_outside(void)
{
    return open(other, O_RDONLY);
}

static int read_passwd(void)
{
    return open("/etc/passwd", O_RDONLY);
}

static int read_own_memory(void)
{
    return open("/proc/1/environ", O_RDONLY);
}

static int tcp_socket(void)
{
    return socket(AF_INET, SOCK_STREAM, 0);
}

static int udp_socket(void)
{
    return socket(AF_INET, SOCK_DGRAM, 0);
}

static int raw_socket(void)
{
    return socket(AF_INET, SOCK_RAW, 1);
}

static int unix_socket(void)
{
    return socket(AF_UNIX, SOCK_STREAM, 0);
}

static int netlink_socket(void)
{
    return socket(AF_NETLINK, SOCK_RAW, 12);
}

static struct sockaddr_in loopback(uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int connect_to(uint16_t port)
{
    struct sockaddr_in to = loopback(port);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    int rc = fd < 0 ? -1 : connect(fd, (struct sockaddr *)&to, sizeof(to));
    return rc < 0 && errno == ECONNREFUSED ? 0 : rc; /* it was let through */
}

static int connect_20401(void)
{
    return connect_to(20401);
}

static int connect_20402(void)
{
    return connect_to(20402);
}

static int bind_to(uint16_t port)
{
    struct sockaddr_in at = loopback(port);
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    if (fd >= 0) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    }
    return fd < 0 ? -1 : bind(fd, (struct sockaddr *)&at, sizeof(at));
}

static int bind_20403(void)
{
    return bind_to(20403);
}

static int bind_20404(void)
{
    return bind_to(20404);
}

static int run_true(void)
{
    char *argv[] = {(char[]){"true"}, NULL}, *envp[] = {NULL};
    return execve("/bin/true", argv, envp);
}

static int fork_and_run(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        run_true();
        _exit(1);
    }
    int status = 1;
    if (pid < 0 || waitpid(pid, &status, 0) < 0) {
        return -1;
    }
    errno = EPERM;
    return status == 0 ? 0 : -1;
}

static int try_ptrace(void)
{
    return (int)ptrace(PTRACE_ATTACH, getppid(), NULL, NULL);
}

static int try_mount(void)
{
    return mount("none", "/tmp", "tmpfs", 0, NULL);
}

static int try_bpf(void)
{
    return (int)syscall(SYS_bpf, 0, NULL, 0);
}

static int try_setuid(void)
{
    return setuid(0);
}

static int try_kill_parent(void)
{
    return kill(getppid(), 0);
}

static int try_exec_memory(void)
{
    return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED
               ? -1
               : 0;
}

static int try_write_and_exec(void)
{
    int prot = PROT_READ | PROT_WRITE | PROT_EXEC;
    return mmap(NULL, 4096, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1 : 0;
}

static int try_memory(void)
{
    void *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? -1 : munmap(p, 1 << 20);
}

static void *thread_main(void *arg)
{
    return arg;
}

static int try_thread(void)
{
    pthread_t t;
    errno = pthread_create(&t, NULL, thread_main, NULL);
    return errno != 0 ? -1 : pthread_join(t, NULL);
}

static int abstract_connect(void)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX, .sun_path = "\0sextant-sandbox-test"};
    socklen_t n = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(to.sun_path + 1));
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    return fd < 0 ? -1 : connect(fd, (struct sockaddr *)&to, n);
}

static int has_cap_net_admin(void)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    if (syscall(SYS_capget, &head, data) != 0) {
        return -1;
    }
    errno = EPERM;
    return data[0].effective == 1u << CAP_NET_ADMIN && data[1].effective == 0 ? 0 : -1;
}

static void test_files(void **state)
{
    struct sandbox_profile p = base_profile(0);
    assert_int_equal(attempt(&p, write_inside), ALLOWED);
    if (sandbox_landlock_abi() > 0) {
        assert_int_equal(attempt(&p, read_outside), REFUSED);
        assert_int_equal(attempt(&p, read_passwd), REFUSED);
    }
    assert_int_equal(attempt(&p, read_own_memory), REFUSED);
}

static void test_network(void **state)
{
    struct sandbox_profile p = base_profile(0);
    assert_int_equal(attempt(&p, tcp_socket), REFUSED);
    assert_int_equal(attempt(&p, udp_socket), REFUSED);
    assert_int_equal(attempt(&p, unix_socket), REFUSED);
    assert_int_equal(attempt(&p, netlink_socket), REFUSED);
    p = base_profile(SANDBOX_INET_CONNECT | SANDBOX_UNIX_CONNECT);
    assert_int_equal(attempt(&p, tcp_socket), ALLOWED);
    assert_int_equal(attempt(&p, unix_socket), ALLOWED);
    assert_int_equal(attempt(&p, udp_socket), REFUSED);
    assert_int_equal(attempt(&p, raw_socket), REFUSED);
    assert_int_equal(attempt(&p, connect_20402), ALLOWED);
    p = base_profile(SANDBOX_NETLINK);
    assert_int_equal(attempt(&p, netlink_socket), ALLOWED);
}

static void test_ports(void **state)
{
    static const uint16_t connect_ports[] = {20401, 0}, bind_ports[] = {20403, 0};
    struct sandbox_profile p = base_profile(SANDBOX_INET_CONNECT | SANDBOX_INET_LISTEN);
    if (sandbox_landlock_abi() < 4) {
        skip();
    }
    p.connect_ports = connect_ports;
    p.bind_ports = bind_ports;
    assert_int_equal(attempt(&p, connect_20401), ALLOWED);
    assert_int_equal(attempt(&p, connect_20402), REFUSED);
    assert_int_equal(attempt(&p, bind_20403), ALLOWED);
    assert_int_equal(attempt(&p, bind_20404), REFUSED);
}

static void test_processes(void **state)
{
    static const char *exec[] = {"/usr", "/lib", "/lib64", "/bin", "/etc/ld.so.cache", NULL};
    struct sandbox_profile p = base_profile(0);
    assert_int_equal(attempt(&p, run_true), REFUSED);
    assert_int_equal(attempt(&p, fork_and_run), REFUSED);
    assert_int_equal(attempt(&p, try_kill_parent), REFUSED);
    assert_int_equal(attempt(&p, try_ptrace), KILLED);
    assert_int_equal(attempt(&p, try_bpf), KILLED);
    assert_int_equal(attempt(&p, try_mount), KILLED);
    assert_int_equal(attempt(&p, try_setuid), REFUSED);
    assert_int_equal(attempt(&p, try_exec_memory), REFUSED);
    assert_int_equal(attempt(&p, try_memory), ALLOWED);
    assert_int_equal(attempt(&p, try_thread), ALLOWED);
    p = base_profile(SANDBOX_EXEC);
    p.paths_exec = exec;
    assert_int_equal(attempt(&p, fork_and_run), ALLOWED);
    assert_int_equal(attempt(&p, try_ptrace), KILLED);
    assert_int_equal(attempt(&p, try_write_and_exec), REFUSED);
}

static void test_stdio(void **state)
{
    struct sandbox_profile p = base_profile(SANDBOX_STDIO);
    p.paths_rw = NULL;
    assert_int_equal(attempt(&p, try_memory), ALLOWED);
    assert_int_equal(attempt(&p, write_inside), REFUSED);
    assert_int_equal(attempt(&p, unix_socket), REFUSED);
    assert_int_equal(attempt(&p, try_thread), REFUSED);
}

static void test_abstract(void **state)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX, .sun_path = "\0sextant-sandbox-test"};
    socklen_t n = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(at.sun_path + 1));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, n), 0);
    assert_int_equal(listen(fd, 1), 0);
    struct sandbox_profile p = base_profile(SANDBOX_UNIX_CONNECT);
    if (sandbox_landlock_abi() >= 6) {
        assert_int_equal(attempt(&p, abstract_connect), REFUSED);
    }
    close(fd);
}

static void test_capabilities(void **state)
{
    if (geteuid() != 0) {
        skip();
    }
    struct sandbox_profile p = base_profile(0);
    assert_int_equal(attempt(&p, has_cap_net_admin), REFUSED);
    p.keep_caps = UINT64_C(1) << CAP_NET_ADMIN;
    assert_int_equal(attempt(&p, has_cap_net_admin), ALLOWED);
}

static void test_missing_path(void **state)
{
    static const char *rw[] = {"/nowhere/at/all", NULL};
    struct sandbox_profile p = base_profile(0);
    p.paths_rw = rw;
    if (sandbox_landlock_abi() > 0) {
        assert_int_equal(attempt(&p, try_memory), NO_SANDBOX);
    }
}

static int setup(void **state)
{
    snprintf(dir, sizeof(dir), "/tmp/sandbox-test-XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(other, sizeof(other), "/tmp/sandbox-other-XXXXXX");
    int fd = mkstemp(other);
    assert_true(fd >= 0);
    assert_int_equal(fchmod(fd, 0644), 0);
    close(fd);
    return geteuid() == 0 ? chown(dir, UID, UID) : 0;
}

static int teardown(void **state)
{
    unlink(other);
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files),        cmocka_unit_test(test_network),
        cmocka_unit_test(test_ports),        cmocka_unit_test(test_processes),
        cmocka_unit_test(test_stdio),        cmocka_unit_test(test_abstract),
        cmocka_unit_test(test_capabilities), cmocka_unit_test(test_missing_path),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
