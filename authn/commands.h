/* commands: `sextant-authn user|client|revoke|grants …`, clients of the administration socket. */
#ifndef SEXTANT_AUTHN_COMMANDS_H
#define SEXTANT_AUTHN_COMMANDS_H

#include "lib/daemon/daemon.h"

extern const struct daemon_command authn_commands[];

#endif
