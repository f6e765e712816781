/* eval: a query, once. */
#include "cmd_eval.h"

#include "lib/base/clock.h"

#include <stdio.h>
#include <stdlib.h>

static const struct flag flags[] = {
    ROW_DATA,
    ROW_BUNDLES,
    {"input", 'i', FLAG_TEXT, CMD(input), "FILE", "the input document", NULL, NULL},
    ROW_STDIN_INPUT,
    {"stdin", 0, FLAG_BOOL, CMD(stdin_query), NULL, "the query comes on stdin", NULL, NULL},
    ROW_FORMAT("json,values,bindings,pretty,source,raw,discard", "json"),
    {"package", 0, FLAG_TEXT, CMD(package), "PATH", "package in which the query stands", NULL,
     NULL},
    {"import", 0, FLAG_LIST, CMD(imports), "PATH", "import of the query", NULL, NULL},
    {"partial", 'p', FLAG_BOOL, CMD(partial), NULL, "evaluate as far as the known goes", NULL,
     NULL},
    {"unknowns", 'u', FLAG_LIST, CMD(unknowns), "PATH",
     "what is unknown with --partial; else input", NULL, NULL},
    {"disable-inlining", 0, FLAG_LIST, CMD(disable_inlining), "PATH",
     "rules that --partial leaves as rules", NULL, NULL},
    {"shallow-inlining", 0, FLAG_BOOL, CMD(shallow), NULL,
     "--partial leaves rules that depend on the unknown as rules", NULL, NULL},
    {"nondeterminstic-builtins", 0, FLAG_BOOL, CMD(nondeterministic), NULL,
     "--partial calls builtins that ask the world, too", NULL, NULL},
    {"explain", 0, FLAG_CHOICE, CMD(explain), "MODE", "tell what happened",
     "off,full,notes,fails,debug", "off"},
    {"var-values", 0, FLAG_BOOL, CMD(var_values), NULL, "values of variables in the trace", NULL,
     NULL},
    {"metrics", 0, FLAG_BOOL, CMD(metrics), NULL, "how long each step took", NULL, NULL},
    {"instrument", 0, FLAG_BOOL, CMD(instrument), NULL, "more metrics", NULL, NULL},
    {"profile", 0, FLAG_BOOL, CMD(profile), NULL, "taken; nothing is profiled yet", NULL, NULL},
    {"profile-limit", 0, FLAG_INT, CMD(profile_limit), "N", "expressions to show", NULL, "10"},
    {"profile-sort", 0, FLAG_LIST, CMD(profile_sort), "KEY",
     "order: total_time_ns, num_eval, num_redo, num_gen_expr, file, line", NULL, NULL},
    {"count", 0, FLAG_INT, CMD(count), "N", "times to evaluate", NULL, "1"},
    {"coverage", 0, FLAG_BOOL, CMD(coverage), NULL, "taken; nothing is reported yet", NULL, NULL},
    {"coverage-runs", 0, FLAG_WORDS, CMD(coverage_runs), "KINDS",
     "why lines did not run: index_excluded, early_exit; implies --coverage", NULL, NULL},
    {"fail", 0, FLAG_BOOL, CMD(fail), NULL, "exit code 1 when the result is undefined", NULL, NULL},
    {"fail-defined", 0, FLAG_BOOL, CMD(fail_defined), NULL, "exit code 1 when it is defined", NULL,
     NULL},
    {"strict-builtin-errors", 0, FLAG_BOOL, CMD(strict_errors), NULL,
     "the first error of a builtin ends the evaluation", NULL, NULL},
    {"show-builtin-errors", 0, FLAG_BOOL, CMD(show_errors), NULL, "taken; nothing is reported yet",
     NULL, NULL},
    ROW_STRICT,
    ROW_SCHEMA,
    ROW_TARGET,
    {"optimize", 'O', FLAG_INT, CMD(optimize), "LEVEL", "taken; rules stay as written", NULL, "0"},
    {"entrypoint", 'e', FLAG_LIST, CMD(entrypoints), "PATH", "what is asked for, with -O", NULL,
     NULL},
    {"timeout", 0, FLAG_TIME, CMD(timeout_ns), "TIME", "limit of the evaluation", NULL, NULL},
    {"pretty-limit", 0, FLAG_INT, CMD(pretty_limit), "N", "characters of a value in a table", NULL,
     "80"},
    {"disable-indexing", 0, FLAG_BOOL, CMD(flag), NULL, "taken; changes no result", NULL, NULL},
    {"disable-early-exit", 0, FLAG_BOOL, CMD(flag), NULL, "taken; changes no result", NULL, NULL},
    {"optimize-store-for-read-speed", 0, FLAG_BOOL, CMD(flag), NULL, "taken; it always is", NULL,
     NULL},
    {"engine", 0, FLAG_CHOICE, CMD(engine), "ENGINE", NULL, "rego,topdown", "rego"},
    ROW_IGNORE,
    ROW_CAPABILITIES,
    ROW_V0,
    ROW_V1,
    {0},
};

