/*
 * flags: command lines in the way of OPA's programs.
 *
 *     static const struct flag flags[] = {
 *         {"data", 'd', FLAG_LIST, FLAG_AT(struct my, data), "PATH", "policies and data to load", NULL, NULL},
 *         {0},
 *     };
 *     static const struct flag_command cmd = {"eval", "QUERY", "Evaluate a query.", flags};
 *     switch (flags_parse(&cmd, &my, argc, argv, &args)) …
 *
 * `--name VALUE`, `--name=VALUE`, `-nVALUE`, `-n VALUE`, several letters without a value together
 * (`-vI`), `--` ends them; flags and arguments in any order. A flag that is not on the command line is taken
 * from the environment variable OPA_COMMAND_NAME when that is set and not empty.
 */
#ifndef SEXTANT_AUTHZ_FLAGS_H
#define SEXTANT_AUTHZ_FLAGS_H

#include "lib/base/arena.h"

enum flag_kind {
    FLAG_BOOL,   /* bool */
    FLAG_TEXT,   /* const char * */
    FLAG_INT,    /* int64_t */
    FLAG_FLOAT,  /* double */
    FLAG_TIME,   /* int64_t nanoseconds */
    FLAG_CHOICE, /* const char *, one of `choices` ("a,b,c") */
    FLAG_LIST,   /* struct flag_list: given once or more */
    FLAG_WORDS,  /* struct flag_list: given once or more, each "a,b,c" */
};

enum { FLAG_LIST_MAX = 1024 };

/* Values point into argv, the environment, or the arena that flags_parse was given. */
struct flag_list {
    const char *v[FLAG_LIST_MAX];
    size_t n;
    bool set;
};

struct flag {
    const char *name;
    char letter; /* or 0 */
    enum flag_kind kind;
    size_t offset;       /* of the field in the command's structure */
    const char *arg;     /* what the help calls its value; NULL for FLAG_BOOL */
    const char *help;    /* NULL: taken, but not told */
    const char *choices; /* of FLAG_CHOICE */
    const char *def;     /* default as text; applied before anything is read; may be NULL */
};

struct flag_command {
    const char *name, *args, *about;
    const struct flag *flags; /* ends with a zero entry */
};

#define FLAG_AT(type, field) offsetof(type, field)

enum flags_result { FLAGS_OK, FLAGS_HELP, FLAGS_WRONG };

/*
 * Fills `into` (zeroed by the caller) and `args`. FLAGS_HELP: the help was asked for and stands on stdout.
 * FLAGS_WRONG: what is wrong stands on stderr, with the way to the help.
 */
enum flags_result flags_parse(const struct flag_command *c, void *into, struct arena *a, int argc,
                              char **argv, struct flag_list *args);
void flags_help(const struct flag_command *c);
/* Was the flag on the command line or in the environment of the last flags_parse? */
bool flags_given(const char *name);

#endif
