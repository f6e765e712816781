/* Credentials by the names of variables: in .env files, and wherever workloads get their variables. */
#include "assess.h"

static bool has_word(struct str name, const char *word)
{
    struct str w = str_of(word);
    for (size_t i = 0; i + w.n <= name.n; i++) {
        if (str_eq_nocase(str_sub(name, i, i + w.n), w)) {
            return true;
        }
    }
    return false;
}

static bool has_any(struct str name, const char *const *words, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (has_word(name, words[i])) {
            return true;
        }
    }
    return false;
}

bool name_is_secret(struct str name)
{
    static const char *const words[] = {
        "password",   "passwd",      "passphrase", "secret",       "token", "api_key", "apikey",
        "access_key", "private_key", "credential", "database_url", "dsn",   "_pass",   "_pwd"};
    static const char *const not [] = {"_file",      "_path",       "_ttl",
                                       "_name",      "_url_prefix", "_endpoint",
                                       "secretname", "_issuer",     "_audience"};
    return has_any(name, words, ARRAY_LEN(words)) && !has_any(name, not, ARRAY_LEN(not ));
}

bool name_is_database_secret(struct str name)
{
    static const char *const words[] = {"db_",     "database", "pg",    "postgres", "mysql",
                                        "mariadb", "mongo",    "redis", "sql",      "dsn"};
    static const char *const secret[] = {"pass", "pwd",  "secret", "database_url",
                                         "dsn",  "_url", "_uri"};
    return has_any(name, words, ARRAY_LEN(words)) && has_any(name, secret, ARRAY_LEN(secret));
}

bool name_is_admin_token(struct str name)
{
    static const char *const words[] = {"admin",         "root",         "vault_token",
                                        "bao_token",     "github_token", "gitlab_token",
                                        "cluster_token", "tfe_token",    "superuser"};
    static const char *const token[] = {"token", "secret", "key", "password"};
    return has_any(name, words, ARRAY_LEN(words)) && has_any(name, token, ARRAY_LEN(token));
}

bool value_is_literal(struct str value)
{
    static const char *const none[] = {"changeme", "change-me", "example", "placeholder", "xxxx",
                                       "your-",    "your_",     "todo",    "dummy"};
    value = str_trim(value);
    if (value.n < 3 || value.p[0] == '$' || value.p[0] == '<' || value.p[0] == '/' ||
        value.p[0] == '{' || value.p[0] == '*') {
        return false;
    }
    return str_find(value, S("${")) == STR_NPOS && str_find(value, S("{{")) == STR_NPOS &&
           str_find(value, S("$(")) == STR_NPOS && !str_starts(value, S("vault:")) &&
           !str_starts(value, S("file:")) && !str_starts(value, S("ref+")) &&
           !has_any(value, none, ARRAY_LEN(none)) && !str_is(value, "true") &&
           !str_is(value, "false");
}

/* The password of scheme://user:password@host, or the value itself. */
static struct str password_of(struct str value)
{
    size_t scheme = str_find(value, S("://")), at = str_rfind_char(value, '@');
    if (scheme == STR_NPOS || at == STR_NPOS || at < scheme) {
        return value;
    }
    struct str user = str_sub(value, scheme + 3, at);
    size_t colon = str_find_char(user, ':');
    return colon == STR_NPOS ? STR_EMPTY : str_sub(user, colon + 1, user.n);
}

void use_value(struct assess *a, const struct consumer *c, struct str name, struct str value,
               struct str path, unsigned line)
{
    struct use u = {.consumer = c->name,
                    .team = c->team,
                    .name = name,
                    .path = path,
                    .line = line,
                    .database = name_is_database_secret(name),
                    .admin = name_is_admin_token(name)};
    struct str secret = password_of(value);
    if ((u.database || u.admin) && secret.n > 0 && value_is_literal(secret)) {
        assess_fingerprint(a, secret, u.fingerprint);
        assess_use(a, &u);
    }
}

static bool is_env_file(struct str path)
{
    size_t slash = str_rfind_char(path, '/');
    struct str name = slash == STR_NPOS ? path : str_sub(path, slash + 1, path.n);
    bool sample = str_find(name, S("example")) != STR_NPOS ||
                  str_find(name, S("sample")) != STR_NPOS ||
                  str_find(name, S("template")) != STR_NPOS;
    return !sample &&
           (str_is(name, ".env") || str_starts(name, S(".env.")) || str_ends(name, S(".env")));
}

static struct str unquoted(struct str v)
{
    v = str_trim(v);
    bool quoted = v.n >= 2 && (v.p[0] == '"' || v.p[0] == '\'') && v.p[v.n - 1] == v.p[0];
    return quoted ? str_sub(v, 1, v.n - 1) : v;
}

/* NAME=value lines: the file is a consumer, its folder the service. */
void scan_env_file(struct assess *a, const struct origin *o, struct str text)
{
    size_t slash = str_rfind_char(o->path, '/');
    struct str folder = slash == STR_NPOS ? S(".") : str_sub(o->path, 0, slash);
    unsigned number = 0;
    if (!is_env_file(o->path)) {
        return;
    }
    struct str top = folder;
    struct consumer c = {.name = folder, .path = o->path, .team = str_split(&top, '/')};
    for (struct str rest = text; rest.p != NULL;) {
        struct str value = str_split(&rest, '\n'), name = str_trim(str_split(&value, '='));
        number++;
        if (value.p == NULL || name.n == 0 || name.p[0] == '#') {
            continue;
        }
        name = str_starts(name, S("export ")) ? str_trim(str_sub(name, 7, name.n)) : name;
        value = unquoted(value);
        if (name_is_secret(name) && value_is_literal(value)) {
            assess_con(a, GATE_NO_LITERALS, o->path, number,
                       arena_printf(&a->arena, "%.*s is set in a file", STR_FMT(name)));
        }
        use_value(a, &c, name, value, o->path, number);
    }
}
