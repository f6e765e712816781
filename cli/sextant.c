#include "cli/command.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct verb {
    const char *name, *help;
    int (*run)(int argc, char **argv); /* NULL: the sister program of that name */
    const char *sister, *sister_arg;   /* when it differs from sextant-NAME */
};

static const struct verb verbs[] = {
    {"init", "make a trust domain: directory, keys, configuration", command_init, NULL, NULL},
    {"up", "start every daemon and watch it", command_up, NULL, NULL},
    {"status", "table of the running daemons", command_status, NULL, NULL},
    {"env", "print VAULT_ADDR, SPIFFE_ENDPOINT_SOCKET and friends for a shell", command_env, NULL,
     NULL},
    {"doctor", "look for what would stop Sextant on this machine", command_doctor, NULL, NULL},
    {"demo", "play the reference story in a place of its own", command_demo, NULL, NULL},
    {"ask", "the five questions: who, when, policy, secret, identity", NULL, "sextant-audit",
     "ask"},
    {"respond", "contain a compromised identity, with proof", NULL, NULL, NULL},
    {"assess", "maturity level and anti-patterns of a repository", NULL, NULL, NULL},
    {"authn", "OpenID provider", NULL, NULL, NULL},
    {"authz", "policy engine (OPA's commands)", NULL, NULL, NULL},
    {"identity", "workload identity (SPIFFE)", NULL, NULL, NULL},
    {"secrets", "secret manager (Vault's commands)", NULL, NULL, NULL},
    {"crypto", "central cryptography (Vault Transit)", NULL, NULL, NULL},
    {"mesh", "sidecar (Istio's security policies)", NULL, NULL, NULL},
    {"netpol", "network policy (Kubernetes, nftables)", NULL, NULL, NULL},
    {"audit", "tamper-evident log", NULL, NULL, NULL},
};

static char bin_dir[4096];

const char *command_bin_dir(void)
{
    return bin_dir;
}

static void find_bin_dir(void)
{
    ssize_t n = readlink("/proc/self/exe", bin_dir, sizeof(bin_dir) - 1);
    bin_dir[n > 0 ? n : 0] = '\0';
    size_t slash = str_rfind_char(str_of(bin_dir), '/');
    bin_dir[slash != STR_NPOS ? slash : 0] = '\0';
}

char *command_sister(struct arena *a, const char *name)
{
    return arena_cstr(a, arena_printf(a, "%s/%s", bin_dir, name));
}

struct str command_share_dir(struct arena *a)
{
    return arena_printf(a, "%s/../share/sextant", bin_dir);
}

struct str command_domain_dir(struct arena *a, const char *given)
{
    const char *dir = given != NULL ? given : getenv("SEXTANT_DIR");
    if (dir != NULL) {
        char *real = realpath(dir, NULL);
        struct str s = arena_str(a, str_of(real != NULL ? real : dir));
        free(real);
        return s;
    }
    const char *home = getenv("HOME");
    if (getuid() == 0 || home == NULL) {
        return S("/var/lib/sextant");
    }
    return arena_printf(a, "%s/.local/share/sextant", home);
}

int command_fail(const char *verb, struct err e)
{
    fprintf(stderr, "sextant %s: %s: %s\n", verb, err_text(e), err_detail());
    return EXIT_FAILED;
}

int command_usage(const char *verb, const char *problem, const char *usage)
{
    if (problem != NULL) {
        fprintf(stderr, "sextant %s: %s\n", verb, problem);
    }
    fprintf(problem != NULL ? stderr : stdout, "usage: sextant %s %s\n", verb, usage);
    return problem != NULL ? EXIT_USAGE : EXIT_OK;
}

static void print_help(FILE *to)
{
    fprintf(to, "usage: sextant VERB [arguments]\n\n");
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
        fprintf(to, "  %-10s %s\n", verbs[i].name, verbs[i].help);
    }
    fprintf(to, "  %-10s %s\n\n", "version", "print the version");
    fprintf(to, "'sextant VERB --help' tells more. First steps: sextant init && sextant up\n");
}

/* Replaces this process by the daemon's own program. */
static int exec_sister(const struct verb *v, int argc, char **argv)
{
    struct arena a;
    arena_init(&a, 1 << 20);
    char *name = v->sister != NULL ? arena_cstr(&a, str_of(v->sister))
                                   : arena_cstr(&a, arena_printf(&a, "sextant-%s", v->name));
    char **args = arena_array(&a, char *, (size_t)argc + 3);
    size_t n = 0;
    args[n++] = name;
    if (v->sister_arg != NULL) {
        args[n++] = arena_cstr(&a, str_of(v->sister_arg));
    }
    for (int i = 1; i < argc; i++) {
        args[n++] = argv[i];
    }
    execv(command_sister(&a, name), args);
    execvp(name, args);
    fprintf(stderr, "sextant: cannot run %s: %s (is it installed beside %s/sextant?)\n", name,
            strerror(errno), bin_dir);
    arena_release(&a);
    return EXIT_MISSING;
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    find_bin_dir();
    if (argc < 2) {
        print_help(stderr);
        return EXIT_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "help") == 0 || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        print_help(stdout);
        return EXIT_OK;
    }
    if (strcmp(name, "version") == 0 || strcmp(name, "--version") == 0) {
        printf("sextant %s\n", SEXTANT_VERSION);
        return EXIT_OK;
    }
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
        if (strcmp(verbs[i].name, name) == 0) {
            return verbs[i].run != NULL ? verbs[i].run(argc - 1, argv + 1)
                                        : exec_sister(&verbs[i], argc - 1, argv + 1);
        }
    }
    fprintf(stderr, "sextant: no verb '%s'; 'sextant help' lists them\n", name);
    return EXIT_USAGE;
}
