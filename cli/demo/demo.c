#include "cli/demo/demo.h"

#include "cli/command.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char usage[] =
    "--dir DIR [--json FILE] [--keep] [--chaos] [--sabotage policy|mesh|netpol|lease|audit]\n\n"
    "Plays the reference story inside DIR, which must be empty. Wants to be root of private "
    "network\n"
    "and mount namespaces; ./run demo makes them. Exit 0 only if every step went as it must.\n"
    "--keep leaves the system running until interrupted. --sabotage breaks one guard on purpose: "
    "the\n"
    "step that guards it must then fail. --chaos kills a daemon with SIGKILL before each step, in "
    "turn:\n"
    "the story must go on as if nothing had happened.\n";

static const char *const sabotages[] = {"none", "policy", "mesh", "netpol", "lease", "audit"};

static volatile sig_atomic_t interrupted;

static void interrupt(int signo)
{
    interrupted = signo;
}

static struct err parse_sabotage(const char *name, enum sabotage *out)
{
    for (size_t i = 0; i < ARRAY_LEN(sabotages); i++) {
        if (strcmp(sabotages[i], name) == 0) {
            *out = (enum sabotage)i;
            return OK;
        }
    }
    FAIL(ERR_INVALID, "--sabotage '%s': one of policy, mesh, netpol, lease, audit", name);
}

static struct err parse_args(int argc, char **argv, struct demo *d)
{
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--keep") == 0) {
            d->keep = true;
            continue;
        }
        if (strcmp(argv[i], "--chaos") == 0) {
            d->chaos = true;
            continue;
        }
        ENSURE(value != NULL, ERR_INVALID, "unknown argument '%s'", argv[i]);
        if (strcmp(argv[i], "--dir") == 0) {
            d->dir = arena_str(&d->arena, str_of(value));
        } else if (strcmp(argv[i], "--json") == 0) {
            d->json_file = value;
        } else if (strcmp(argv[i], "--sabotage") == 0) {
            TRY(parse_sabotage(value, &d->sabotage));
        } else {
            FAIL(ERR_INVALID, "unknown argument '%s'", argv[i]);
        }
        i++;
    }
    ENSURE(d->dir.n > 0, ERR_INVALID, "--dir is missing");
    return OK;
}

static void play_story(struct demo *d)
{
    d->story_ns = clock_mono_ns();
    record_heading(d, "Alice logs in");
    record_play(d, login_steps, n_login_steps);
    record_heading(d, "One request through all six jobs");
    record_play(d, request_steps, n_request_steps);
    record_heading(d, "What must not work");
    record_play(d, person_denials, n_person_denials);
    record_play(d, deny_steps, n_deny_steps);
    record_heading(d, "Service A is compromised, and contained");
    record_play(d, respond_steps, n_respond_steps);
    record_heading(d, "Who did what, with proof");
    record_play(d, proof_steps, n_proof_steps);
}

static void keep_running(struct demo *d)
{
    printf("\nThe system keeps running in %.*s; look at it from another terminal with\n"
           "  nsenter --target %d --net --mount --pid --user -- sextant status --dir %.*s\n"
           "Interrupt to end it.\n",
           STR_FMT(d->dir), (int)getpid(), STR_FMT(d->dir));
    fflush(stdout);
    while (interrupted == 0) {
        supervisor_step(d->supervisor, 500);
    }
}

static int run_demo(struct demo *d)
{
    d->started_ns = clock_mono_ns();
    struct err e = world_build(d);
    if (failed(e)) {
        command_fail("demo", e);
        fprintf(stderr, "The logs are in %s\n", demo_path(d, "log"));
        world_tear_down(d);
        return EXIT_FAILED;
    }
    play_story(d);
    bool ok = record_ok(d);
    e = record_write(d);
    if (failed(e)) {
        command_fail("demo", e);
        ok = false;
    }
    if (d->keep) {
        keep_running(d);
    }
    world_tear_down(d);
    printf(ok ? "\nEvery step went as it must.\n" : "\nNot every step went as it must; logs: %s\n",
           demo_path(d, "log"));
    return ok ? EXIT_OK : EXIT_FAILED;
}

int command_demo(int argc, char **argv)
{
    struct demo *d = calloc(1, sizeof(*d));
    BUG_ON(d == NULL);
    arena_init(&d->arena, 256 << 20);
    d->contained_ms = -1;
    int code;
    if (argc > 1 && strcmp(argv[1], "--help") == 0) {
        code = command_usage("demo", NULL, usage);
    } else if (failed(parse_args(argc, argv, d))) {
        code = command_usage("demo", err_detail(), usage);
    } else if (geteuid() != 0) {
        fprintf(stderr, "sextant demo: not root of a namespace; use ./run demo\n");
        code = EXIT_USAGE;
    } else {
        struct sigaction sa = {.sa_handler = interrupt};
        sigaction(SIGINT, &sa, NULL);
        sigaction(SIGTERM, &sa, NULL);
        code = run_demo(d);
    }
    arena_release(&d->arena);
    free(d);
    return code;
}