static const struct flag_command fc = {"eval", "QUERY", "Evaluate a query and print the result.",
                                       flags};

static void print_line(void *ctx, struct str line)
{
    (void)ctx;
    fprintf(stderr, "%.*s\n", STR_FMT(line));
}

struct str run_query_text(struct run *r)
{
    if (r->text.p == NULL) {
        r->text = r->c->stdin_query ? stdin_text(&r->c->a) : str_of(r->c->args.v[0]);
    }
    return r->text;
}

void run_query_options(struct run *r, struct rego_query_options *o)
{
    struct cmd *c = r->c;
    struct str *imports = arena_array(&c->a, struct str, c->imports.n + 1);
    *o = (struct rego_query_options){.version = cmd_version(c),
                                     .strict = c->strict,
                                     .enable_print = true,
                                     .capture = true,
                                     .imports = imports,
                                     .n_imports = c->imports.n};
    for (size_t i = 0; i < c->imports.n; i++) {
        imports[i] = str_of(c->imports.v[i]);
        o->v2_keywords |= strcmp(c->imports.v[i], "rego.v2") == 0;
    }
    if (c->package != NULL) {
        bool full = strncmp(c->package, "data.", 5) == 0;
        o->package = arena_printf(&c->a, "%s%s", full ? "" : "data.", c->package);
    }
}

bool run_prepare(struct run *r)
{
    struct cmd *c = r->c;
    struct rego_compile_options o = {.strict = c->strict, .enable_print = true};
    struct rego_query_options qo;
    bool loading;
    int64_t t0 = clock_mono_ns();
    r->errors.a = &c->a;
    r->im = cmd_load(c, LOAD_FLAGS, &o, &r->errors, &loading);
    if (r->im == NULL) {
        return false;
    }
    int64_t t1 = clock_mono_ns();
    struct err e = cmd_input(c, &r->input);
    if (failed(e)) {
        rego_errors_add(&r->errors, "", STR_EMPTY, (struct loc){0}, "%s", err_detail());
        return false;
    }
    run_query_options(r, &qo);
    int64_t t2 = clock_mono_ns();
    struct str text = run_query_text(r);
    bool ok = rego_prepare(r->im->policy, text, &qo, &r->errors, &r->q);
    if (ok && c->engine != NULL && strcmp(c->engine, "topdown") == 0) {
        r->topdown = rego_topdown_new(r->im->policy);
        ok = rego_topdown_prepare(r->topdown, text, &qo, &r->errors, &r->tq);
    }
    r->load_ns = t1 - t0;
    r->compile_ns = clock_mono_ns() - t2;
    return ok;
}

void run_release(struct run *r)
{
    rego_query_free(r->q);
    rego_topdown_query_free(r->tq);
    rego_topdown_free(r->topdown);
    image_free(r->im);
}

