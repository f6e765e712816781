/*
 * Entries that need no hand: each name of `uids` becomes spiffe://TD/sextant/NAME for the program
 * sextant-NAME run by that uid. They live in memory alone and follow the configuration.
 */
#include "bootstrap.h"

#include "lib/base/log.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <unistd.h>

enum { PROGRAM_PATH_MAX = 4096 };

/* Where sextant-NAME is: beside our own program, or, in a build tree, in the folder of its own. */
static bool find_program(struct str name, char out[PROGRAM_PATH_MAX])
{
    char self[PROGRAM_PATH_MAX], found[2 * PROGRAM_PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (n <= 0) {
        return false;
    }
    self[n] = '\0';
    char *slash = strrchr(self, '/');
    *slash = '\0';
    static const char *const forms[] = {"%s/sextant-%.*s", "%s/../%.*s/sextant-%.*s"};
    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        if (i == 0) {
            snprintf(found, sizeof(found), "%s/sextant-%.*s", self, STR_FMT(name));
        } else {
            snprintf(found, sizeof(found), "%s/../%.*s/sextant-%.*s", self, STR_FMT(name),
                     STR_FMT(name));
        }
        if (access(found, X_OK) == 0) {
            char *real = realpath(found, NULL);
            bool good = real != NULL && strlen(real) < PROGRAM_PATH_MAX;
            if (good) {
                memcpy(out, real, strlen(real) + 1);
            }
            free(real);
            return good;
        }
    }
    return false;
}

static size_t names_of_uid(const struct config *c, struct str uid)
{
    size_t n = 0;
    for (size_t i = 0; i < c->uids.n; i++) {
        n += str_eq(c->uids.items[i].value, uid);
    }
    return n;
}

static struct json *entry_document(struct arena *a, const struct bootstrap *b, struct str name,
                                   struct str uid, const char *program)
{
    struct json *o = json_new_object(a), *selectors = json_new_array(a);
    bool is_id = str_starts(name, S("spiffe://"));
    struct str id =
        is_id ? name
              : arena_printf(a, "spiffe://%.*s/sextant/%.*s", STR_FMT(b->domain), STR_FMT(name));
    json_set(a, o, S("id"), json_new_string(a, arena_printf(a, "sextant:%.*s", STR_FMT(name))));
    json_set(a, o, S("spiffe_id"), json_new_string(a, id));
    json_set(
        a, o, S("parent_id"),
        json_new_string(a, arena_printf(a, "spiffe://%.*s/sextant/identity", STR_FMT(b->domain))));
    json_push(a, selectors, json_new_string(a, arena_printf(a, "unix:uid:%.*s", STR_FMT(uid))));
    if (program != NULL) {
        json_push(a, selectors, json_new_string(a, arena_printf(a, "unix:path:%s", program)));
    }
    json_set(a, o, S("selectors"), selectors);
    json_set(a, o, S("dns_names"), strs_to_json(a, b->names));
    return o;
}

static struct err add_one(const struct bootstrap *b, struct registry *r, struct str name,
                          struct str uid)
{
    char program[PROGRAM_PATH_MAX];
    bool known = find_program(name, program);
    if (!known && names_of_uid(b->config, uid) > 1) {
        /* Nothing would tell this name from the others of its uid. */
        return OK;
    }
    struct arena a;
    struct entry *e;
    arena_init(&a, 1 << 20);
    struct err err =
        entry_from_json(entry_document(&a, b, name, uid, known ? program : NULL), b->domain, &e);
    arena_release(&a);
    TRY(err);
    err = registry_add_builtin(r, e);
    if (failed(err)) {
        entry_free(e);
    }
    return err.code == ERR_EXISTS ? OK : err;
}

struct err bootstrap_entries(const struct bootstrap *b, struct registry *r)
{
    for (size_t i = 0; i < b->config->uids.n; i++) {
        const struct config_pair *p = &b->config->uids.items[i];
        struct err e = add_one(b, r, p->key, p->value);
        if (failed(e)) {
            return err_wrap(e, "uids: %.*s", STR_FMT(p->key));
        }
    }
    return OK;
}

/* localhost, the host's name and every address that is up: what clients of this machine's daemons dial. */
struct err bootstrap_machine_names(struct strs *out)
{
    static const char *const always[] = {"localhost", "127.0.0.1", "::1"};
    for (size_t i = 0; i < ARRAY_LEN(always); i++) {
        TRY(strs_add(out, str_of(always[i]), ENTRY_NAMES_MAX));
    }
    char host[256] = "";
    bool plain = gethostname(host, sizeof(host) - 1) == 0 && host[0] != '\0';
    for (const char *p = host; *p != '\0'; p++) {
        plain = plain && ((*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') || *p == '-' ||
                          (*p == '.' && p != host));
    }
    if (plain && host[0] != '-' && !strs_has(out, str_of(host))) {
        TRY(strs_add(out, str_of(host), ENTRY_NAMES_MAX));
    }
    struct ifaddrs *all;
    if (getifaddrs(&all) != 0) {
        return OK;
    }
    for (const struct ifaddrs *i = all; i != NULL && out->n < ENTRY_NAMES_MAX / 2;
         i = i->ifa_next) {
        char text[INET6_ADDRSTRLEN] = "";
        if (i->ifa_addr != NULL && i->ifa_addr->sa_family == AF_INET) {
            inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)i->ifa_addr)->sin_addr,
                      text, sizeof(text));
        } else if (i->ifa_addr != NULL && i->ifa_addr->sa_family == AF_INET6) {
            inet_ntop(AF_INET6,
                      &((const struct sockaddr_in6 *)(const void *)i->ifa_addr)->sin6_addr, text,
                      sizeof(text));
        }
        if (text[0] != '\0' && strncmp(text, "fe80", 4) != 0 && !strs_has(out, str_of(text))) {
            ignore_err(strs_add(out, str_of(text), ENTRY_NAMES_MAX)); /* bounded by the loop */
        }
    }
    freeifaddrs(all);
    return OK;
}
