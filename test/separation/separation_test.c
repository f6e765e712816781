/*
 * The separation test: an attacker (attacker.c) inside each daemon, against all the others.
 *
 * A trust domain is made in a folder of its own, each daemon with its uid (when root; otherwise one uid for
 * all, and Landlock alone keeps them apart), a secret file and a private socket. Then each daemon is
 * started for real with the attacker preloaded. What was tried and what became of it is printed as a table,
 * and written as JSON to SEPARATION_JSON when that is set. Anything allowed that is not in `may` below is
 * a failure.
 */
#include "test/unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FIRST_UID = 70160, PORT = 20440, OUT_FD = 9, MAX_ROWS = 64, RUN_SECONDS = 20 };

static const struct {
    const char *name, *program, *section;
    bool needs_root;
} daemons[] = {
    {"crypto", "crypto/sextant-crypto", "crypto: {listen: \"127.0.0.1:20411\", audit_mode: spool}",
     false},
    {"keys", "crypto/sextant-crypto", NULL, false},
    {"identity", "identity/sextant-identity", "identity: {listen: \"127.0.0.1:20412\"}", false},
    {"audit", "audit/sextant-audit", "audit: {listen: \"127.0.0.1:20413\"}", false},
    {"authn", "authn/sextant-authn",
     "authn: {listen: \"127.0.0.1:20414\", issuer: \"https://localhost:20414\"}", false},
    {"authz", "authz/sextant-authz", "authz: {listen: \"127.0.0.1:20415\", policies: [@/policies]}",
     false},
    {"secrets", "secrets/sextant-secrets", "secrets: {listen: \"127.0.0.1:20416\"}", false},
    {"mesh", "mesh/sextant-mesh",
     "mesh: {policies: @/mesh, inbound_listen: \"127.0.0.1:20417\", "
     "outbound_listen: \"127.0.0.1:20418\", admin_listen: \"127.0.0.1:20419\"}",
     false},
    {"netpol", "netpol/sextant-netpol", "netpol: {manifests: @/manifests}", true},
};

/* What a daemon may do by design; everything else that works is a hole. */
static const struct {
    const char *daemon, *attempt, *why;
    bool only_without_root;
} may[] = {
    {"secrets", "open a TCP connection", "it makes roles in databases", false},
    {"secrets", "send UDP", "names of databases are looked up", false},
    {"mesh", "open a TCP connection", "it forwards its workload's connections", false},
    {"netpol", "speak netlink to the firewall", "it is the firewall's writer", false},
    {"netpol", "start a process", "it runs nft, and can run nothing else", false},
    {"identity", "read a file that all may read", "no Landlock: it must see /proc/PID/exe", false},
    {"identity", "write to /tmp", "no Landlock: it must see /proc/PID/exe", false},
    {"identity", "connect to an abstract socket", "no Landlock: it must see /proc/PID/exe", false},
    {"identity", "read a file of another daemon", "one uid for all, no Landlock", true},
    {"identity", "list the state of another daemon", "one uid for all, no Landlock", true},
    {"identity", "write into the state of another daemon", "one uid for all, no Landlock", true},
    {"identity", "write into the sockets' folder of another daemon", "one uid, no Landlock", true},
    {"identity", "connect to a private socket of another daemon", "one uid, no Landlock", true},
    {"identity", "read the seal key", "one uid for all, no Landlock", true},
    {"*", "connect to a private socket of another daemon", "one uid: sockets are not Landlock's",
     true},
};

static const char *const fatal[] = {"execute a shell",
                                    "trace another process",
                                    "read memory by process_vm_readv",
                                    "mount",
                                    "make a namespace",
                                    "load BPF",
                                    "use the kernel's keyrings"};

struct row {
    char name[64];
    int tried[ARRAY_LEN(daemons)], allowed[ARRAY_LEN(daemons)], killed[ARRAY_LEN(daemons)];
    int other[ARRAY_LEN(daemons)]; /* failed for a reason that is not a refusal */
};

static struct row rows[MAX_ROWS];
static size_t n_rows;
static bool ran[ARRAY_LEN(daemons)];
static char root_dir[64], config_path[96], others[256];
static const char *build, *attacker;
static pid_t victim;
static int failures;

static uid_t uid_of(size_t i)
{
    bool keys = strcmp(daemons[i].name, "keys") == 0;
    return geteuid() == 0 ? (uid_t)(FIRST_UID + (keys ? 0 : i)) : geteuid();
}

