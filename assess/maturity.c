/* The conclusion: shared credentials, the gates, the level. */
#include "assess.h"

enum { SHARE_PERCENT = 80, NAMES_SHOWN = 4 };

/* A database server has the password too; that is no sharing. */
static bool is_server_variable(struct str name)
{
    static const char *const names[] = {"POSTGRES_PASSWORD",          "POSTGRESQL_PASSWORD",
                                        "MYSQL_ROOT_PASSWORD",        "MYSQL_PASSWORD",
                                        "MARIADB_ROOT_PASSWORD",      "MARIADB_PASSWORD",
                                        "MONGO_INITDB_ROOT_PASSWORD", "PGDATA"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (str_is(name, names[i])) {
            return true;
        }
    }
    return false;
}

static bool same_value(const struct use *a, const struct use *b)
{
    return memcmp(a->fingerprint, b->fingerprint, sizeof(a->fingerprint)) == 0;
}

struct share {
    bool (*counts)(const struct use *u);
    bool by_team;
    enum antipattern kind;
    const char *rule, *what;
};

static bool counts_database(const struct use *u)
{
    return u->database && !is_server_variable(u->name);
}

static bool counts_admin(const struct use *u)
{
    return u->admin;
}

static struct str holder(const struct share *s, const struct use *u)
{
    return s->by_team ? u->team : u->consumer;
}

/* Who holds the value of use `first`: distinct names, at most `max`; returns how many there are. */
static size_t holders(const struct assess *a, const struct share *s, size_t first,
                      struct str *names, size_t max)
{
    size_t n = 0;
    for (size_t i = first; i < a->n_uses; i++) {
        if (!s->counts(&a->uses[i]) || !same_value(&a->uses[i], &a->uses[first])) {
            continue;
        }
        size_t k = 0;
        while (k < n && !str_eq(names[k], holder(s, &a->uses[i]))) {
            k++;
        }
        if (k == n && n < max) {
            names[n++] = holder(s, &a->uses[i]);
        }
    }
    return n;
}

static bool seen_before(const struct assess *a, const struct share *s, size_t at)
{
    for (size_t i = 0; i < at; i++) {
        if (s->counts(&a->uses[i]) && same_value(&a->uses[i], &a->uses[at])) {
            return true;
        }
    }
    return false;
}

static void find_shared(struct assess *a, const struct share *s)
{
    struct str names[64];
    for (size_t i = 0; i < a->n_uses; i++) {
        if (!s->counts(&a->uses[i]) || seen_before(a, s, i)) {
            continue;
        }
        size_t n = holders(a, s, i, names, ARRAY_LEN(names));
        if (n < 2) {
            continue;
        }
        struct str list = names[0];
        for (size_t k = 1; k < MIN(n, (size_t)NAMES_SHOWN); k++) {
            list = arena_printf(&a->arena, "%.*s, %.*s", STR_FMT(list), STR_FMT(names[k]));
        }
        struct finding f = {.kind = s->kind,
                            .rule = str_of(s->rule),
                            .path = a->uses[i].path,
                            .line = a->uses[i].line,
                            .in_tree = true,
                            .text = arena_printf(&a->arena, "%s %.*s is held by %zu %s: %.*s%s",
                                                 s->what, STR_FMT(a->uses[i].name), n,
                                                 s->by_team ? "teams" : "services", STR_FMT(list),
                                                 n > NAMES_SHOWN ? ", ..." : "")};
        memcpy(f.fingerprint, a->uses[i].fingerprint, sizeof(f.fingerprint));
        assess_find(a, &f);
    }
}

/* --- gates ------------------------------------------------------------------------------------- */

static void judge_findings(struct assess *a)
{
    for (size_t i = 0; i < a->n_findings; i++) {
        const struct finding *f = &a->findings[i];
        bool secret = f->kind == ANTI_SECRET_IN_GIT || f->kind == ANTI_LONG_LIVED_CLOUD_KEY;
        if (secret) {
            assess_con(a, f->in_tree ? GATE_TREE_CLEAN : GATE_HISTORY_CLEAN, f->path, f->line,
                       f->text);
        }
        if (f->kind == ANTI_LONG_LIVED_CLOUD_KEY) {
            assess_con(a, GATE_NO_CLOUD_KEYS, f->path, f->line, f->text);
        }
        if (f->kind == ANTI_SHARED_DB_PASSWORD) {
            assess_con(a, GATE_DYNAMIC_DB, f->path, f->line, f->text);
        }
        if (f->kind == ANTI_JWT_PERMISSIONS) {
            assess_con(a, GATE_POLICY_TESTS, f->path, f->line, f->text);
        }
        if (f->kind == ANTI_SHARED_ADMIN_TOKEN) {
            assess_con(a, GATE_SEPARATED, f->path, f->line, f->text);
        }
    }
}

