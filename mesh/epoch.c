/* Policies from a directory of YAML files: read, checked, put in force as one whole, or not at all. */
#include "mesh.h"

#include "lib/base/log.h"
#include "lib/yaml/yaml.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { EPOCH_ARENA_MAX = 256 << 20 };

struct epoch *epoch_ref(struct epoch *e)
{
    e->refs++;
    return e;
}

void epoch_unref(struct epoch *e)
{
    if (e != NULL && --e->refs == 0) {
        arena_release(&e->arena);
        free(e);
    }
}

static bool is_policy_file(const char *name)
{
    struct str s = str_of(name);
    return s.n > 5 && s.p[0] != '.' &&
           (str_ends(s, S(".yaml")) || str_ends(s, S(".yml")) || str_ends(s, S(".json")));
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static struct err list_files(struct arena *a, const char *dir, char ***names, size_t *n)
{
    DIR *d = opendir(dir);
    ENSURE(d != NULL, ERR_NOT_FOUND, "%s: %s", dir, strerror(errno));
    size_t cap = 0;
    *names = NULL;
    *n = 0;
    for (struct dirent *e; (e = readdir(d)) != NULL && *n < MESH_POLICY_FILES_MAX;) {
        if (is_policy_file(e->d_name)) {
            *names = arena_grow(a, *names, *n, *n + 1, &cap, sizeof(char *));
            (*names)[(*n)++] = arena_cstr(a, str_of(e->d_name));
        }
    }
    closedir(d);
    if (*n > 1) {
        qsort(*names, *n, sizeof(char *), by_name);
    }
    return OK;
}

static struct err read_whole(struct arena *a, const char *path, struct str *out)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ENSURE(fd >= 0, ERR_IO, "%s: %s", path, strerror(errno));
    if (fstat(fd, &st) != 0 || st.st_size > MESH_POLICY_BYTES_MAX) {
        close(fd);
        return err_make(ERR_LIMIT, "%s: larger than %d bytes", path, MESH_POLICY_BYTES_MAX);
    }
    char *p = arena_alloc_raw(a, (size_t)st.st_size + 1, 1);
    size_t n = 0;
    ssize_t got = 1;
    while (n < (size_t)st.st_size && got > 0) {
        got = read(fd, p + n, (size_t)st.st_size - n);
        n += got > 0 ? (size_t)got : 0;
    }
    close(fd);
    ENSURE(got >= 0, ERR_IO, "%s: %s", path, strerror(errno));
    *out = str_n(p, n);
    return OK;
}

struct err mesh_read_policies(struct arena *a, const char *dir, struct json ***docs, size_t *n,
                              struct str **sources, size_t *n_sources)
{
    char **names;
    size_t n_files, cap = 0;
    TRY(list_files(a, dir, &names, &n_files));
    *docs = NULL;
    *n = 0;
    *sources = arena_array(a, struct str, n_files);
    *n_sources = n_files;
    for (size_t i = 0; i < n_files; i++) {
        struct str path = arena_printf(a, "%s/%s", dir, names[i]), text;
        struct json *list;
        (*sources)[i] = path;
        TRY(read_whole(a, path.p, &text));
        TRY(yaml_parse(a, text, path, NULL, &list));
        *docs = arena_grow(a, *docs, *n, *n + list->n, &cap, sizeof(struct json *));
        for (uint32_t k = 0; k < list->n; k++) {
            (*docs)[(*n)++] = list->items[k];
        }
    }
    return OK;
}

enum mesh_path_mode mesh_path_mode_of(const struct mesh *m)
{
    static const struct {
        const char *name;
        enum mesh_path_mode mode;
    } modes[] = {{"BASE", MESH_PATH_BASE},
                 {"NONE", MESH_PATH_NONE},
                 {"MERGE_SLASHES", MESH_PATH_MERGE_SLASHES},
                 {"DECODE_AND_MERGE_SLASHES", MESH_PATH_DECODE_AND_MERGE_SLASHES}};
    for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
        if (str_is(m->o->path_normalization, modes[i].name)) {
            return modes[i].mode;
        }
    }
    return MESH_PATH_BASE;
}

static struct err fill(struct mesh *m, struct epoch *e)
{
    struct arena *a = &e->arena;
    struct json **docs;
    size_t n_docs;
    char *dir = arena_cstr(a, m->o->policies);
    TRY(mesh_read_policies(a, dir, &docs, &n_docs, &e->sources, &e->n_sources));
    struct mesh_config config = {.root_namespace = m->o->root_namespace,
                                 .trust_domain = m->d->trust_domain,
                                 .trust_domain_aliases = m->o->trust_domain_aliases.items,
                                 .n_trust_domain_aliases = m->o->trust_domain_aliases.n,
                                 .path_mode = mesh_path_mode_of(m),
                                 .providers = m->policy_providers,
                                 .n_providers = m->n_providers};
    TRY(mesh_policies_load(a, docs, n_docs, &config, &e->all));
    size_t n = m->o->labels.n;
    struct mesh_label *labels = arena_array(a, struct mesh_label, n);
    for (size_t i = 0; i < n; i++) {
        labels[i] = (struct mesh_label){m->o->labels.items[i].key, m->o->labels.items[i].value};
    }
    struct mesh_workload w = {.ns = m->o->ns, .labels = labels, .n_labels = n};
    e->set = mesh_policies_for(a, e->all, &w);
    return OK;
}

struct err epoch_load(struct mesh *m, struct epoch **out)
{
    struct epoch *e = calloc(1, sizeof(*e));
    ENSURE(e != NULL, ERR_LIMIT, "out of memory for policies");
    e->refs = 1;
    arena_init(&e->arena, EPOCH_ARENA_MAX);
    struct err err = fill(m, e);
    if (failed(err)) {
        epoch_unref(e);
        return err;
    }
    *out = e;
    return OK;
}

void mesh_reload_policies(struct mesh *m)
{
    struct epoch *next;
    struct err e = epoch_load(m, &next);
    if (!failed(e)) {
        e = tokens_prepare(m, next);
        if (failed(e)) {
            epoch_unref(next);
        }
    }
    if (failed(e)) {
        log_error("policies are wrong; those in force stay", {"error", LOG_CSTR(err_detail())});
        return;
    }
    struct epoch *old = m->epoch;
    m->epoch = next;
    epoch_unref(old);
    log_info("policies in force", {"policies", LOG_INT(mesh_policies_count(next->all))},
             {"files", LOG_INT(next->n_sources)});
    mesh_recheck(m, "policies changed");
}

static void policies_changed(void *ctx)
{
    mesh_reload_policies(ctx);
}

struct err mesh_watch_policies(struct mesh *m)
{
    char *dir = arena_cstr(&m->d->boot, m->o->policies);
    return dir_watch_start(m->loop, dir, policies_changed, m, &m->policy_watch);
}