static struct row *row_of(const char *name)
{
    for (size_t i = 0; i < n_rows; i++) {
        if (strcmp(rows[i].name, name) == 0) {
            return &rows[i];
        }
    }
    assert_true(n_rows < MAX_ROWS);
    snprintf(rows[n_rows].name, sizeof(rows[n_rows].name), "%s", name);
    return &rows[n_rows++];
}

static bool is_allowed_by_design(const char *daemon, const char *attempt)
{
    for (size_t i = 0; i < ARRAY_LEN(may); i++) {
        bool applies = !may[i].only_without_root || geteuid() != 0;
        bool daemon_fits = strcmp(may[i].daemon, "*") == 0 || strcmp(may[i].daemon, daemon) == 0;
        if (applies && daemon_fits && strcmp(may[i].attempt, attempt) == 0) {
            return true;
        }
    }
    return false;
}

/* ---- the ground ---- */

static void put_section(FILE *f, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '@') {
            fputs(root_dir, f);
        } else {
            fputc(*text, f);
        }
    }
    fputc('\n', f);
}

static void write_config(void)
{
    FILE *f = fopen(config_path, "w");
    assert_non_null(f);
    fprintf(f, "trust_domain: t\nstate_dir: %s/state\nrun_dir: %s/run\nuids:\n", root_dir,
            root_dir);
    for (size_t i = 0; i < ARRAY_LEN(daemons); i++) {
        if (daemons[i].section != NULL) {
            fprintf(f, "  %s: %u\n", daemons[i].name, (unsigned)uid_of(i));
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(daemons); i++) {
        if (daemons[i].section != NULL) {
            put_section(f, daemons[i].section);
        }
    }
    fclose(f);
    chmod(config_path, 0644);
}

static void make_dir(const char *name, mode_t mode, uid_t uid)
{
    char path[160];
    snprintf(path, sizeof(path), "%s/%s", root_dir, name);
    assert_true(mkdir(path, mode) == 0 || errno == EEXIST);
    assert_int_equal(chmod(path, mode), 0);
    assert_int_equal(chown(path, uid, geteuid() == 0 ? uid : getegid()), 0);
}

static void make_file(const char *name, mode_t mode, uid_t uid)
{
    char path[160];
    snprintf(path, sizeof(path), "%s/%s", root_dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, mode);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "secret\n", 7), 7);
    assert_int_equal(fchmod(fd, mode), 0);
    assert_int_equal(fchown(fd, uid, geteuid() == 0 ? uid : getegid()), 0);
    close(fd);
}

static int listen_unix(const char *path, size_t n)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    memcpy(at.sun_path, path, n);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, len), 0);
    assert_int_equal(listen(fd, 100), 0);
    return fd;
}

static void make_victims(void)
{
    char name[96], path[160];
    for (size_t i = 0; i < ARRAY_LEN(daemons); i++) {
        if (daemons[i].section == NULL) {
            continue;
        }
        snprintf(name, sizeof(name), "state/%s", daemons[i].name);
        make_dir(name, 0700, uid_of(i));
        snprintf(name, sizeof(name), "run/%s", daemons[i].name);
        make_dir(name, 0755, uid_of(i));
        snprintf(name, sizeof(name), "state/%s/secret", daemons[i].name);
        make_file(name, 0600, uid_of(i));
        snprintf(path, sizeof(path), "%s/state/%s/private.sock", root_dir, daemons[i].name);
        listen_unix(path, strlen(path) + 1);
        assert_int_equal(chown(path, uid_of(i), (gid_t)-1), 0);
        snprintf(others + strlen(others), sizeof(others) - strlen(others), "%s,", daemons[i].name);
    }
    snprintf(path, sizeof(path), "%csextant-separation-%s", 0, root_dir + 5);
    listen_unix(path, 1 + strlen(path + 1));
}

/* Somebody else's process, of the uid of crypto, as a holder of keys is: not dumpable. */
static void make_victim_process(void)
{
    victim = fork();
    if (victim == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (geteuid() == 0) {
            bool good = setgroups(0, NULL) == 0 &&
                        setresgid(FIRST_UID, FIRST_UID, FIRST_UID) == 0 &&
                        setresuid(FIRST_UID, FIRST_UID, FIRST_UID) == 0;
            if (!good) {
                _exit(1);
            }
        }
        prctl(PR_SET_DUMPABLE, 0);
        alarm(600);
        pause();
        _exit(0);
    }
}

static void listen_tcp(void)
{
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons(PORT), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(fd, 100), 0);
}

/* ---- one run of one daemon ---- */

