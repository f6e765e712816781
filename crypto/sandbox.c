#include "crypto.h"

enum { FRONT_OPEN_FILES = 4096 };

static uint16_t port_of(struct str address)
{
    uint64_t port = 0;
    size_t colon = str_rfind_char(address, ':');
    if (colon == STR_NPOS || failed(str_to_u64(str_sub(address, colon + 1, address.n), &port))) {
        return 0;
    }
    return (uint16_t)port;
}

/* The front: its database, its socket, its port. Not the seal key, though it has the same uid. */
const struct sandbox_profile *crypto_sandbox(struct arena *a, const struct config *c,
                                             const void *section)
{
    const struct crypto_config *own = section;
    struct sandbox_profile *p = arena_new(a, struct sandbox_profile);
    const char **rw = arena_array(a, const char *, 3);
    uint16_t *ports = arena_array(a, uint16_t, 2);
    rw[0] = arena_cstr(a, arena_printf(a, "%.*s/crypto/" CRYPTO_DB_FOLDER, STR_FMT(c->state_dir)));
    rw[1] = arena_cstr(a, arena_printf(a, "%.*s/crypto", STR_FMT(c->run_dir)));
    ports[0] = port_of(own->listen);
    *p = (struct sandbox_profile){
        .daemon = "crypto",
        .paths_rw = rw,
        .bind_ports = ports[0] != 0 ? ports : NULL,
        .flags = SANDBOX_UNIX_LISTEN | SANDBOX_UNIX_CONNECT | SANDBOX_INET_LISTEN,
        .max_open_files = FRONT_OPEN_FILES,
    };
    return p;
}

/* The holder of the keys: descriptors it was born with, and memory. */
const struct sandbox_profile crypto_keys_sandbox = {
    .daemon = "crypto keys",
    .flags = SANDBOX_STDIO,
    .max_open_files = 8,
};
