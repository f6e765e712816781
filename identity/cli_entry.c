/* entry create|update|delete|show|list|count, as spire-server has them. */
#include "cli.h"

#include "lib/base/clock.h"
#include "lib/base/codec.h"

#include <stdio.h>

static const char *const flags[] = {"spiffeID",   "parentID",    "selector", "x509SVIDTTL",
                                    "jwtSVIDTTL", "dns",         "hint",     "federatesWith",
                                    "entryID",    "entryExpiry", NULL};
static const char *const booleans[] = {"admin", "downstream", "storeSVID", NULL};

static void set_text(struct cli *c, struct json *o, const char *member, const char *flag)
{
    if (cli_flag(c, flag) != NULL) {
        json_set(&c->arena, o, str_of(member),
                 json_new_string(&c->arena, str_of(cli_flag(c, flag))));
    }
}

static void set_list(struct cli *c, struct json *o, const char *member, const char *flag)
{
    struct json *list = cli_list(c, flag);
    if (list->n > 0) {
        json_set(&c->arena, o, str_of(member), list);
    }
}

static void set_flag(struct cli *c, struct json *o, const char *member, const char *flag)
{
    if (cli_is(c, flag)) {
        json_set(&c->arena, o, str_of(member), json_new_bool(&c->arena, true));
    }
}

static struct json *document(struct cli *c)
{
    struct json *o = json_new_object(&c->arena);
    set_text(c, o, "id", "entryID");
    set_text(c, o, "spiffe_id", "spiffeID");
    set_text(c, o, "parent_id", "parentID");
    set_text(c, o, "x509_svid_ttl", "x509SVIDTTL");
    set_text(c, o, "jwt_svid_ttl", "jwtSVIDTTL");
    set_text(c, o, "expires_at", "entryExpiry");
    set_text(c, o, "hint", "hint");
    set_list(c, o, "selectors", "selector");
    set_list(c, o, "dns_names", "dns");
    set_list(c, o, "federates_with", "federatesWith");
    set_flag(c, o, "admin", "admin");
    set_flag(c, o, "downstream", "downstream");
    set_flag(c, o, "store_svid", "storeSVID");
    return o;
}

static void print_id(const struct json *e, const char *label, const char *member)
{
    const struct json *id = json_get(e, member);
    printf("%-17s: spiffe://%.*s%.*s\n", label, STR_FMT(json_str(json_get(id, "trust_domain"))),
           STR_FMT(json_str(json_get(id, "path"))));
}

static void print_ttl(const struct json *e, const char *label, const char *member)
{
    int64_t ttl = 0;
    ignore_err(json_i64(json_get(e, member), &ttl));
    if (ttl == 0) {
        printf("%-17s: default\n", label);
    } else {
        printf("%-17s: %lld\n", label, (long long)ttl);
    }
}

static void print_strings(const struct json *list, const char *label)
{
    for (uint32_t i = 0; json_is(list, JSON_ARRAY) && i < list->n; i++) {
        printf("%-17s: %.*s\n", label, STR_FMT(json_str(list->items[i])));
    }
}

static void print_entry(const struct json *e)
{
    printf("%-17s: %.*s\n", "Entry ID", STR_FMT(json_str(json_get(e, "id"))));
    print_id(e, "SPIFFE ID", "spiffe_id");
    print_id(e, "Parent ID", "parent_id");
    printf("%-17s: %.*s\n", "Revision", STR_FMT(json_str(json_get(e, "revision_number"))));
    print_ttl(e, "X509-SVID TTL", "x509_svid_ttl");
    print_ttl(e, "JWT-SVID TTL", "jwt_svid_ttl");
    const struct json *selectors = json_get(e, "selectors");
    for (uint32_t i = 0; selectors != NULL && i < selectors->n; i++) {
        printf("%-17s: %.*s:%.*s\n", "Selector",
               STR_FMT(json_str(json_get(selectors->items[i], "type"))),
               STR_FMT(json_str(json_get(selectors->items[i], "value"))));
    }
    print_strings(json_get(e, "dns_names"), "DNS name");
    print_strings(json_get(e, "federates_with"), "FederatesWith");
    struct str hint = json_str(json_get(e, "hint"));
    if (hint.n > 0) {
        printf("%-17s: %.*s\n", "Hint", STR_FMT(hint));
    }
    if (json_true(json_get(e, "admin"))) {
        printf("%-17s: true\n", "Admin");
    }
    putchar('\n');
}

/* {"results":[{"status":{"code":0,"message":"OK"},"entry":{...}}]} */
static void print_result(struct cli *c, struct json *entry, const char *says)
{
    if (!c->json) {
        if (says[0] != '\0') {
            puts(says);
        }
        if (entry->n > 0) {
            print_entry(entry);
        }
        return;
    }
    struct arena *a = &c->arena;
    struct json *o = json_new_object(a), *results = json_new_array(a), *r = json_new_object(a),
                *status = json_new_object(a);
    json_set(a, status, S("code"), json_new_int(a, 0));
    json_set(a, status, S("message"), json_new_string(a, S("OK")));
    json_set(a, r, S("status"), status);
    if (entry->n > 0) {
        json_set(a, r, S("entry"), entry);
    } else {
        json_set(a, r, S("id"), json_new_string(a, str_of(cli_flag(c, "entryID"))));
    }
    json_push(a, results, r);
    json_set(a, o, S("results"), results);
    cli_print_json(o);
}

