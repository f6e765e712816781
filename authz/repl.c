#include "repl.h"

#include "authz/rego/syntax/format.h"
#include "cmd_eval.h"
#include "lib/base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct line {
    struct str name, text; /* name: of the rule; empty for imports */
    struct line *next;
};

struct opened {
    struct str package; /* "a.b" */
    struct line *imports, *rules;
};

struct repl {
    struct cmd *c;
    struct image *base; /* what the command line named */
    struct opened modules[REPL_MODULES_MAX];
    size_t n_modules, at;
    struct buf pending; /* lines that do not parse yet */
    bool done, partial;
};

static void put_module(struct buf *b, const struct opened *m)
{
    buf_printf(b, "package %.*s\n", STR_FMT(m->package));
    for (const struct line *l = m->imports; l != NULL; l = l->next) {
        buf_printf(b, "%.*s\n", STR_FMT(l->text));
    }
    for (const struct line *l = m->rules; l != NULL; l = l->next) {
        buf_printf(b, "\n%.*s\n", STR_FMT(l->text));
    }
}

static void append(struct arena *a, struct line **list, struct str name, struct str text)
{
    struct line *l = arena_new(a, struct line);
    *l = (struct line){.name = arena_str(a, name), .text = arena_str(a, text)};
    while (*list != NULL) {
        list = &(*list)->next;
    }
    *list = l;
}

static size_t drop(struct line **list, struct str name)
{
    size_t n = 0;
    while (*list != NULL) {
        if (str_eq((*list)->name, name)) {
            *list = (*list)->next;
            n++;
        } else {
            list = &(*list)->next;
        }
    }
    return n;
}

/* Everything there is, compiled. NULL: the errors stand on stdout. */
static struct image *compile(struct repl *r, struct rego_errors *errors)
{
    struct image *im = image_new();
    struct rego_compile_options o = {.enable_print = true, .strict = r->c->strict};
    for (size_t i = 0; i < r->base->n_files; i++) {
        image_add_file(im, r->base->files[i]);
    }
    for (size_t i = 0; i < r->n_modules; i++) {
        struct buf text;
        buf_init(&text, STORE_FILE_MAX);
        put_module(&text, &r->modules[i]);
        image_add_file(im, (struct policy_file){.id = STR_EMPTY,
                                                .text = arena_str(&im->arena, buf_str(&text)),
                                                .version = cmd_version(r->c)});
        buf_release(&text);
    }
    im->data = r->base->data;
    if (image_compile(im, &o, errors)) {
        return im;
    }
    image_free(im);
    return NULL;
}

static void show_errors(const struct rego_errors *errors)
{
    struct buf b;
    buf_init(&b, 1 << 24);
    errors_text(&b, errors, false, 10);
    printf("%.*s\n", STR_FMT(buf_str(&b)));
    buf_release(&b);
}

/* ---- rules ---- */

static struct str rule_name(struct arena *a, const struct rule *rule)
{
    struct buf b;
    buf_init(&b, 1 << 16);
    term_write(&b, rule->head->ref);
    struct str s = arena_str(a, buf_str(&b));
    buf_release(&b);
    return s;
}

static bool parse_rule(struct repl *r, struct str text, struct module **m)
{
    struct rego_errors ignored = {.a = &r->c->a};
    struct parse_options po = {.version = cmd_version(r->c)};
    struct buf b;
    struct opened head = r->modules[r->at];
    head.rules = NULL;
    buf_init(&b, STORE_FILE_MAX);
    put_module(&b, &head);
    buf_puts(&b, text);
    buf_putc(&b, '\n');
    struct str whole = arena_str(&r->c->a, buf_str(&b));
    buf_release(&b);
    return rego_parse_module(&r->c->a, STR_EMPTY, whole, &po, &ignored, m) && (*m)->n_rules > 0;
}

/* The rule joins its module if all still compiles. */
static void define(struct repl *r, struct str text, const struct module *m)
{
    struct opened *open = &r->modules[r->at], before = *open;
    struct rego_errors errors = {.a = &r->c->a};
    struct str name = rule_name(&r->c->a, m->rules[0]);
    bool again =
        m->rules[0]->head->assign && !m->rules[0]->head->is_func && drop(&open->rules, name) > 0;
    append(&r->c->a, &open->rules, name, text);
    struct image *im = compile(r, &errors);
    if (im == NULL) {
        *open = before;
        (void)drop(&open->rules, text);
        show_errors(&errors);
        return;
    }
    image_free(im);
    printf("Rule '%.*s' %s in package %.*s. Type 'show' to see rules.\n", STR_FMT(name),
           again ? "re-defined" : "defined", STR_FMT(open->package));
}

