/* table: the units of a supervisor as people read them. */
#ifndef SEXTANT_CLI_TABLE_H
#define SEXTANT_CLI_TABLE_H

#include "cli/supervisor.h"

#include <stdio.h>

/* One line a unit (daemon, pid, uid, address, PSS, health) and a line of sums. */
void table_print_units(FILE *to, const struct unit_status *units, size_t n);

#endif
