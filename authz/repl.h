/*
 * repl: a shell for queries, `run` without -s. A line is a command (`help` names them), a rule to be added to
 * the module that is open, or a query. What does not parse may go on in the next line; an empty one ends it.
 */
#ifndef SEXTANT_AUTHZ_REPL_H
#define SEXTANT_AUTHZ_REPL_H

#include "cmd.h"

enum { REPL_LINE_MAX = 1 << 20, REPL_MODULES_MAX = 64 };

/* Reads stdin to its end, or to `exit`. Returns the exit code. */
int repl_run(struct cmd *c);

#endif
