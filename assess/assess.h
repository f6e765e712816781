/*
 * assess: how far a code base is on the way to zero trust, shown by what is in it.
 *
 * A directory is read (the tracked and not ignored files of a Git work tree, else every file) and,
 * where it is a repository, every blob that Git still has, reachable or not. Out of this come
 * findings (anti-patterns with file and line), facts about workloads, evidence for and against the gates
 * of each maturity level, and the report.
 *
 * The values of secrets are never in a report: a finding shows a few first characters and a
 * fingerprint under a key that is drawn for each run, which is enough to see that two are the same.
 */
#ifndef SEXTANT_ASSESS_H
#define SEXTANT_ASSESS_H

#include "lib/base/arena.h"
#include "lib/base/map.h"
#include "lib/json/json.h"

enum {
    ASSESS_FILE_MAX = 4 << 20, /* bigger files and blobs are passed over, and counted */
    ASSESS_FILES_MAX = 400000,
    ASSESS_FINDINGS_MAX = 10000,
    ASSESS_EVIDENCE_MAX = 8, /* kept for each side of a gate */
    ASSESS_ARENA_MAX = 1 << 30,
    FINGERPRINT_BYTES = 8,
};

/* The five anti-patterns, in the order of the reference architecture. */
enum antipattern {
    ANTI_JWT_PERMISSIONS,
    ANTI_SHARED_DB_PASSWORD,
    ANTI_SECRET_IN_GIT,
    ANTI_LONG_LIVED_CLOUD_KEY,
    ANTI_SHARED_ADMIN_TOKEN,
    ANTI_MAX
};

const char *antipattern_id(enum antipattern a);    /* "permissions-in-jwt" */
const char *antipattern_title(enum antipattern a); /* a sentence */
const char *antipattern_remedy(enum antipattern a);

struct finding {
    enum antipattern kind;
    struct str rule; /* detector, e.g. "aws-access-key" */
    struct str path;
    unsigned line;     /* from 1; 0 when it has none */
    struct str commit; /* first commit that holds it; empty: the work tree; "unreachable" */
    struct str text;   /* what it is, without the value */
    struct str mask;   /* first characters of the value, or empty */
    uint8_t fingerprint[FINGERPRINT_BYTES];
    bool in_tree;
};

struct evidence {
    struct str path;
    unsigned line;
    struct str text;
};

struct evidence_list {
    struct evidence items[ASSESS_EVIDENCE_MAX];
    size_t n, more; /* further ones not kept */
};

enum gate_result { GATE_FAILED, GATE_PASSED };

enum gate_id {
    GATE_TREE_CLEAN,    /* 1 */
    GATE_HISTORY_CLEAN, /* 2 */
    GATE_NO_LITERALS,
    GATE_SEPARATED,
    GATE_SECRET_MANAGER, /* 3 */
    GATE_ROTATION,
    GATE_WORKLOAD_IDENTITY, /* 4 */
    GATE_DYNAMIC_DB,
    GATE_NO_CLOUD_KEYS,
    GATE_POLICY_TESTS, /* 5 */
    GATE_MTLS_STRICT,
    GATE_DEFAULT_DENY,
    GATE_AUDIT_PROOF,
    GATE_DETECTION_TESTS,
    GATE_MAX
};

struct gate {
    int level;
    const char *id, *title, *next_step;
    enum gate_result result;
    struct evidence_list pro, con;
};

/* Something that runs: a Kubernetes workload, a compose service. */
struct consumer {
    struct str name; /* ns/name or service */
    struct str team; /* label team or owner, else the top folder */
    struct str path;
    unsigned line;
    bool literal_secret, secret_object, manager, identity, own_account;
    bool data_store;    /* a database or queue: it hands out access rather than needing it */
    struct str account; /* ns/NS/sa/ACCOUNT, as in a SPIFFE id; empty without one */
};

/* One use of a credential: who holds which value, under which name. */
struct use {
    struct str consumer, team;
    struct str name; /* of the variable or the secret's key */
    struct str path;
    unsigned line;
    bool database, admin;
    uint8_t fingerprint[FINGERPRINT_BYTES];
};

struct assess {
    struct arena arena;
    const char *root;
    bool is_git, with_history;
    struct finding *findings;
    size_t n_findings, cap_findings;
    struct consumer *consumers;
    size_t n_consumers, cap_consumers;
    struct use *uses;
    size_t n_uses, cap_uses;
    struct gate gates[GATE_MAX];
    size_t files, bytes, blobs, unreachable, passed_over;
    int level;
    uint8_t key[32];       /* of the fingerprints of this run */
    struct map spiffe_ids; /* ns/NS/sa/ACCOUNT for which a configuration names an identity */
    struct map seen; /* fingerprint + path of findings, so that history does not repeat the tree */
    struct scanner *scanner;
};

/* Where a text comes from. */
struct origin {
    struct str path;
    struct str commit; /* as in struct finding */
    bool in_tree;
};

/* main steps */
void assess_init(struct assess *a, const char *root);
void assess_release(struct assess *a);
struct err assess_tree(struct assess *a);    /* tree.c */
struct err assess_history(struct assess *a); /* history.c; nothing to do without Git */
void assess_conclude(struct assess *a);      /* maturity.c: shared credentials, gates, level */

/* services to the parts */
void assess_find(struct assess *a, const struct finding *f);
void assess_fingerprint(const struct assess *a, struct str value, uint8_t out[FINGERPRINT_BYTES]);
struct consumer *assess_consumer(struct assess *a, struct str name, struct str path, unsigned line);
void assess_use(struct assess *a, const struct use *u);
void assess_pro(struct assess *a, enum gate_id g, struct str path, unsigned line, struct str text);
void assess_con(struct assess *a, enum gate_id g, struct str path, unsigned line, struct str text);

/* the parts, each one file's text at a time */
void assess_text(struct assess *a, const struct origin *o, struct str text); /* all of them */
struct err scanner_new(struct scanner **out);                                /* secrets.c */
void scanner_free(struct scanner *s);
void scan_secrets(struct assess *a, const struct origin *o, struct str text);
void scan_tokens(struct assess *a, const struct origin *o, struct str text);    /* tokens.c */
void scan_manifests(struct assess *a, const struct origin *o, struct str text); /* workloads.c */
void scan_env_file(struct assess *a, const struct origin *o, struct str text);  /* creds.c */
void scan_markers(struct assess *a, const struct origin *o, struct str text);   /* markers.c */

/* creds.c: is this variable a credential, of which kind; is this value one, or a reference? */
bool name_is_secret(struct str name);
bool name_is_database_secret(struct str name);
bool name_is_admin_token(struct str name);
bool value_is_literal(
    struct str value); /* not empty, not ${...}, {{...}}, <...>, a file path, "changeme" */
void use_value(struct assess *a, const struct consumer *c, struct str name, struct str value,
               struct str path, unsigned line);

/* detectors, for the test that scores them: does any rule of this id find something in `text`? */
bool scanner_finds(struct scanner *s, struct str text, struct str rule /* empty: any */);
size_t scanner_rules(void);

unsigned line_of(struct str text, size_t offset);
char *
assess_lower(struct str text); /* a copy with ASCII letters in lower case; the caller frees it */

#endif
