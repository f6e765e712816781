/*
 * attacker: code of a stranger inside a daemon. Preloaded into the real program, it waits until the daemon
 * has entered its sandbox and begins to serve (its first call of uv_run; for the key process, its first
 * read), and then tries what an intruder would: with the daemon's own uid, descriptors and memory.
 *
 * It is told by the environment what to try and writes "name<TAB>result<TAB>errno" lines to descriptor
 * SEPARATION_FD. Attempts that a daemon does not survive are tried one a run (SEPARATION_ATTEMPT).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/capability.h>
#include <sched.h>

int uv_run(void *loop, int mode);

enum { OUT_FD = 9, KEYS_FD = 3 };

static const char *root, *self, *others;
static pid_t victim;
static int port;

static void say(const char *name, long rc)
{
    char line[256];
    int saved = errno;
    int n = snprintf(line, sizeof(line), "%s\t%s\t%d\n", name, rc >= 0 ? "allowed" : "refused",
                     rc >= 0 ? 0 : saved);
    if (n > 0 && write(OUT_FD, line, (size_t)n) != n) {
        _exit(3);
    }
}

__attribute__((format(printf, 2, 3))) static long try_open(int flags, const char *fmt, ...)
{
    char path[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(path, sizeof(path), fmt, ap);
    va_end(ap);
    return open(path, flags | O_CLOEXEC, 0600);
}

/* A leading '@' stands for an abstract name. */
static long try_unix(const char *before, const char *middle, const char *after)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    snprintf(to.sun_path, sizeof(to.sun_path), "%s%s%s", before, middle, after);
    socklen_t n = sizeof(to);
    if (to.sun_path[0] == '@') {
        n = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(to.sun_path));
        to.sun_path[0] = '\0';
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return fd < 0 ? -1 : connect(fd, (struct sockaddr *)&to, n);
}

static void try_others(void)
{
    char list[512], *rest = list, *other;
    snprintf(list, sizeof(list), "%s", others);
    while ((other = strsep(&rest, ",")) != NULL) {
        if (other[0] == '\0' || strcmp(other, self) == 0) {
            continue;
        }
        say("read a file of another daemon", try_open(O_RDONLY, "%s/state/%s/secret", root, other));
        say("list the state of another daemon",
            try_open(O_RDONLY | O_DIRECTORY, "%s/state/%s", root, other));
        say("write into the state of another daemon",
            try_open(O_WRONLY | O_CREAT, "%s/state/%s/planted", root, other));
        say("write into the sockets' folder of another daemon",
            try_open(O_WRONLY | O_CREAT, "%s/run/%s/planted", root, other));
        char path[96];
        snprintf(path, sizeof(path), "/state/%s", other);
        say("connect to a private socket of another daemon", try_unix(root, path, "/private.sock"));
    }
    say("read the seal key", try_open(O_RDONLY, "%s/state/crypto/seal/seal.key", root));
}

static void try_files(void)
{
    say("read /etc/shadow", try_open(O_RDONLY, "/etc/shadow"));
    say("read a file that all may read", try_open(O_RDONLY, "%s/anyone", root));
    say("write to /tmp", try_open(O_WRONLY | O_CREAT, "%s/open/planted", root));
    say("write to /etc", try_open(O_WRONLY | O_CREAT, "/etc/sextant-planted"));
    say("make a device", mknod("/tmp/sextant-device", S_IFCHR | 0600, 0x101));
    say("read memory of another process", try_open(O_RDONLY, "/proc/%d/mem", victim));
    say("read environment of another process", try_open(O_RDONLY, "/proc/%d/environ", victim));
}

static long tcp(int (*act)(int, const struct sockaddr *, socklen_t), int to_port)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)to_port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return fd < 0 ? -1 : act(fd, (struct sockaddr *)&at, sizeof(at));
}