/* `x := 1` alone is a rule; with something behind it, or another pattern before it, a query. */
static bool defines(const struct body *b)
{
    const struct term *t = b->n == 1 ? b->v[0]->term : NULL;
    bool assigns = t != NULL && b->v[0]->kind == E_TERM && b->v[0]->n_with == 0 &&
                   (term_is_call_of(t, "assign") || term_is_call_of(t, "eq"));
    return assigns && t->list.n == 3 && t->list.v[1]->type == T_VAR &&
           !term_is_wildcard(t->list.v[1]);
}

/* ---- queries ---- */

static void set_query(struct repl *r, struct str text)
{
    struct cmd *c = r->c;
    struct opened *open = &r->modules[r->at];
    c->args.n = 1;
    c->args.v[0] = arena_cstr(&c->a, text);
    c->package = arena_printf(&c->a, "data.%.*s", STR_FMT(open->package)).p;
    c->imports.n = 0;
    for (const struct line *l = open->imports; l != NULL && c->imports.n < FLAG_LIST_MAX;
         l = l->next) {
        c->imports.v[c->imports.n++] = arena_cstr(&c->a, str_trim(str_sub(l->text, 6, l->text.n)));
    }
}

static void print_line(void *ctx, struct str line)
{
    (void)ctx;
    printf("%.*s\n", STR_FMT(line));
}

static void evaluate(struct repl *r, struct run *run)
{
    struct rego_eval_options o;
    struct rego_result out = {0};
    if (r->partial) {
        print_partial(run);
    } else {
        int64_t start = clock_mono_ns();
        run_eval_options(run, &o);
        o.print = print_line;
        rego_eval(run->q, &o, &r->c->a, &out);
        run->eval_ns = clock_mono_ns() - start;
    }
    if (out.failed) {
        rego_errors_add(&run->errors, out.error.code, out.error.file, out.error.loc, "%.*s",
                        STR_FMT(out.error.message));
    }
    if (run->errors.n > 0) {
        show_errors(&run->errors);
    } else if (!r->partial) {
        print_result(run, &out);
    }
}

/* False: it does not compile; `errors` tells why. */
static bool query(struct repl *r, struct str text, struct rego_errors *errors)
{
    struct run run = {.c = r->c, .errors = {.a = &r->c->a}, .input = VAL_UNDEF};
    struct rego_query_options qo;
    set_query(r, text);
    run.runtime = cmd_runtime(&r->c->a);
    struct val own = val_get_str(r->base->data, "repl");
    if (val_is(own, V_OBJECT)) {
        run.input = val_get_str(own, "input");
    }
    run.im = compile(r, errors);
    if (run.im == NULL) {
        return false;
    }
    int64_t start = clock_mono_ns();
    run_query_options(&run, &qo);
    bool ok = rego_prepare(run.im->policy, run_query_text(&run), &qo, errors, &run.q);
    run.compile_ns = clock_mono_ns() - start;
    if (ok) {
        evaluate(r, &run);
    }
    run_release(&run);
    return ok;
}

static void statement(struct repl *r, struct str text, bool last)
{
    struct rego_errors errors = {.a = &r->c->a};
    struct parse_options po = {.version = cmd_version(r->c)};
    struct body *b = NULL;
    struct module *m = NULL;
    bool is_query = rego_parse_query(&r->c->a, arena_str(&r->c->a, text), &po, &errors, &b);
    bool done = is_query && !defines(b) && query(r, text, &errors);
    if (!done && parse_rule(r, text, &m)) {
        define(r, text, m);
    } else if (!done && is_query) {
        if (errors.n > 0 || !query(r, text, &errors)) {
            show_errors(&errors);
        }
    } else if (!done && last) {
        show_errors(&errors);
    } else if (!done) {
        return;
    }
    buf_clear(&r->pending);
}

/* ---- commands ---- */

static void open_package(struct repl *r, struct str name)
{
    for (size_t i = 0; i < r->n_modules; i++) {
        if (str_eq(r->modules[i].package, name)) {
            r->at = i;
            return;
        }
    }
    if (r->n_modules == REPL_MODULES_MAX) {
        printf("no more than %d packages can be open\n", REPL_MODULES_MAX);
        return;
    }
    r->at = r->n_modules++;
    r->modules[r->at] = (struct opened){.package = arena_str(&r->c->a, name)};
}

