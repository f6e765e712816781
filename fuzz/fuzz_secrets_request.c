/* deps: secrets_core secrets_policy hcl json base */
/*
 * Any method, path and body on its way through the core, as root and as nobody. The first byte chooses operation
 * and token, the first line is the path, the rest the body. Nobody gets past routes that need no token.
 */
#include "secrets/core.h"
#include "secrets/token.h"

#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct storage *st;
static struct core *core;
static char root[64];

static void must(struct err e)
{
    BUG_ON(failed(e));
}

static void open_core(void)
{
    static char file[64];
    struct arena a;
    struct secret key;
    struct token *t;
    struct str id;
    /* In memory where there is such a folder: the file is made durable at each write. */
    snprintf(file, sizeof file, "%s/sextant-fuzz-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    int fd = mkstemp(file);
    BUG_ON(fd < 0);
    close(fd);
    arena_init(&a, 1 << 20);
    must(secret_random(&key, 32));
    must(storage_open(file, NULL, &st));
    struct core_opts o = {.default_ttl_s = 3600,
                          .max_ttl_s = 86400,
                          .version = S("1.14.8"),
                          .cluster_name = S("fuzz")};
    must(core_new(NULL, st, &o, &core));
    must(core_init(core, &key));
    must(core_unseal(core, &key));
    struct json *policies = json_new_array(&a);
    json_push(&a, policies, json_new_string(&a, S("root")));
    must(token_create(core, NULL, &a,
                      &(struct token_spec){.policies = policies, .path = S("auth/token/root")}, &t,
                      &id));
    must(str_to_cstr(id, root, sizeof root));
    unlink(file);
    arena_release(&a);
}

static void done(struct request *r)
{
    bool open = r->path.n > 4 && (str_starts(r->path, S("sys/wrapping/")) ||
                                  str_starts(r->path, S("sys/internal/ui/")));
    BUG_ON(r->client_token.n == 0 && r->status < 400 && !open);
    buf_release(&r->body);
}

/* Needs a loop to finish: left to the tests. */
static bool needs_loop(struct str path)
{
    return str_find(path, S("userpass")) != STR_NPOS || str_find(path, S("database")) != STR_NPOS ||
           str_find(path, S("transit")) != STR_NPOS || str_starts(path, S("sys/seal"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (core == NULL) {
        open_core();
    }
    if (size < 2) {
        return 0;
    }
    struct arena a;
    struct json *body;
    arena_init(&a, 32 << 20);
    struct str rest = str_n(data + 1, size - 1), path = str_split(&rest, '\n');
    if (failed(json_parse(&a, rest.n > 0 ? rest : S("{}"), NULL, &body)) ||
        body->type != JSON_OBJECT) {
        body = json_new_object(&a);
    }
    if (path.n > 0 && path.n <= REQUEST_PATH_MAX && !needs_loop(path)) {
        struct request r = {.core = core,
                            .arena = &a,
                            .op = (enum acl_op)(data[0] & 7),
                            .path = arena_str(&a, path),
                            .data = body,
                            .client_token = (data[0] & 8) != 0 ? str_of(root) : STR_EMPTY,
                            .wrap = (data[0] & 16) != 0,
                            .wrap_ttl_s = 60,
                            .source = S("fuzz"),
                            .done = done};
        request_start(&r);
    }
    arena_release(&a);
    return 0;
}
