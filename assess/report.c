#include "report.h"

static const char *const level_names[] = {
    "secrets in the tree",
    "secrets out of the tree, by hand",
    "secret objects, separated access",
    "secret manager with rotation",
    "workload identity and dynamic credentials",
    "proven: tested policy, mTLS, default deny, audit proofs, tested detections"};

static void put_place(struct buf *out, struct str path, unsigned line)
{
    if (path.n > 0) {
        buf_printf(out, "%.*s", STR_FMT(path));
        if (line > 0) {
            buf_printf(out, ":%u", line);
        }
        buf_puts(out, S("  "));
    }
}

static void put_evidence(struct buf *out, char sign, const struct evidence_list *l)
{
    for (size_t i = 0; i < l->n; i++) {
        buf_printf(out, "        %c ", sign);
        put_place(out, l->items[i].path, l->items[i].line);
        buf_printf(out, "%.*s\n", STR_FMT(l->items[i].text));
    }
    if (l->more > 0) {
        buf_printf(out, "        %c ... and %zu more\n", sign, l->more);
    }
}

static void put_gates(struct buf *out, const struct assess *a)
{
    int level = 0;
    for (int g = 0; g < GATE_MAX; g++) {
        const struct gate *gate = &a->gates[g];
        if (gate->level != level) {
            level = gate->level;
            buf_printf(out, "\n  Level %d: %s\n", level, level_names[level]);
        }
        buf_printf(out, "    %s  %s\n", gate->result == GATE_PASSED ? "yes" : "no ", gate->title);
        put_evidence(out, '+', &gate->pro);
        put_evidence(out, '-', &gate->con);
    }
}

/* The first failed gate of the next level: one practical step, not a list of wishes. */
static const struct gate *next_gate(const struct assess *a)
{
    for (int g = 0; g < GATE_MAX; g++) {
        if (a->gates[g].result == GATE_FAILED) {
            return &a->gates[g];
        }
    }
    return NULL;
}

static void put_finding(struct buf *out, const struct finding *f)
{
    buf_puts(out, S("    "));
    put_place(out, f->path, f->line);
    buf_printf(out, "%.*s", STR_FMT(f->text));
    if (f->mask.n > 0) {
        buf_printf(out, " (%.*s, %.*s)", STR_FMT(f->rule), STR_FMT(f->mask));
    }
    if (!f->in_tree && f->commit.n > 0) {
        buf_printf(out, " [%s%.*s]", str_is(f->commit, "unreachable") ? "" : "commit ",
                   STR_FMT(f->commit));
    }
    buf_putc(out, '\n');
}

static size_t count_kind(const struct assess *a, enum antipattern kind)
{
    size_t n = 0;
    for (size_t i = 0; i < a->n_findings; i++) {
        n += a->findings[i].kind == kind;
    }
    return n;
}

static void put_findings(struct buf *out, const struct assess *a)
{
    for (int k = 0; k < ANTI_MAX; k++) {
        size_t n = count_kind(a, (enum antipattern)k);
        buf_printf(out, "\n  %s: %s\n", antipattern_title((enum antipattern)k),
                   n == 0 ? "not found" : "FOUND");
        for (size_t i = 0; i < a->n_findings; i++) {
            if (a->findings[i].kind == (enum antipattern)k) {
                put_finding(out, &a->findings[i]);
            }
        }
        if (n > 0) {
            buf_printf(out, "    -> %s\n", antipattern_remedy((enum antipattern)k));
        }
    }
}

static bool function_shown(const struct assess *a, const struct control_map *m)
{
    for (size_t i = 0; i < m->n_gates; i++) {
        if (a->gates[m->gates[i]].result == GATE_FAILED) {
            return false;
        }
    }
    return true;
}

static void put_controls(struct buf *out, const struct assess *a, int framework)
{
    buf_printf(out, "\nControls of %s\n\n", framework_titles[framework]);
    for (int f = 0; f < FUNCTION_MAX; f++) {
        buf_printf(out, "  %-15s %-9s %s\n", control_maps[f].function,
                   function_shown(a, &control_maps[f]) ? "shown" : "not shown",
                   control_maps[f].controls[framework]);
    }
}