static void add_import(struct repl *r, struct str text)
{
    struct rego_errors errors = {.a = &r->c->a};
    struct opened *open = &r->modules[r->at];
    struct line *before = open->imports;
    if (before == NULL) {
        append(&r->c->a, &open->imports, STR_EMPTY, text);
    } else {
        append(&r->c->a, &before->next, STR_EMPTY, text);
    }
    struct image *im = compile(r, &errors);
    if (im == NULL) {
        struct line **l = &open->imports;
        while ((*l)->next != NULL) {
            l = &(*l)->next;
        }
        *l = NULL;
        show_errors(&errors);
    }
    image_free(im);
}

static void show(struct repl *r)
{
    struct rego_errors errors = {.a = &r->c->a};
    struct format_options o = {.from = cmd_version(r->c), .to = cmd_version(r->c)};
    struct buf text, out;
    buf_init(&text, STORE_FILE_MAX);
    buf_init(&out, STORE_FILE_MAX);
    put_module(&text, &r->modules[r->at]);
    if (rego_format(&r->c->a, STR_EMPTY, arena_str(&r->c->a, buf_str(&text)), &o, &errors, &out)) {
        print_buf(&out);
    } else {
        print_buf(&text);
    }
    buf_release(&text);
    buf_release(&out);
}

static void unset(struct repl *r, struct str name)
{
    if (drop(&r->modules[r->at].rules, name) == 0) {
        puts("warning: no matching rules in current module");
    }
}

static void dump(struct repl *r, struct str path)
{
    struct buf b;
    FILE *f = path.n > 0 ? fopen(arena_cstr(&r->c->a, path), "wbe") : stdout;
    buf_init(&b, STORE_FILE_MAX);
    val_to_json_pretty(&b, r->base->data, "  ", true);
    if (f == NULL || fprintf(f, "%.*s\n", STR_FMT(buf_str(&b))) < 0) {
        printf("%.*s cannot be written\n", STR_FMT(path));
    }
    if (f != NULL && f != stdout) {
        fclose(f);
    }
    buf_release(&b);
}

static void trace(struct repl *r, const char *mode)
{
    bool off = strcmp(r->c->explain, mode) == 0;
    r->c->explain = off ? "off" : mode;
}

static void choose_trace(struct repl *r, struct str mode)
{
    static const char *const modes[] = {"full", "notes", "fails", "debug", "off"};
    for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
        if (str_is(mode, modes[i])) {
            trace(r, modes[i]);
            return;
        }
    }
    if (mode.n > 0) {
        printf("unknown explain mode: %.*s\n", STR_FMT(mode));
    } else {
        trace(r, "full");
    }
}

static void set_unknowns(struct repl *r, struct str rest)
{
    r->partial = rest.n > 0 || !r->partial;
    r->c->unknowns.n = 0;
    while (rest.n > 0 && r->c->unknowns.n < FLAG_LIST_MAX) {
        struct str one = str_split(&rest, ' ');
        if (one.n > 0) {
            r->c->unknowns.v[r->c->unknowns.n++] = arena_cstr(&r->c->a, one);
        }
    }
}

static void help(void)
{
    static const char *const lines[][2] = {
        {"QUERY", "evaluate it"},
        {"RULE", "add a rule to the open module"},
        {"package PATH", "open another module"},
        {"import PATH", "add an import to the open module"},
        {"show", "print the open module"},
        {"unset NAME", "remove a rule from it"},
        {"unset-package PATH", "remove a module"},
        {"json, pretty", "form of results"},
        {"pretty-limit N", "characters of a value in a table"},
        {"trace [MODE]", "tell what happens: full, notes, fails, debug; again: stop"},
        {"notes, fails", "the same for these two"},
        {"metrics", "how long each step takes; again: stop"},
        {"unknown [PATH...]", "evaluate with these unknown; again: stop"},
        {"strict-builtin-errors", "errors of builtins end evaluation; again: stop"},
        {"dump [FILE]", "write the data out"},
        {"exit", "leave, as does the end of input"},
    };
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        printf("%24s : %s\n", lines[i][0], lines[i][1]);
    }
    puts("\nThe input document is data.repl.input: start with repl.input:FILE.");
}