static void put_env(size_t i, const char *attempt)
{
    char pid[16], port[16];
    snprintf(pid, sizeof(pid), "%d", (int)victim);
    snprintf(port, sizeof(port), "%d", PORT);
    setenv("LD_PRELOAD", attacker, 1);
    setenv("ASAN_OPTIONS", "verify_asan_link_order=0:detect_leaks=0", 1);
    setenv("SEPARATION_ROOT", root_dir, 1);
    setenv("SEPARATION_SELF", strcmp(daemons[i].name, "keys") == 0 ? "" : daemons[i].name, 1);
    setenv("SEPARATION_OTHERS", others, 1);
    setenv("SEPARATION_VICTIM", pid, 1);
    setenv("SEPARATION_PORT", port, 1);
    setenv("SEPARATION_ATTEMPT", attempt, 1);
    if (strcmp(daemons[i].name, "keys") == 0) {
        setenv("SEPARATION_KEYS", "1", 1);
    }
}

/* The key process is started as its front does: by a user that is not root, with its socket at 3. */
static void become_keys(size_t i)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0 || dup2(pair[0], 3) < 0) {
        _exit(5);
    }
    if (geteuid() == 0 &&
        (setgroups(0, NULL) != 0 || setresgid(uid_of(i), uid_of(i), uid_of(i)) != 0 ||
         setresuid(uid_of(i), uid_of(i), uid_of(i)) != 0)) {
        _exit(6);
    }
}

static pid_t start(size_t i, const char *attempt, int out)
{
    char program[512];
    snprintf(program, sizeof(program), "%s/%s", build, daemons[i].program);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        bool keys = strcmp(daemons[i].name, "keys") == 0;
        char log[128];
        snprintf(log, sizeof(log), "%s/log", root_dir);
        int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0666);
        dup2(fd, 1);
        dup2(fd, 2);
        dup2(out, OUT_FD);
        alarm(RUN_SECONDS);
        put_env(i, attempt);
        if (keys) {
            become_keys(i);
        }
        execl(program, program, "--config", config_path, keys ? "keys" : "run", (char *)NULL);
        _exit(127);
    }
    return pid;
}

static size_t read_all(int fd, char *text, size_t cap)
{
    size_t n = 0;
    ssize_t got;
    while (n < cap - 1 && (got = read(fd, text + n, cap - 1 - n)) > 0) {
        n += (size_t)got;
    }
    text[n] = '\0';
    return n;
}

static void note(size_t i, char *line)
{
    char *name = strsep(&line, "\t"), *result = strsep(&line, "\t");
    if (result == NULL || line == NULL || strcmp(name, "end") == 0) {
        return;
    }
    struct row *r = row_of(name);
    long err = strtol(line, NULL, 10);
    r->tried[i]++;
    r->allowed[i] += strcmp(result, "allowed") == 0;
    r->other[i] += strcmp(result, "refused") == 0 && err != EPERM && err != EACCES && err != ENOSYS;
    if (r->other[i] > 0 && strcmp(result, "refused") == 0) {
        print_message("note: %s: %s: %s\n", daemons[i].name, name, strerror((int)err));
    }
}

