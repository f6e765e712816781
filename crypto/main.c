/* sextant-crypto: central cryptography. docs/crypto.md says how to use it. */
#include "crypto.h"

static const struct daemon_command commands[] = {
    {"init", "", "makes the seal key and the keys of this trust domain; safe to repeat",
     crypto_init_command, true},
    {"key", "list | read NAME | create NAME [TYPE] [ID=OPS...] | grant NAME ID OPS | rotate NAME",
     "asks the running daemon", crypto_key_command, true},
    {"keys", "", "the key process; started by the daemon itself", crypto_keys_command, true},
    {0},
};

static const struct daemon_spec spec = {
    .name = "crypto",
    .summary = "central cryptography: keys that never leave, used over the Vault Transit API",
    .keys = crypto_keys,
    .section_size = sizeof(struct crypto_config),
    .needs = DAEMON_NEEDS_AUDIT | DAEMON_WANTS_SVID,
    .sandbox = crypto_sandbox,
    .start = crypto_start,
    .drain = crypto_drain,
    .stop = crypto_stop,
    .commands = commands,
};

int main(int argc, char **argv)
{
    return daemon_main(argc, argv, &spec);
}
