/*
 * Secrets are stored as digests only: SHA-256 of codes, refresh tokens, cookies and client secrets
 * (all 256 random bits), Argon2id of passwords. Times are seconds since 1970.
 */
#include "schema.h"

#include <stddef.h>

const char *const authn_schema[] = {
    "CREATE TABLE user(sub TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, hash TEXT NOT NULL,"
    "  attributes TEXT NOT NULL, disabled INTEGER NOT NULL, created INTEGER NOT NULL,"
    "  changed INTEGER NOT NULL) STRICT;"
    "CREATE TABLE client(id TEXT PRIMARY KEY, metadata TEXT NOT NULL, created INTEGER NOT NULL) "
    "STRICT;"
    "CREATE TABLE consent(sub TEXT NOT NULL, client TEXT NOT NULL, scope INTEGER NOT NULL,"
    "  at INTEGER NOT NULL, PRIMARY KEY(sub, client)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE session(id TEXT PRIMARY KEY, cookie BLOB NOT NULL UNIQUE, sub TEXT NOT NULL,"
    "  auth_time INTEGER NOT NULL, seen INTEGER NOT NULL, expires INTEGER NOT NULL,"
    "  source TEXT NOT NULL) STRICT;"
    "CREATE INDEX session_sub ON session(sub);"
    "CREATE TABLE family(id TEXT PRIMARY KEY, client TEXT NOT NULL, sub TEXT NOT NULL,"
    "  session TEXT NOT NULL, scope INTEGER NOT NULL, audience TEXT NOT NULL,"
    "  auth_time INTEGER NOT NULL, offline INTEGER NOT NULL, created INTEGER NOT NULL,"
    "  expires INTEGER NOT NULL, revoked INTEGER NOT NULL) STRICT;"
    "CREATE INDEX family_sub ON family(sub);"
    "CREATE INDEX family_session ON family(session);"
    "CREATE TABLE code(hash BLOB PRIMARY KEY, family TEXT NOT NULL, redirect_uri TEXT NOT NULL,"
    "  challenge TEXT NOT NULL, nonce TEXT NOT NULL, expires INTEGER NOT NULL,"
    "  used INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE refresh(hash BLOB PRIMARY KEY, family TEXT NOT NULL, generation INTEGER NOT NULL,"
    "  expires INTEGER NOT NULL, used INTEGER NOT NULL, successor BLOB) STRICT, WITHOUT ROWID;"
    "CREATE INDEX refresh_family ON refresh(family);"
    "CREATE TABLE assertion(id BLOB PRIMARY KEY, expires INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE revocation(seq INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL,"
    "  value TEXT NOT NULL, before INTEGER NOT NULL, expires INTEGER NOT NULL) STRICT;",
    NULL,
};
