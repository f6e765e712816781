/*
 * sextant-assess DIR: maturity level, anti-patterns, pattern, compliance map.
 *
 * Exit codes: 0 no anti-pattern (and --min-level reached); 1 otherwise; 2 wrong usage; 3 it cannot be assessed.
 */
#include "report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    EXIT_CLEAN = 0,
    EXIT_FOUND = 1,
    EXIT_WRONG_USAGE = 2,
    EXIT_UNFIT = 3,
    REPORT_MAX = 64 << 20
};

enum form { FORM_TEXT, FORM_JSON, FORM_SARIF };

struct options {
    const char *dir, *answers_file;
    enum form form;
    bool no_history;
    uint64_t min_level;
    int framework;
    struct answers answers;
};

static int usage(FILE *to)
{
    fprintf(to, "usage: sextant-assess [OPTIONS] DIR\n\n"
                "  --json, --sarif         machine-readable report\n"
                "  --no-history            leave Git's history out\n"
                "  --min-level N           exit 1 below maturity level N\n"
                "  --answers FILE          YAML: teams, clouds, services, compliance; says which "
                "pattern suits\n"
                "  --teams N --clouds N --services N --compliance LIST   the same as options\n"
                "  --framework NAME        print the compliance map of soc2, iso27001, pci, hipaa, "
                "nist-csf,\n"
                "                          nist-800-53 or cisa-ztmm\n\n"
                "Exit codes: 0 no anti-pattern, 1 some, 2 wrong usage, 3 the directory cannot be "
                "assessed.\n");
    return to == stdout ? EXIT_CLEAN : EXIT_WRONG_USAGE;
}

static bool set_count(const char *text, struct answers *a, uint64_t *out)
{
    a->given = true;
    return text != NULL && !failed(str_to_u64(str_of(text), out));
}

static bool set_framework(const char *text, int *out)
{
    for (int i = 0; text != NULL && i < FRAMEWORK_MAX; i++) {
        if (strcmp(text, framework_ids[i]) == 0) {
            *out = i;
            return true;
        }
    }
    return false;
}

/* One option with its value; false when it is none or its value is wrong. */
static bool set_option(struct options *o, const char *name, const char *value)
{
    struct str n = str_of(name);
    if (str_is(n, "--teams")) {
        return set_count(value, &o->answers, &o->answers.teams);
    }
    if (str_is(n, "--clouds")) {
        return set_count(value, &o->answers, &o->answers.clouds);
    }
    if (str_is(n, "--services")) {
        return set_count(value, &o->answers, &o->answers.services);
    }
    if (str_is(n, "--compliance")) {
        return value != NULL && !failed(answers_add_compliance(&o->answers, str_of(value)));
    }
    if (str_is(n, "--framework")) {
        return set_framework(value, &o->framework);
    }
    if (str_is(n, "--min-level")) {
        return value != NULL && !failed(str_to_u64(str_of(value), &o->min_level)) &&
               o->min_level <= 5;
    }
    o->answers_file = str_is(n, "--answers") ? value : o->answers_file;
    return str_is(n, "--answers") && value != NULL;
}

static bool parse(int argc, char **argv, struct options *o)
{
    *o = (struct options){.framework = -1};
    for (int i = 1; i < argc; i++) {
        struct str arg = str_of(argv[i]);
        if (str_is(arg, "--json") || str_is(arg, "--sarif")) {
            o->form = str_is(arg, "--json") ? FORM_JSON : FORM_SARIF;
        } else if (str_is(arg, "--no-history")) {
            o->no_history = true;
        } else if (str_starts(arg, S("--"))) {
            if (!set_option(o, argv[i], i + 1 < argc ? argv[i + 1] : NULL)) {
                return false;
            }
            i++;
        } else if (o->dir == NULL) {
            o->dir = argv[i];
        } else {
            return false;
        }
    }
    return o->dir != NULL;
}

static struct err assess_all(struct assess *a, struct options *o)
{
    a->with_history = !o->no_history;
    if (o->answers_file != NULL) {
        TRY(answers_read(&a->arena, o->answers_file, &o->answers));
    }
    TRY(scanner_new(&a->scanner));
    TRY(assess_tree(a));
    if (isatty(STDERR_FILENO)) {
        fprintf(stderr, "%zu files read; reading history ...\n", a->files);
    }
    TRY(assess_history(a));
    assess_conclude(a);
    return OK;
}

static void print_report(struct assess *a, const struct options *o)
{
    struct report_opts opts = {.answers = &o->answers, .framework = o->framework};
    struct buf text;
    buf_init(&text, REPORT_MAX);
    if (o->form == FORM_JSON) {
        report_json(&text, a, &opts);
    } else if (o->form == FORM_SARIF) {
        report_sarif(&text, a);
    } else {
        report_text(&text, a, &opts);
    }
    fwrite(text.p, 1, text.n, stdout);
    buf_release(&text);
}

int main(int argc, char **argv)
{
    struct options o;
    struct assess a;
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        return usage(stdout);
    }
    if (!parse(argc, argv, &o)) {
        return usage(stderr);
    }
    assess_init(&a, o.dir);
    int code = EXIT_UNFIT;
    if (failed(assess_all(&a, &o))) {
        fprintf(stderr, "sextant-assess: %s\n", err_detail());
    } else {
        print_report(&a, &o);
        code = a.n_findings > 0 || (uint64_t)a.level < o.min_level ? EXIT_FOUND : EXIT_CLEAN;
    }
    assess_release(&a);
    return code;
}
