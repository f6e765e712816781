/* deps: audit_core tls base */
/*
 * Signed notes, verifier keys, checkpoints and proof files: nothing crashes, and what parses as a proof is
 * written and read back as the same.
 */
#include "audit/tlog/checkpoint.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    struct note n;
    struct note_key key = {.name = S("example.com/log"), .id = 0x33d7b496, .type = NOTE_ED25519};
    struct checkpoint c;
    struct tlog_proof p, again;
    struct str text = str_n(data, size);
    arena_init(&a, 4 << 20);
    ignore_err(note_key_parse(&a, text, &key));
    if (!failed(note_parse(&a, text, &n))) {
        BUG_ON(!str_ends(n.text, S("\n")) || n.n_sigs == 0);
        ignore_err(note_verify(&n, &key, 1, NULL));
        ignore_err(checkpoint_parse(&a, n.text, &c));
    }
    if (!failed(tlog_proof_parse(&a, text, &p))) {
        struct buf b;
        buf_init(&b, 2 * TLOG_PROOF_MAX);
        tlog_proof_put(&b, &p);
        BUG_ON(failed(tlog_proof_parse(&a, buf_str(&b), &again)));
        BUG_ON(again.index != p.index || again.path.n != p.path.n || !str_eq(again.extra, p.extra));
        buf_release(&b);
        ignore_err(tlog_proof_check(&a, &p, S("entry"), &key, &c));
    }
    arena_release(&a);
    return 0;
}
