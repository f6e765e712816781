#include "flags.h"

#include "lib/base/clock.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { GIVEN_MAX = 128 };

/* Which flags the last command line named: a program runs one command. */
static const char *given[GIVEN_MAX];
static size_t n_given;

bool flags_given(const char *name)
{
    for (size_t i = 0; i < n_given; i++) {
        if (strcmp(given[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static void note_given(const char *name)
{
    if (!flags_given(name) && n_given < GIVEN_MAX) {
        given[n_given++] = name;
    }
}

static const struct flag *find_name(const struct flag_command *c, struct str name)
{
    for (const struct flag *f = c->flags; f->name != NULL; f++) {
        if (str_is(name, f->name)) {
            return f;
        }
    }
    return NULL;
}

static const struct flag *find_letter(const struct flag_command *c, char letter)
{
    for (const struct flag *f = c->flags; f->name != NULL; f++) {
        if (f->letter == letter) {
            return f;
        }
    }
    return NULL;
}

static bool is_choice(const char *choices, const char *value)
{
    struct str rest = str_of(choices);
    while (rest.p != NULL) {
        if (str_is(str_split(&rest, ','), value)) {
            return true;
        }
    }
    return false;
}

static void list_add(struct flag_list *l, const char *value)
{
    l->set = true;
    if (l->n < FLAG_LIST_MAX) {
        l->v[l->n++] = value;
    }
}

static void add_words(struct flag_list *l, struct arena *a, const char *value)
{
    struct str rest = str_of(value);
    l->set = true;
    while (rest.n > 0) {
        list_add(l, arena_cstr(a, str_split(&rest, ',')));
    }
}

static bool parse_bool(const char *value, bool *out)
{
    static const char *const yes[] = {"1", "t", "T", "true", "TRUE", "True"};
    static const char *const no[] = {"0", "f", "F", "false", "FALSE", "False"};
    for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
        if (strcmp(value, yes[i]) == 0 || strcmp(value, no[i]) == 0) {
            *out = strcmp(value, yes[i]) == 0;
            return true;
        }
    }
    return false;
}

static bool parse_int(const char *value, int64_t *out)
{
    char *end;
    errno = 0;
    long long n = strtoll(value, &end, 0);
    *out = n;
    return errno == 0 && end != value && *end == '\0';
}

static bool parse_float(const char *value, double *out)
{
    char *end;
    *out = strtod(value, &end);
    return end != value && *end == '\0';
}

/* A unit is demanded, as everywhere where durations are flags: only 0 goes without. */
static bool parse_time(const char *value, int64_t *out)
{
    size_t n = strlen(value);
    bool unit = n > 0 && isalpha((unsigned char)value[n - 1]);
    if (!unit && strcmp(value, "0") != 0) {
        return false;
    }
    return !failed(duration_parse(str_of(value), out));
}

static bool store(const struct flag *f, void *into, struct arena *a, const char *value)
{
    void *field = (char *)into + f->offset;
    switch (f->kind) {
    case FLAG_BOOL:
        return parse_bool(value, field);
    case FLAG_TEXT:
        *(const char **)field = value;
        return true;
    case FLAG_INT:
        return parse_int(value, field);
    case FLAG_FLOAT:
        return parse_float(value, field);
    case FLAG_TIME:
        return parse_time(value, field);
    case FLAG_CHOICE:
        if (!is_choice(f->choices, value)) {
            return false;
        }
        *(const char **)field = value;
        return true;
    case FLAG_LIST:
        list_add(field, value);
        return true;
    case FLAG_WORDS:
        add_words(field, a, value);
        return true;
    }
    return false;
}

static const char *wanted(const struct flag *f)
{
    static const char *const names[] = {
        "true or false",         "text",           "a whole number", "a number",
        "a duration such as 5s", "another choice", "text",           "text"};
    return names[f->kind];
}

static bool wrong_value(const struct flag *f, const char *value)
{
    if (f->kind == FLAG_CHOICE) {
        fprintf(stderr, "Error: invalid argument \"%s\" for \"--%s\" flag: must be one of {%s}\n",
                value, f->name, f->choices);
    } else {
        fprintf(stderr, "Error: invalid argument \"%s\" for \"--%s\" flag: want %s\n", value,
                f->name, wanted(f));
    }
    return false;
}

static bool take(const struct flag *f, void *into, struct arena *a, const char *value)
{
    note_given(f->name);
    return store(f, into, a, value) || wrong_value(f, value);
}

struct cursor {
    const struct flag_command *c;
    void *into;
    struct arena *a;
    int argc, i;
    char **argv;
};

static bool take_long(struct cursor *k, const char *text)
{
    const char *equal = strchr(text, '=');
    struct str name = equal != NULL ? str_n(text, (size_t)(equal - text)) : str_of(text);
    const struct flag *f = find_name(k->c, name);
    if (f == NULL) {
        fprintf(stderr, "Error: unknown flag: --%.*s\n", STR_FMT(name));
        return false;
    }
    if (equal != NULL) {
        return take(f, k->into, k->a, equal + 1);
    }
    if (f->kind == FLAG_BOOL) {
        return take(f, k->into, k->a, "true");
    }
    if (k->i + 1 >= k->argc) {
        fprintf(stderr, "Error: flag needs an argument: --%s\n", f->name);
        return false;
    }
    return take(f, k->into, k->a, k->argv[++k->i]);
}

static bool take_letters(struct cursor *k, const char *text)
{
    for (const char *p = text; *p != '\0'; p++) {
        const struct flag *f = find_letter(k->c, *p);
        if (f == NULL) {
            fprintf(stderr, "Error: unknown shorthand flag: '%c' in -%s\n", *p, text);
            return false;
        }
        if (f->kind == FLAG_BOOL && p[1] != '=') {
            if (!take(f, k->into, k->a, "true")) {
                return false;
            }
            continue;
        }
        if (p[1] != '\0') {
            return take(f, k->into, k->a, p + (p[1] == '=' ? 2 : 1));
        }
        if (k->i + 1 >= k->argc) {
            fprintf(stderr, "Error: flag needs an argument: '%c' in -%s\n", *p, text);
            return false;
        }
        return take(f, k->into, k->a, k->argv[++k->i]);
    }
    return true;
}

static bool from_environment(const struct flag_command *c, void *into, struct arena *a)
{
    for (const struct flag *f = c->flags; f->name != NULL; f++) {
        char name[128];
        int n = snprintf(name, sizeof name, "OPA_%s_%s", c->name, f->name);
        for (int i = 0; i < n && i < (int)sizeof name; i++) {
            name[i] = name[i] == '-' ? '_' : (char)toupper((unsigned char)name[i]);
        }
        const char *value = getenv(name);
        if (value == NULL || *value == '\0' || flags_given(f->name)) {
            continue;
        }
        note_given(f->name);
        if (!store(f, into, a, value)) {
            fprintf(stderr,
                    "Error: error mapping environment variables to command flags: %s=%s: want %s\n",
                    name, value, f->kind == FLAG_CHOICE ? f->choices : wanted(f));
            return false;
        }
    }
    return true;
}

static bool is_help(const char *arg)
{
    return strcmp(arg, "-h") == 0 || strcmp(arg, "--help") == 0;
}

static bool parse_all(struct cursor *k, struct flag_list *args, bool *help)
{
    bool only_args = false;
    for (k->i = 1; k->i < k->argc; k->i++) {
        const char *arg = k->argv[k->i];
        if (only_args || arg[0] != '-' || arg[1] == '\0') {
            list_add(args, arg);
        } else if (strcmp(arg, "--") == 0) {
            only_args = true;
        } else if (is_help(arg)) {
            *help = true;
            return true;
        } else if (!(arg[1] == '-' ? take_long(k, arg + 2) : take_letters(k, arg + 1))) {
            return false;
        }
    }
    return true;
}

enum flags_result flags_parse(const struct flag_command *c, void *into, struct arena *a, int argc,
                              char **argv, struct flag_list *args)
{
    struct cursor k = {.c = c, .into = into, .a = a, .argc = argc, .argv = argv};
    bool help = false;
    n_given = 0;
    for (const struct flag *f = c->flags; f->name != NULL; f++) {
        if (f->def != NULL && f->kind != FLAG_LIST && f->kind != FLAG_WORDS) {
            bool ok = store(f, into, a, f->def);
            BUG_ON(!ok);
        }
    }
    if (!parse_all(&k, args, &help) || (!help && !from_environment(c, into, a))) {
        fprintf(stderr, "See '%s --help'.\n", c->name);
        return FLAGS_WRONG;
    }
    if (help) {
        flags_help(c);
        return FLAGS_HELP;
    }
    return FLAGS_OK;
}

void flags_help(const struct flag_command *c)
{
    printf("%s\n\nUsage:\n  %s %s [flags]\n\nFlags:\n", c->about, c->name, c->args);
    for (const struct flag *f = c->flags; f->name != NULL; f++) {
        char left[128];
        if (f->help == NULL) {
            continue;
        }
        int n = snprintf(left, sizeof left, "%c%c%s--%s%s%s", f->letter ? '-' : ' ',
                         f->letter ? f->letter : ' ', f->letter ? ", " : "  ", f->name,
                         f->arg != NULL ? " " : "", f->arg != NULL ? f->arg : "");
        printf("  %s%*s%s", left, n < 34 ? 34 - n : 2, "", f->help);
        if (f->kind == FLAG_CHOICE) {
            printf(": %s", f->choices);
        }
        if (f->def != NULL && f->kind != FLAG_BOOL) {
            printf(" (default %s)", f->def);
        }
        putchar('\n');
    }
    printf("  -h, --help%*sthis text\n", 24, "");
}