/* The daemon's exit status as waitpid gives it. */
static int run(size_t i, const char *attempt)
{
    static char text[64 * 1024];
    int out[2], status = 0;
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    pid_t pid = start(i, attempt, out[1]);
    close(out[1]);
    read_all(out[0], text, sizeof(text));
    close(out[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    char *rest = text, *line;
    while ((line = strsep(&rest, "\n")) != NULL) {
        note(i, line);
    }
    return status;
}

static void run_fatal(size_t i, const char *attempt)
{
    struct row *r = row_of(attempt);
    int before = r->tried[i], status = run(i, attempt);
    if (r->tried[i] > before) {
        return; /* it came back: refused or allowed, already noted */
    }
    r->tried[i]++;
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) {
        r->killed[i]++;
    } else if (WIFEXITED(status) && WEXITSTATUS(status) == 42) {
        r->allowed[i]++;
    } else {
        r->other[i]++;
    }
}

static void attack_all(void)
{
    for (size_t i = 0; i < ARRAY_LEN(daemons); i++) {
        char program[512];
        snprintf(program, sizeof(program), "%s/%s", build, daemons[i].program);
        if (access(program, X_OK) != 0 || (daemons[i].needs_root && geteuid() != 0)) {
            print_message("skipped: %s (%s)\n", daemons[i].name,
                          daemons[i].needs_root && geteuid() != 0 ? "needs root" : "not built");
            continue;
        }
        int status = run(i, "");
        ran[i] = n_rows > 0 && row_of("become root")->tried[i] > 0;
        if (!ran[i]) {
            print_message("FAILED: %s did not come to serve (status %x)\n", daemons[i].name,
                          status);
            failures++;
            continue;
        }
        for (size_t k = 0; k < ARRAY_LEN(fatal); k++) {
            run_fatal(i, fatal[k]);
        }
    }
}

/* ---- the account ---- */

static const char *verdict(const struct row *r, size_t i)
{
    return !ran[i] || r->tried[i] == 0                                           ? "-"
           : r->allowed[i] > 0 && is_allowed_by_design(daemons[i].name, r->name) ? "by design"
           : r->allowed[i] > 0                                                   ? "ALLOWED"
           : r->other[i] > 0                                                     ? "failed"
           : r->killed[i] > 0                                                    ? "killed"
                                                                                 : "refused";
}

static void print_table(void)
{
    printf("\n| attempt |");
    for (size_t i = 0; i < ARRAY_LEN(daemons); i++) {
        printf(" %s |", daemons[i].name);
    }
    printf("\n|---|");
    for (size_t i = 0; i < ARRAY_LEN(daemons); i++) {
        printf("---|");
    }
    printf("\n");
    for (size_t k = 0; k < n_rows; k++) {
        printf("| %s |", rows[k].name);
        for (size_t i = 0; i < ARRAY_LEN(daemons); i++) {
            const char *v = verdict(&rows[k], i);
            failures += strcmp(v, "ALLOWED") == 0;
            printf(" %s |", v);
        }
        printf("\n");
    }
    printf("\n");
}

static void write_json(FILE *f)
{
    fprintf(f, "{\"root\":%s,\"attempts\":[", geteuid() == 0 ? "true" : "false");
    const char *comma = "";
    for (size_t k = 0; k < n_rows; k++) {
        for (size_t i = 0; i < ARRAY_LEN(daemons); i++) {
            if (ran[i] && rows[k].tried[i] > 0) {
                fprintf(
                    f, "%s\n{\"daemon\":\"%s\",\"attempt\":\"%s\",\"tried\":%d,\"result\":\"%s\"}",
                    comma, daemons[i].name, rows[k].name, rows[k].tried[i], verdict(&rows[k], i));
                comma = ",";
            }
        }
    }
    fprintf(f, "\n],\"by_design\":[");
    for (size_t i = 0; i < ARRAY_LEN(may); i++) {
        fprintf(
            f, "%s\n{\"daemon\":\"%s\",\"attempt\":\"%s\",\"why\":\"%s\",\"only_without_root\":%s}",
            i > 0 ? "," : "", may[i].daemon, may[i].attempt, may[i].why,
            may[i].only_without_root ? "true" : "false");
    }
    fprintf(f, "\n]}\n");
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    return remove(path);
}

static void show_log(void)
{
    static char text[32 * 1024];
    char path[128];
    snprintf(path, sizeof(path), "%s/log", root_dir);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        read_all(fd, text, sizeof(text));
        printf("%s\n", text);
        close(fd);
    }
}

static void make_ground(void)
{
    char command[1024];
    snprintf(root_dir, sizeof(root_dir), "/tmp/separation-XXXXXX");
    assert_non_null(mkdtemp(root_dir));
    assert_int_equal(chmod(root_dir, 0755), 0);
    snprintf(config_path, sizeof(config_path), "%s/sextant.yaml", root_dir);
    static const char *const folders[] = {"state", "run", "policies", "mesh", "manifests"};
    for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
        make_dir(folders[i], 0755, geteuid());
    }
    make_dir("open", 01777, geteuid());
    make_file("anyone", 0644, geteuid());
    make_file("log", 0666, geteuid());
    write_config();
    make_victims();
    snprintf(command, sizeof(command), "%s/crypto/sextant-crypto", build);
    pid_t pid = fork();
    if (pid == 0) {
        execl(command, command, "--config", config_path, "init", (char *)NULL);
        _exit(127);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void test_separation(void **state)
{
    make_ground();
    make_victim_process();
    listen_tcp();
    attack_all();
    print_table();
    const char *json = getenv("SEPARATION_JSON");
    FILE *f = json != NULL ? fopen(json, "w") : NULL;
    if (f != NULL) {
        write_json(f);
        fclose(f);
    }
    kill(victim, SIGKILL);
    waitpid(victim, NULL, 0);
    if (failures > 0) {
        show_log();
    }
    nftw(root_dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    assert_int_equal(failures, 0);
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: separation_test BUILD_FOLDER ATTACKER_LIBRARY\n");
        return 2;
    }
    build = argv[1];
    attacker = argv[2];
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_separation)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
