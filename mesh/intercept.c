/*
 * sextant-mesh intercept: nftables rules in the workload's network namespace, so that its traffic passes
 * through the sidecar without the workload knowing. What the sidecar itself sends (by uid) is exempt; loops
 * cannot form. The table is replaced as a whole, in one transaction.
 */
#include "mesh.h"

#include "lib/base/buf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { IN_PORT = 15006, OUT_PORT = 15001 };

struct plan {
    uint64_t uid;
    struct str inbound, exclude, not_ports; /* comma-separated */
    uint64_t in_port, out_port;
    bool remove, print;
};

static bool take_option(struct plan *p, const char *name, const char *value)
{
    if (strcmp(name, "--uid") == 0) {
        return !failed(str_to_u64(str_of(value), &p->uid)) && p->uid > 0;
    }
    if (strcmp(name, "--inbound") == 0) {
        p->inbound = str_of(value);
    } else if (strcmp(name, "--exclude") == 0) {
        p->exclude = str_of(value);
    } else if (strcmp(name, "--exclude-ports") == 0) {
        p->not_ports = str_of(value);
    } else if (strcmp(name, "--inbound-listen") == 0) {
        return !failed(str_to_u64(str_of(value), &p->in_port)) && p->in_port < 65536;
    } else if (strcmp(name, "--outbound-listen") == 0) {
        return !failed(str_to_u64(str_of(value), &p->out_port)) && p->out_port < 65536;
    } else {
        return false;
    }
    return true;
}

static bool parse_arguments(struct plan *p, int argc, char **argv)
{
    *p = (struct plan){.in_port = IN_PORT, .out_port = OUT_PORT};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--remove") == 0) {
            p->remove = true;
        } else if (strcmp(argv[i], "--print") == 0) {
            p->print = true;
        } else if (i + 1 >= argc || !take_option(p, argv[i], argv[i + 1])) {
            fprintf(stderr, "intercept: '%s' is not an option, or its value is wrong\n", argv[i]);
            return false;
        } else {
            i++;
        }
    }
    if (!p->remove && p->uid == 0) {
        fprintf(stderr, "intercept: --uid UID of the sidecar is missing\n");
        return false;
    }
    return true;
}

/* Ports come from the command line and go into a ruleset: numbers only. */
static bool put_ports(struct buf *out, struct str list)
{
    bool first = true;
    for (struct str rest = list; rest.p != NULL && rest.n > 0;) {
        uint64_t port;
        struct str item = str_trim(str_split(&rest, ','));
        if (failed(str_to_u64(item, &port)) || port == 0 || port > 65535) {
            fprintf(stderr, "intercept: '%.*s' is not a port\n", STR_FMT(item));
            return false;
        }
        buf_printf(out, "%s%u", first ? "" : ", ", (unsigned)port);
        first = false;
    }
    return true;
}

static bool put_blocks(struct buf *out, struct str list)
{
    for (struct str rest = list; rest.p != NULL && rest.n > 0;) {
        struct ip_block b;
        struct str item = str_trim(str_split(&rest, ','));
        if (failed(ip_or_block_parse(item, &b))) {
            fprintf(stderr, "intercept: '%.*s' is not an address or CIDR block\n", STR_FMT(item));
            return false;
        }
        struct ip addr = b.addr;
        buf_printf(out, "    %s daddr ", addr.family == 4 ? "ip" : "ip6");
        ip_put(out, &addr);
        buf_printf(out, "/%u return\n", b.len);
    }
    return true;
}

static bool put_rules(struct buf *out, const struct plan *p)
{
    buf_puts(out, S("table inet sextant_mesh {}\ndelete table inet sextant_mesh\n"));
    if (p->remove) {
        return true;
    }
    buf_puts(out, S("table inet sextant_mesh {\n  chain outbound {\n"
                    "    type nat hook output priority -100; policy accept;\n"));
    buf_printf(out, "    meta skuid %u return\n    oifname \"lo\" return\n", (unsigned)p->uid);
    if (!put_blocks(out, p->exclude)) {
        return false;
    }
    if (p->not_ports.n > 0) {
        buf_puts(out, S("    tcp dport { "));
        if (!put_ports(out, p->not_ports)) {
            return false;
        }
        buf_puts(out, S(" } return\n"));
    }
    buf_printf(out,
               "    meta l4proto tcp redirect to :%u\n  }\n  chain inbound {\n"
               "    type nat hook prerouting priority -100; policy accept;\n",
               (unsigned)p->out_port);
    if (p->inbound.n > 0) {
        buf_puts(out, S("    tcp dport { "));
        if (!put_ports(out, p->inbound)) {
            return false;
        }
        buf_printf(out, " } redirect to :%u\n  }\n", (unsigned)p->in_port);
    } else {
        buf_printf(out, "    meta l4proto tcp redirect to :%u\n  }\n", (unsigned)p->in_port);
    }
    /* From outside, the sidecar's own ports are reached through redirection only. */
    buf_puts(out, S("  chain guard {\n    type filter hook input priority -10; policy accept;\n"
                    "    iifname \"lo\" accept\n"));
    buf_printf(out, "    tcp dport { %u, %u } ct status & dnat != dnat drop\n  }\n}\n",
               (unsigned)p->in_port, (unsigned)p->out_port);
    return buf_ok(out);
}

static int run_nft(struct str rules)
{
    int in[2];
    if (pipe(in) != 0) {
        perror("intercept: pipe");
        return 1;
    }
    pid_t pid = fork();
    if (pid == 0) {
        dup2(in[0], STDIN_FILENO);
        close(in[0]);
        close(in[1]);
        execl("/usr/sbin/nft", "nft", "-f", "-", (char *)NULL);
        fprintf(stderr, "intercept: /usr/sbin/nft: %s\n", strerror(errno));
        _exit(127);
    }
    close(in[0]);
    bool sent = pid > 0 && write(in[1], rules.p, rules.n) == (ssize_t)rules.n;
    close(in[1]);
    int status = 0;
    if (pid < 0 || waitpid(pid, &status, 0) < 0 || !sent || !WIFEXITED(status) ||
        WEXITSTATUS(status) != 0) {
        fprintf(stderr, "intercept: nft did not take the rules (it needs root and nftables)\n");
        return 1;
    }
    return 0;
}

int mesh_cmd_intercept(struct daemon *d, int argc, char **argv)
{
    struct plan plan;
    if (!parse_arguments(&plan, argc, argv)) {
        return 2;
    }
    struct buf rules;
    buf_init(&rules, 60 * 1024); /* fits a pipe: written at once */
    int code = put_rules(&rules, &plan) ? 0 : 2;
    if (code == 0 && plan.print) {
        fwrite(rules.p, 1, rules.n, stdout);
    } else if (code == 0) {
        code = run_nft(buf_str(&rules));
    }
    buf_release(&rules);
    return code;
}
