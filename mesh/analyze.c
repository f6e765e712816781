/* sextant-mesh analyze DIR: what the policy engine finds in policies that are not in force yet. */
#include "mesh.h"

#include <stdio.h>

static const char *const levels[] = {"info", "warning", "error"};

static void print_json(struct arena *a, const struct mesh_finding *f, size_t n)
{
    struct json *list = json_new_array(a);
    for (size_t i = 0; i < n; i++) {
        struct json *o = json_new_object(a);
        json_set(a, o, S("code"), json_new_string(a, str_of(f[i].code)));
        json_set(a, o, S("level"), json_new_string(a, str_of(levels[f[i].level])));
        json_set(a, o, S("resource"), json_new_string(a, f[i].resource));
        json_set(a, o, S("line"), json_new_int(a, f[i].line));
        json_set(a, o, S("message"), json_new_string(a, f[i].text));
        json_push(a, list, o);
    }
    struct buf b;
    buf_init(&b, 16 << 20);
    json_write_pretty(&b, list, 2);
    buf_putc(&b, '\n');
    fwrite(b.p, 1, b.n, stdout);
    buf_release(&b);
}

static struct err look(struct arena *a, const char *dir, struct mesh_finding **found, size_t *n)
{
    struct json **docs;
    struct str *sources;
    size_t n_docs, n_sources;
    struct mesh_policies *all;
    struct mesh_config config = {.path_mode = MESH_PATH_BASE};
    struct mesh_surroundings around = {.n_workloads = 0};
    TRY(mesh_read_policies(a, dir, &docs, &n_docs, &sources, &n_sources));
    TRY(mesh_policies_load(a, docs, n_docs, &config, &all));
    mesh_policies_analyze(a, all, &around, found, n);
    return OK;
}

/* Exit code: 0 nothing worse than information, 1 warnings or errors, 2 wrong usage. */
int mesh_cmd_analyze(struct daemon *d, int argc, char **argv)
{
    bool json = argc == 3 && strcmp(argv[1], "--json") == 0;
    if (argc != 2 && !json) {
        fprintf(stderr, "usage: sextant-mesh analyze [--json] DIR\n");
        return 2;
    }
    struct arena a;
    struct mesh_finding *found = NULL;
    size_t n = 0;
    arena_init(&a, (size_t)256 << 20);
    struct err e = look(&a, argv[argc - 1], &found, &n);
    int code = 0;
    if (failed(e)) {
        fprintf(stderr, "%s\n", err_detail());
        code = 1;
    } else if (json) {
        print_json(&a, found, n);
    }
    for (size_t i = 0; i < n; i++) {
        code |= found[i].level != MESH_INFO;
        if (!json) {
            printf("%s [%s] %.*s:%u %.*s\n", levels[found[i].level], found[i].code,
                   STR_FMT(found[i].resource), found[i].line, STR_FMT(found[i].text));
        }
    }
    arena_release(&a);
    return code;
}