static struct str entry_path(struct cli *c)
{
    struct buf b;
    buf_init(&b, 2048);
    percent_put(&b, str_of(cli_flag(c, "entryID")));
    struct str path = arena_printf(&c->arena, "/v1/entries/%.*s", STR_FMT(buf_str(&b)));
    buf_release(&b);
    return path;
}

static int create(struct cli *c)
{
    struct json *v;
    if (!cli_call(c, "POST", S("/v1/entries"), document(c), &v)) {
        return 1;
    }
    print_result(c, v, "");
    return 0;
}

static int update(struct cli *c)
{
    struct json *v;
    if (cli_flag(c, "entryID") == NULL) {
        return cli_fail("-entryID is needed");
    }
    if (!cli_call(c, "PUT", entry_path(c), document(c), &v)) {
        return 1;
    }
    print_result(c, v, "");
    return 0;
}

static int delete (struct cli *c)
{
    struct json *v;
    if (cli_flag(c, "entryID") == NULL) {
        return cli_fail("-entryID is needed");
    }
    if (!cli_call(c, "DELETE", entry_path(c), NULL, &v)) {
        return 1;
    }
    char text[300];
    snprintf(text, sizeof(text), "Deleted entry with ID: %s", cli_flag(c, "entryID"));
    print_result(c, v, text);
    return 0;
}

static struct str list_path(struct cli *c)
{
    static const struct {
        const char *flag, *parameter;
    } filters[] = {{"spiffeID", "spiffe_id"},
                   {"parentID", "parent_id"},
                   {"selector", "selector"},
                   {"hint", "hint"}};
    struct buf b;
    buf_init(&b, 16 * 1024);
    buf_puts(&b, S("/v1/entries?"));
    for (size_t i = 0; i < ARRAY_LEN(filters); i++) {
        if (cli_flag(c, filters[i].flag) != NULL) {
            buf_printf(&b, "%s=", filters[i].parameter);
            percent_put(&b, str_of(cli_flag(c, filters[i].flag)));
            buf_putc(&b, '&');
        }
    }
    struct str path = arena_str(&c->arena, str_sub(buf_str(&b), 0, b.n - 1));
    buf_release(&b);
    return path;
}

static int show_one(struct cli *c)
{
    struct json *v;
    if (!cli_call(c, "GET", entry_path(c), NULL, &v)) {
        return 1;
    }
    if (c->json) {
        struct json *o = json_new_object(&c->arena), *list = json_new_array(&c->arena);
        json_push(&c->arena, list, v);
        json_set(&c->arena, o, S("entries"), list);
        cli_print_json(o);
    } else {
        puts("Found 1 entry");
        print_entry(v);
    }
    return 0;
}

static int show(struct cli *c)
{
    struct json *v;
    if (cli_flag(c, "entryID") != NULL) {
        return show_one(c);
    }
    if (!cli_call(c, "GET", list_path(c), NULL, &v)) {
        return 1;
    }
    if (c->json) {
        cli_print_json(v);
        return 0;
    }
    const struct json *list = json_get(v, "entries");
    printf("Found %u %s\n", list->n, list->n == 1 ? "entry" : "entries");
    for (uint32_t i = 0; i < list->n; i++) {
        print_entry(list->items[i]);
    }
    return 0;
}

static int count(struct cli *c)
{
    struct json *v;
    if (!cli_call(c, "GET", list_path(c), NULL, &v)) {
        return 1;
    }
    unsigned n = json_get(v, "entries")->n;
    printf(c->json ? "{\"count\":%u}\n" : "%u registration entries\n", n);
    return 0;
}

int cli_entry(struct daemon *d, int argc, char **argv)
{
    static const struct {
        const char *verb;
        int (*run)(struct cli *c);
    } verbs[] = {{"create", create}, {"update", update}, {"delete", delete},
                 {"show", show},     {"list", show},     {"count", count}};
    for (size_t i = 0; argc > 1 && i < ARRAY_LEN(verbs); i++) {
        struct cli c;
        if (strcmp(argv[1], verbs[i].verb) != 0) {
            continue;
        }
        if (!cli_parse(&c, argc - 2, argv + 2, flags, booleans)) {
            return CLI_USAGE;
        }
        int code = verbs[i].run(&c);
        cli_release(&c);
        return code;
    }
    fprintf(stderr, "usage: entry create|update|delete|show|list|count [-spiffeID ID] [-parentID "
                    "ID] [-selector TYPE:VALUE]...\n"
                    "    [-entryID ID] [-x509SVIDTTL S] [-jwtSVIDTTL S] [-dns NAME]... "
                    "[-federatesWith TD]... [-hint TEXT]\n"
                    "    [-admin] [-downstream] [-storeSVID] [-entryExpiry S] [-output json] "
                    "[-config FILE | -socketPath PATH]\n");
    return CLI_USAGE;
}
