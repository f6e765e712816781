/*
 * admin: the JSON API for operators, on run_dir/authn/admin.sock.
 *
 * It serves root, the daemon's own uid, and the SPIFFE ids of `admins`. Every change is one audit
 * event of who did it.
 */
#ifndef SEXTANT_AUTHN_ADMIN_H
#define SEXTANT_AUTHN_ADMIN_H

#include "op.h"

/* An operation of an administrator; NULL when the caller is none and has been refused. */
struct op *admin_op(struct authn *n, struct http_req *req, enum ocsf_class class_uid,
                    const char *activity);
/* Ends with the error of a wrong request or a failed store. */
void admin_refuse(struct op *op, const char *activity, struct err e);
/* Ends a change: {"ok":true} or what has been prepared, and the event. */
void admin_done(struct op *op, const char *activity);

#endif
