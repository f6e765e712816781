#include "cli/command.h"
#include "cli/domain.h"
#include "cli/table.h"
#include "lib/base/clock.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

/*
 * sextant up: starts the daemons of a trust domain and stays to watch them. On a terminal the table
 * is drawn again as things change; elsewhere it is printed once, when all are ready.
 */

enum { READY_TIMEOUT_MS = 20000, REDRAW_MS = 1000 };

static const char usage[] =
    "[--dir DIR] [--once]\n\n"
    "Starts every daemon that DIR/sextant.yaml has a section for, each under its own uid, and "
    "watches\n"
    "them until interrupted. --once prints the table when all are ready and goes on silently.\n";

static volatile sig_atomic_t stopping;

static void stop(int signo)
{
    stopping = signo;
}

static void catch_signals(void)
{
    struct sigaction sa = {.sa_handler = stop};
    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGTERM, &sa, NULL);
    sigaction(SIGHUP, &sa, NULL);
}

static void show(struct supervisor *s, bool redraw)
{
    struct unit_status st[SUPERVISOR_MAX_UNITS];
    size_t n = supervisor_status(s, st, ARRAY_LEN(st));
    if (redraw) {
        printf("\033[H\033[2J");
    }
    table_print_units(stdout, st, n);
    if (redraw) {
        printf(
            "\nInterrupt to stop everything. In another terminal: sextant status, sextant env\n");
    }
    fflush(stdout);
}

/* SIGHUP goes on to every daemon: they reload their configuration and policies. */
static void forward_reload(struct supervisor *s)
{
    struct unit_status st[SUPERVISOR_MAX_UNITS];
    size_t n = supervisor_status(s, st, ARRAY_LEN(st));
    for (size_t i = 0; i < n; i++) {
        ignore_err(supervisor_kill_unit(s, st[i].name, SIGHUP));
    }
}

static void watch(struct supervisor *s, bool live)
{
    int64_t drawn = 0;
    while (stopping == 0 || stopping == SIGHUP) {
        if (stopping == SIGHUP) {
            forward_reload(s);
            stopping = 0;
        }
        int64_t now = clock_mono_ns();
        if (live && now - drawn >= REDRAW_MS * NS_PER_MS) {
            show(s, true);
            drawn = now;
        }
        supervisor_step(s, REDRAW_MS / 2);
    }
}

static struct err run_domain(struct arena *a, struct str dir, bool once)
{
    struct domain d;
    struct supervisor *s = NULL;
    TRY(domain_open(a, dir, &d));
    struct err e = domain_prepare(a, &d);
    if (!failed(e)) {
        e = supervisor_new(d.control_path, &s);
    }
    int64_t start = clock_mono_ns();
    if (!failed(e)) {
        e = domain_start(a, &d, s);
    }
    if (!failed(e)) {
        e = supervisor_wait_ready(s, READY_TIMEOUT_MS);
    }
    if (!failed(e)) {
        fprintf(stderr, "All daemons are ready after %lld ms.\n",
                (long long)((clock_mono_ns() - start) / NS_PER_MS));
        bool live = !once && isatty(STDOUT_FILENO);
        if (!live) {
            show(s, false);
        }
        watch(s, live);
    }
    supervisor_free(s);
    domain_release(&d);
    return e;
}

int command_up(int argc, char **argv)
{
    const char *dir = NULL;
    bool once = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            return command_usage("up", NULL, usage);
        }
        if (strcmp(argv[i], "--once") == 0) {
            once = true;
        } else if (strcmp(argv[i], "--dir") == 0 && i + 1 < argc) {
            dir = argv[++i];
        } else {
            return command_usage("up", "unknown argument", usage);
        }
    }
    struct err e = enter_user_namespace(argc, argv);
    if (failed(e)) {
        return command_fail("up", e);
    }
    catch_signals();
    struct arena a;
    arena_init(&a, 8 << 20);
    e = run_domain(&a, command_domain_dir(&a, dir), once);
    arena_release(&a);
    return failed(e) ? command_fail("up", e) : EXIT_OK;
}