struct shares {
    size_t workloads, identity, manager, own_account, literal;
};

static struct shares count_consumers(struct assess *a)
{
    struct shares n = {0};
    for (size_t i = 0; i < a->n_consumers; i++) {
        struct consumer *c = &a->consumers[i];
        n.literal += c->literal_secret;
        if (c->data_store) {
            continue;
        }
        c->identity = c->identity || (c->manager && c->own_account) ||
                      (c->account.n > 0 && map_get(&a->spiffe_ids, c->account) != NULL);
        n.workloads++;
        n.identity += c->identity;
        n.manager += c->manager;
        n.own_account += c->own_account;
        if (c->identity) {
            assess_pro(a, GATE_WORKLOAD_IDENTITY, c->path, c->line,
                       arena_printf(&a->arena, "%.*s has a workload identity", STR_FMT(c->name)));
        }
        if (c->manager) {
            assess_pro(
                a, GATE_SECRET_MANAGER, c->path, c->line,
                arena_printf(&a->arena, "%.*s reads from the secret manager", STR_FMT(c->name)));
        }
    }
    return n;
}

static bool enough(size_t part, size_t whole)
{
    return part * 100 >= whole * SHARE_PERCENT;
}

static void judge_consumers(struct assess *a)
{
    struct shares n = count_consumers(a);
    if (n.workloads > 0 && !enough(n.own_account, n.workloads)) {
        assess_con(a, GATE_SEPARATED, STR_EMPTY, 0,
                   arena_printf(&a->arena, "%zu of %zu workloads have an account of their own",
                                n.own_account, n.workloads));
    }
    if (n.workloads > 0 && !enough(n.identity, n.workloads)) {
        assess_con(a, GATE_WORKLOAD_IDENTITY, STR_EMPTY, 0,
                   arena_printf(&a->arena, "%zu of %zu workloads have a workload identity",
                                n.identity, n.workloads));
    }
    if (n.workloads > 0 && n.literal == 0) {
        assess_pro(a, GATE_NO_LITERALS, STR_EMPTY, 0,
                   arena_printf(&a->arena, "none of %zu workloads gets a secret as a literal",
                                a->n_consumers));
    }
}

/* A clean tree needs no proof of cleanness; every other practice has to be seen. */
static void judge_gates(struct assess *a)
{
    if (a->gates[GATE_TREE_CLEAN].con.n == 0) {
        assess_pro(a, GATE_TREE_CLEAN, STR_EMPTY, 0,
                   arena_printf(&a->arena, "%zu files were read, and no secret found", a->files));
    }
    if (a->gates[GATE_HISTORY_CLEAN].con.n == 0) {
        assess_pro(
            a, GATE_HISTORY_CLEAN, STR_EMPTY, 0,
            a->is_git
                ? arena_printf(
                      &a->arena,
                      "%zu blobs were read, %zu of them unreachable, and no further secret found",
                      a->blobs, a->unreachable)
                : S("the tree is no Git repository"));
    }
    if (a->gates[GATE_NO_CLOUD_KEYS].con.n == 0) {
        assess_pro(a, GATE_NO_CLOUD_KEYS, STR_EMPTY, 0, S("no long-lived cloud key was found"));
    }
    for (int g = 0; g < GATE_MAX; g++) {
        struct gate *gate = &a->gates[g];
        if (gate->pro.n == 0 && gate->con.n == 0) {
            assess_con(a, (enum gate_id)g, STR_EMPTY, 0, S("nothing shows it"));
        }
        gate->result = gate->pro.n > 0 && gate->con.n == 0 ? GATE_PASSED : GATE_FAILED;
    }
}

void assess_conclude(struct assess *a)
{
    static const struct share shares[] = {
        {counts_database, false, ANTI_SHARED_DB_PASSWORD, "shared-database-password",
         "database credential"},
        {counts_admin, true, ANTI_SHARED_ADMIN_TOKEN, "shared-admin-token",
         "administrative credential"},
    };
    for (size_t i = 0; i < ARRAY_LEN(shares); i++) {
        find_shared(a, &shares[i]);
    }
    judge_findings(a);
    judge_consumers(a);
    judge_gates(a);
    a->level = 5;
    for (int g = 0; g < GATE_MAX; g++) {
        if (a->gates[g].result == GATE_FAILED) {
            a->level = MIN(a->level, a->gates[g].level - 1);
        }
    }
}