void report_text(struct buf *out, struct assess *a, const struct report_opts *o)
{
    const struct gate *next = next_gate(a);
    buf_printf(out, "%s: maturity level %d of 5 (%s)\n", a->root, a->level, level_names[a->level]);
    buf_printf(
        out, "  read: %zu files, %zu KiB; %zu blobs of history (%zu unreachable); %zu workloads\n",
        a->files, a->bytes / 1024, a->blobs, a->unreachable, a->n_consumers);
    if (next != NULL) {
        buf_printf(out, "  next step: %s\n", next->next_step);
    }
    put_gates(out, a);
    buf_puts(out, S("\nAnti-patterns\n"));
    put_findings(out, a);
    if (o->answers->given) {
        struct pattern p = pattern_for(&a->arena, o->answers);
        buf_printf(out, "\nPattern (%d points; enterprise from 3)\n\n  %.*s\n", p.points,
                   STR_FMT(p.advice));
        for (size_t i = 0; i < p.n_reasons; i++) {
            buf_printf(out, "    %.*s\n", STR_FMT(p.reasons[i]));
        }
    }
    if (o->framework >= 0) {
        put_controls(out, a, o->framework);
    }
}

/* --- JSON -------------------------------------------------------------------------------------- */

static void json_evidence(struct jw *w, struct str key, const struct evidence_list *l)
{
    jw_key(w, key);
    jw_arr(w);
    for (size_t i = 0; i < l->n; i++) {
        jw_obj(w);
        if (l->items[i].path.n > 0) {
            jw_key_str(w, S("file"), l->items[i].path);
        }
        if (l->items[i].line > 0) {
            jw_key_int(w, S("line"), l->items[i].line);
        }
        jw_key_str(w, S("text"), l->items[i].text);
        jw_end(w);
    }
    jw_end(w);
}

static void json_gates(struct jw *w, const struct assess *a)
{
    jw_key(w, S("gates"));
    jw_arr(w);
    for (int g = 0; g < GATE_MAX; g++) {
        const struct gate *gate = &a->gates[g];
        jw_obj(w);
        jw_key_int(w, S("level"), gate->level);
        jw_key_str(w, S("id"), str_of(gate->id));
        jw_key_str(w, S("title"), str_of(gate->title));
        jw_key_bool(w, S("passed"), gate->result == GATE_PASSED);
        json_evidence(w, S("for"), &gate->pro);
        json_evidence(w, S("against"), &gate->con);
        jw_key_str(w, S("next_step"), str_of(gate->next_step));
        jw_end(w);
    }
    jw_end(w);
}

static void json_findings(struct jw *w, const struct assess *a)
{
    jw_key(w, S("findings"));
    jw_arr(w);
    for (size_t i = 0; i < a->n_findings; i++) {
        const struct finding *f = &a->findings[i];
        jw_obj(w);
        jw_key_str(w, S("antipattern"), str_of(antipattern_id(f->kind)));
        jw_key_str(w, S("rule"), f->rule);
        jw_key_str(w, S("file"), f->path);
        jw_key_int(w, S("line"), f->line);
        if (f->commit.n > 0) {
            jw_key_str(w, S("commit"), f->commit);
        }
        jw_key_str(w, S("text"), f->text);
        if (f->mask.n > 0) {
            jw_key_str(w, S("begins_with"), f->mask);
        }
        jw_key_str(w, S("remedy"), str_of(antipattern_remedy(f->kind)));
        jw_end(w);
    }
    jw_end(w);
}

static void json_compliance(struct jw *w, const struct assess *a, int only)
{
    jw_key(w, S("compliance"));
    jw_obj(w);
    for (int k = 0; k < FRAMEWORK_MAX; k++) {
        if (only >= 0 && only != k) {
            continue;
        }
        jw_key(w, str_of(framework_ids[k]));
        jw_obj(w);
        for (int f = 0; f < FUNCTION_MAX; f++) {
            jw_key(w, str_of(control_maps[f].function));
            jw_obj(w);
            jw_key_bool(w, S("shown"), function_shown(a, &control_maps[f]));
            jw_key_str(w, S("controls"), str_of(control_maps[f].controls[k]));
            jw_end(w);
        }
        jw_end(w);
    }
    jw_end(w);
}

