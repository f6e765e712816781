/* The database of identity: what must survive a restart. No private key is in it. */
#include "schema.h"

const char *const identity_schema[] = {
    "CREATE TABLE entry(id TEXT PRIMARY KEY, spiffe_id TEXT NOT NULL, parent_id TEXT NOT NULL,"
    " selectors TEXT NOT NULL, document TEXT NOT NULL, created_at INTEGER NOT NULL,"
    " UNIQUE(spiffe_id, parent_id, selectors)) STRICT;"
    "CREATE TABLE ban(kind TEXT NOT NULL, value TEXT NOT NULL, reason TEXT NOT NULL, since INTEGER "
    "NOT NULL,"
    " PRIMARY KEY(kind, value)) STRICT;"
    "CREATE TABLE issued(serial TEXT PRIMARY KEY, spiffe_id TEXT NOT NULL, not_after INTEGER NOT "
    "NULL) STRICT,"
    " WITHOUT ROWID;"
    "CREATE INDEX issued_by_id ON issued(spiffe_id);"
    "CREATE INDEX issued_by_end ON issued(not_after);"
    "CREATE TABLE root(version INTEGER PRIMARY KEY, certificate BLOB NOT NULL) STRICT;"
    "CREATE TABLE federated(trust_domain TEXT PRIMARY KEY, document TEXT NOT NULL) STRICT;"
    "CREATE TABLE number(name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;",
    NULL,
};