void run_eval_options(struct run *r, struct rego_eval_options *o)
{
    *o = (struct rego_eval_options){
        .input = r->input,
        .data = r->im->data,
        .runtime = r->runtime,
        .outside = cmd_outside(r->c),
        .strict_builtin_errors = r->c->strict_errors,
        .print = print_line,
        .max_steps = UINT64_C(1) << 60,
        .deadline_ns = r->c->timeout_ns > 0 ? clock_mono_ns() + r->c->timeout_ns : 0,
    };
}

void run_evaluate(struct run *r, struct arena *a, struct rego_result *out)
{
    struct rego_eval_options o;
    run_eval_options(r, &o);
    if (r->tq != NULL) {
        rego_topdown_eval(r->tq, &o, NULL, a, out);
    } else {
        rego_eval(r->q, &o, a, out);
    }
}

/* Upstream wraps the errors of an evaluation, too, as one list. */
static void take_errors(struct run *r, const struct rego_result *out)
{
    if (out->failed) {
        rego_errors_add(&r->errors, out->error.code, out->error.file, out->error.loc, "%.*s",
                        STR_FMT(out->error.message));
    }
}

static int show_partial(struct run *r)
{
    print_partial(r);
    if (r->errors.n > 0) {
        print_result(r, NULL);
        return 2;
    }
    return (r->c->fail && !r->defined) || (r->c->fail_defined && r->defined) ? 1 : 0;
}

static int show(struct run *r)
{
    struct rego_result out = {0};
    struct cmd *c = r->c;
    bool ready = run_prepare(r);
    r->runtime = cmd_runtime(&c->a);
    if (ready && c->partial) {
        return show_partial(r);
    }
    if (ready) {
        for (int64_t i = 0; i < MAX(c->count, INT64_C(1)); i++) {
            int64_t t0 = clock_mono_ns();
            run_evaluate(r, &c->a, &out);
            r->eval_ns = clock_mono_ns() - t0;
        }
        take_errors(r, &out);
    }
    print_result(r, ready && !out.failed ? &out : NULL);
    if (r->errors.n > 0) {
        return 2;
    }
    bool defined = out.n_rows > 0;
    return (c->fail && !defined) || (c->fail_defined && defined) ? 1 : 0;
}

static int validate(const struct cmd *c)
{
    bool source = strcmp(c->format, "source") == 0;
    bool partial = source || strcmp(c->format, "pretty") == 0 || strcmp(c->format, "json") == 0;
    const struct {
        bool wrong;
        const char *text;
    } rules[] = {
        {c->args.n > 0 && c->stdin_query, "specify query argument or --stdin but not both"},
        {c->args.n == 0 && !c->stdin_query, "specify query argument or --stdin"},
        {c->args.n > 1, "specify at most one query argument"},
        {c->stdin_query && c->stdin_input, "specify --stdin or --stdin-input but not both"},
        {c->stdin_input && c->input != NULL, "specify --stdin-input or --input but not both"},
        {c->fail && c->fail_defined, "specify --fail or --fail-defined but not both"},
        {c->partial && !partial, "invalid output format for partial evaluation"},
        {!c->partial && source, "invalid output format for evaluation"},
        {c->optimize > 0 && c->data.n > 0 && c->bundles.n > 0,
         "specify either --data or --bundle flag with optimization level greater than 0"},
        {c->strict_errors && c->show_errors,
         "cannot use --show-builtin-errors with --strict-builtin-errors, --strict-builtin-errors "
         "will "
         "return the first built-in error encountered immediately"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
        if (rules[i].wrong) {
            return cmd_wrong(&fc, "%s", rules[i].text);
        }
    }
    return 0;
}

int cmd_eval(struct daemon *d, int argc, char **argv)
{
    int code = 0;
    struct run r = {.input = VAL_UNDEF, .c = cmd_new(&fc, argc, argv, &code)};
    (void)d;
    if (r.c == NULL) {
        return code;
    }
    r.c->profile |= flags_given("profile-limit") || flags_given("profile-sort");
    r.c->coverage |= r.c->coverage_runs.set;
    r.c->metrics |= r.c->profile || r.c->instrument;
    code = validate(r.c);
    code = code != 0 ? code : show(&r);
    run_release(&r);
    cmd_free(r.c);
    return code;
}