static void json_pattern(struct jw *w, struct assess *a, const struct answers *answers)
{
    struct pattern p = pattern_for(&a->arena, answers);
    jw_key(w, S("pattern"));
    jw_obj(w);
    jw_key_str(w, S("name"), p.enterprise ? S("enterprise") : S("startup"));
    jw_key_int(w, S("points"), p.points);
    jw_key_str(w, S("advice"), p.advice);
    jw_key(w, S("why"));
    jw_arr(w);
    for (size_t i = 0; i < p.n_reasons; i++) {
        jw_str(w, p.reasons[i]);
    }
    jw_end(w);
    jw_end(w);
}

void report_json(struct buf *out, struct assess *a, const struct report_opts *o)
{
    const struct gate *next = next_gate(a);
    struct jw w;
    jw_init(&w, out);
    jw_obj(&w);
    jw_key_int(&w, S("level"), a->level);
    jw_key_str(&w, S("level_name"), str_of(level_names[a->level]));
    jw_key_str(&w, S("next_step"), str_of(next != NULL ? next->next_step : ""));
    jw_key_int(&w, S("files"), (int64_t)a->files);
    jw_key_int(&w, S("blobs"), (int64_t)a->blobs);
    jw_key_int(&w, S("unreachable_blobs"), (int64_t)a->unreachable);
    jw_key_int(&w, S("passed_over"), (int64_t)a->passed_over);
    jw_key_int(&w, S("workloads"), (int64_t)a->n_consumers);
    json_gates(&w, a);
    json_findings(&w, a);
    if (o->answers->given) {
        json_pattern(&w, a, o->answers);
    }
    json_compliance(&w, a, o->framework);
    jw_end(&w);
    buf_putc(out, '\n');
}

/* --- SARIF 2.1.0 ------------------------------------------------------------------------------- */

static void sarif_rules(struct jw *w)
{
    jw_key(w, S("rules"));
    jw_arr(w);
    for (int k = 0; k < ANTI_MAX; k++) {
        jw_obj(w);
        jw_key_str(w, S("id"), str_of(antipattern_id((enum antipattern)k)));
        jw_key(w, S("shortDescription"));
        jw_obj(w);
        jw_key_str(w, S("text"), str_of(antipattern_title((enum antipattern)k)));
        jw_end(w);
        jw_key(w, S("help"));
        jw_obj(w);
        jw_key_str(w, S("text"), str_of(antipattern_remedy((enum antipattern)k)));
        jw_end(w);
        jw_end(w);
    }
    jw_end(w);
}

static void sarif_result(struct jw *w, const struct finding *f)
{
    jw_obj(w);
    jw_key_str(w, S("ruleId"), str_of(antipattern_id(f->kind)));
    jw_key_str(w, S("level"), f->in_tree ? S("error") : S("warning"));
    jw_key(w, S("message"));
    jw_obj(w);
    jw_key_str(w, S("text"), f->text);
    jw_end(w);
    jw_key(w, S("locations"));
    jw_arr(w);
    jw_obj(w);
    jw_key(w, S("physicalLocation"));
    jw_obj(w);
    jw_key(w, S("artifactLocation"));
    jw_obj(w);
    jw_key_str(w, S("uri"), f->path);
    jw_end(w);
    jw_key(w, S("region"));
    jw_obj(w);
    jw_key_int(w, S("startLine"), MAX(f->line, 1u));
    jw_end(w);
    jw_end(w);
    jw_end(w);
    jw_end(w);
    jw_end(w);
}

void report_sarif(struct buf *out, const struct assess *a)
{
    struct jw w;
    jw_init(&w, out);
    jw_obj(&w);
    jw_key_str(&w, S("$schema"), S("https://json.schemastore.org/sarif-2.1.0.json"));
    jw_key_str(&w, S("version"), S("2.1.0"));
    jw_key(&w, S("runs"));
    jw_arr(&w);
    jw_obj(&w);
    jw_key(&w, S("tool"));
    jw_obj(&w);
    jw_key(&w, S("driver"));
    jw_obj(&w);
    jw_key_str(&w, S("name"), S("sextant-assess"));
    sarif_rules(&w);
    jw_end(&w);
    jw_end(&w);
    jw_key(&w, S("results"));
    jw_arr(&w);
    for (size_t i = 0; i < a->n_findings; i++) {
        sarif_result(&w, &a->findings[i]);
    }
    jw_end(&w);
    jw_end(&w);
    jw_end(&w);
    jw_end(&w);
    buf_putc(out, '\n');
}