static void try_network(void)
{
    say("open a TCP connection", tcp(connect, port));
    say("listen on a TCP port of its choice", tcp(bind, port + 1));
    say("send UDP", socket(AF_INET, SOCK_DGRAM, 0));
    say("open a raw socket", socket(AF_INET, SOCK_RAW, IPPROTO_TCP));
    say("open a packet socket", socket(AF_PACKET, SOCK_RAW, 0));
    say("speak netlink to the firewall", socket(AF_NETLINK, SOCK_RAW, 12));
    say("use the kernel's crypto sockets", socket(AF_ALG, SOCK_SEQPACKET, 0));
    say("connect to an abstract socket", try_unix("@sextant-separation-", root + 5, ""));
}

static long try_capabilities(void)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {
        {.effective = 1u << CAP_DAC_OVERRIDE, .permitted = 1u << CAP_DAC_OVERRIDE}};
    return syscall(SYS_capset, &head, data);
}

static long try_fork(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        _exit(0);
    }
    return pid < 0 ? -1 : waitpid(pid, NULL, 0);
}

static void try_process(void)
{
    say("start a process", try_fork());
    say("signal another process", kill(victim, 0));
    say("become root", setuid(0));
    say("take groups", setgroups(0, NULL));
    say("regain capabilities", try_capabilities());
    void *code =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    say("map memory to write and execute", code == MAP_FAILED ? -1 : 0);
    say("make a file in memory", syscall(SYS_memfd_create, "x", 0));
    say("set up io_uring", syscall(SYS_io_uring_setup, 1, NULL));
}

/* What ends the process when it is refused; and exec, which ends it when it is not. */
static void try_one(const char *name)
{
    if (strcmp(name, "trace another process") == 0) {
        say(name, ptrace(PTRACE_ATTACH, victim, NULL, NULL));
    } else if (strcmp(name, "read memory by process_vm_readv") == 0) {
        char byte;
        struct iovec here = {&byte, 1}, there = {&byte, 1};
        say(name, syscall(SYS_process_vm_readv, victim, &here, 1, &there, 1, 0));
    } else if (strcmp(name, "mount") == 0) {
        say(name, mount("none", "/tmp", "tmpfs", 0, NULL));
    } else if (strcmp(name, "make a namespace") == 0) {
        say(name, unshare(CLONE_NEWUSER));
    } else if (strcmp(name, "load BPF") == 0) {
        say(name, syscall(SYS_bpf, 0, NULL, 0));
    } else if (strcmp(name, "use the kernel's keyrings") == 0) {
        say(name, syscall(SYS_keyctl, 0, -3, 0));
    } else if (strcmp(name, "execute a shell") == 0) {
        char sh[] = "sh", c[] = "-c", text[] = "exit 42";
        char *argv[] = {sh, c, text, NULL}, *envp[] = {NULL};
        say(name, execve("/bin/sh", argv, envp));
    }
}

static void attack(void)
{
    const char *one = getenv("SEPARATION_ATTEMPT");
    root = getenv("SEPARATION_ROOT");
    self = getenv("SEPARATION_SELF");
    others = getenv("SEPARATION_OTHERS");
    const char *pid = getenv("SEPARATION_VICTIM"), *p = getenv("SEPARATION_PORT");
    if (root == NULL || self == NULL || others == NULL || pid == NULL || p == NULL) {
        _exit(4);
    }
    victim = (pid_t)strtol(pid, NULL, 10);
    port = (int)strtol(p, NULL, 10);
    if (one != NULL && one[0] != '\0') {
        try_one(one);
    } else {
        try_others();
        try_files();
        try_network();
        try_process();
    }
    say("end", 0);
    _exit(0);
}

int uv_run(void *loop, int mode)
{
    attack();
    return 0;
}

ssize_t read(int fd, void *buf, size_t n)
{
    if (fd == KEYS_FD && getenv("SEPARATION_KEYS") != NULL) {
        attack();
    }
    return syscall(SYS_read, fd, buf, n);
}