/* Words that stand for switches of the shell. */
static bool toggle(struct repl *r, struct str name)
{
    struct cmd *c = r->c;
    if (str_is(name, "json") || str_is(name, "pretty")) {
        c->format = str_is(name, "json") ? "json" : "pretty";
    } else if (str_is(name, "notes") || str_is(name, "fails")) {
        trace(r, str_is(name, "notes") ? "notes" : "fails");
    } else if (str_is(name, "metrics") || str_is(name, "instrument")) {
        c->metrics = !c->metrics;
    } else if (str_is(name, "strict-builtin-errors")) {
        c->strict_errors = !c->strict_errors;
    } else {
        return false;
    }
    return true;
}

static bool command(struct repl *r, struct str text)
{
    struct str rest = text, name = str_split(&rest, ' ');
    rest = str_trim(rest.p != NULL ? rest : STR_EMPTY);
    if (str_is(name, "package") && rest.n > 0) {
        open_package(r, rest);
    } else if (str_is(name, "import") && rest.n > 0) {
        add_import(r, text);
    } else if (str_is(name, "unset") && rest.n > 0) {
        unset(r, rest);
    } else if (str_is(name, "unset-package") && rest.n > 0) {
        open_package(r, rest);
        r->modules[r->at] = (struct opened){.package = r->modules[r->at].package};
        r->at = 0;
    } else if (str_is(name, "pretty-limit") && rest.n > 0) {
        r->c->pretty_limit = strtoll(arena_cstr(&r->c->a, rest), NULL, 10);
    } else if (str_is(name, "trace")) {
        choose_trace(r, rest);
    } else if (str_is(name, "unknown")) {
        set_unknowns(r, rest);
    } else if (str_is(name, "dump")) {
        dump(r, rest);
    } else if (str_is(name, "help")) {
        help();
    } else if (rest.n > 0 || !toggle(r, name)) {
        if (!str_is(text, "show") && !str_is(text, "exit")) {
            return false;
        }
        r->done = str_is(text, "exit");
        if (!r->done) {
            show(r);
        }
    }
    return true;
}

static void take_line(struct repl *r, struct str line)
{
    bool fresh = r->pending.n == 0;
    struct str text = str_trim(line);
    if (fresh && (text.n == 0 || command(r, text))) {
        return;
    }
    buf_puts(&r->pending, line);
    buf_putc(&r->pending, '\n');
    struct str all = arena_str(&r->c->a, str_trim(buf_str(&r->pending)));
    statement(r, all, !fresh && text.n == 0);
}

static void remember(const struct cmd *c, const char *line)
{
    FILE *f = c->history != NULL ? fopen(c->history, "ae") : NULL;
    if (f != NULL) {
        fputs(line, f);
        fclose(f);
    }
}

static void read_lines(struct repl *r)
{
    char *line = NULL;
    size_t room = 0;
    bool person = isatty(STDIN_FILENO);
    if (person) {
        puts("Rego, as OPA " OPA_VERSION " has it. 'help' tells of the commands.");
    }
    while (!r->done) {
        if (person) {
            fputs(r->pending.n > 0 ? "| " : "> ", stdout);
        }
        fflush(stdout);
        ssize_t n = getline(&line, &room, stdin);
        if (n < 0) {
            break;
        }
        if (n > REPL_LINE_MAX) {
            printf("a line is at most %d bytes long\n", REPL_LINE_MAX);
            continue;
        }
        if (person) {
            remember(r->c, line);
        }
        struct str s = str_n(line, (size_t)n);
        take_line(r, str_ends(s, S("\n")) ? str_sub(s, 0, s.n - 1) : s);
    }
    free(line);
}

int repl_run(struct cmd *c)
{
    struct repl *r = arena_new(&c->a, struct repl);
    struct rego_errors errors = {.a = &c->a};
    struct rego_compile_options o = {.enable_print = true};
    bool loading;
    r->c = c;
    r->base = cmd_load(c, LOAD_ARGS, &o, &errors, &loading);
    if (r->base == NULL) {
        print_errors(c, &errors, loading);
        return 1;
    }
    c->explain = "off";
    c->pretty_limit = 80;
    buf_init(&r->pending, STORE_FILE_MAX);
    open_package(r, S("repl"));
    read_lines(r);
    buf_release(&r->pending);
    image_free(r->base);
    return 0;
}
