/* build and sign: bundles. */
#include "cmd.h"

#include "authz/bundle/bundle.h"
#include "authz/rego/syntax/format.h"
#include "load.h"

#include <errno.h>
#include <stdio.h>

static const struct flag build_flags[] = {
    ROW_BUNDLE_MODE,
    {"output", 'o', FLAG_TEXT, CMD(output), "FILE", "where the bundle goes", NULL, "bundle.tar.gz"},
    {"revision", 'r', FLAG_TEXT, CMD(revision), "TEXT", "revision of the bundle", NULL, NULL},
    {"entrypoint", 'e', FLAG_LIST, CMD(entrypoints), "PATH", "decision that will be asked for",
     NULL, NULL},
    {"optimize", 'O', FLAG_INT, CMD(optimize), "LEVEL",
     "0, 1 or 2; the rules stay as they are written", NULL, "0"},
    {"target", 't', FLAG_CHOICE, CMD(target), "TARGET", "what to make", "rego,wasm,plan", "rego"},
    {"signing-key", 0, FLAG_TEXT, CMD(signing_key), "KEY",
     "secret, or file with the private key: signs", NULL, NULL},
    {"signing-alg", 0, FLAG_TEXT, CMD(signing_alg), "ALG", "algorithm of the signature", NULL,
     "RS256"},
    {"claims-file", 0, FLAG_TEXT, CMD(claims_file), "FILE", "further claims of the signature", NULL,
     NULL},
    {"signing-plugin", 0, FLAG_TEXT, CMD(signing_plugin), "NAME", "not offered", NULL, NULL},
    {"verification-key", 0, FLAG_TEXT, CMD(verification_key), "KEY",
     "secret, or file with the public key, of bundles read", NULL, NULL},
    {"verification-key-id", 0, FLAG_TEXT, CMD(verification_key_id), "ID", "name of that key", NULL,
     "default"},
    {"scope", 0, FLAG_TEXT, CMD(scope), "SCOPE", "scope that signatures must have", NULL, NULL},
    {"exclude-files-verify", 0, FLAG_WORDS, CMD(exclude_verify), "GLOBS",
     "files that are not verified", NULL, NULL},
    {"prune-unused", 0, FLAG_BOOL, CMD(prune), NULL, "taken; nothing is left out", NULL, NULL},
    {"partial-namespace", 0, FLAG_TEXT, CMD(partial_namespace), "NAME", "taken", NULL, "partial"},
    {"plan-addons", 0, FLAG_LIST, CMD(plan_addons), "NAME", NULL, NULL, NULL},
    {"format", 0, FLAG_CHOICE, CMD(format), "FORMAT", NULL, "json,proto", "json"},
    {"follow-symlinks", 0, FLAG_BOOL, CMD(follow_symlinks), NULL,
     "taken; links are always followed", NULL, NULL},
    {"debug", 0, FLAG_BOOL, CMD(debug), NULL, NULL, NULL, NULL},
    {"wasm-include-print", 0, FLAG_BOOL, CMD(flag), NULL, NULL, NULL, NULL},
    ROW_IGNORE,
    ROW_CAPABILITIES,
    ROW_V0,
    ROW_V1,
    {0},
};

static const struct flag_command build_command = {
    "build", "PATH...", "Make a bundle of policies and data.", build_flags};

static struct err check_key(struct cmd *c, struct bundle_verify *v, struct bundle_key *k)
{
    struct str *exclude = arena_array(&c->a, struct str, c->exclude_verify.n + 1);
    *k = (struct bundle_key){.id = str_of(c->verification_key_id),
                             .algorithm = str_of(c->signing_alg),
                             .scope = str_of(c->scope)};
    TRY(bundle_key_load(&c->a, str_of(c->verification_key), &k->key));
    TRY(bundle_key_check(k));
    for (size_t i = 0; i < c->exclude_verify.n; i++) {
        exclude[i] = str_of(c->exclude_verify.v[i]);
    }
    *v = (struct bundle_verify){.keys = k,
                                .n_keys = 1,
                                .keyid = k->id,
                                .scope = k->scope,
                                .exclude = exclude,
                                .n_exclude = c->exclude_verify.n};
    return OK;
}

/* Bundles, one or several, as one. */
static struct err read_bundles(struct cmd *c, struct bundle **out)
{
    struct bundle_verify verify;
    struct bundle_key key;
    struct bundle **v = arena_array(&c->a, struct bundle *, c->args.n + 1);
    struct err e = OK;
    if (c->verification_key != NULL) {
        TRY(check_key(c, &verify, &key));
    }
    for (size_t i = 0; i < c->args.n && !failed(e); i++) {
        struct rego_errors errors = {.a = &c->a};
        struct str path = str_of(c->args.v[i]);
        bool archive = str_ends(path, S(".tar.gz"));
        struct bundle_opts o = {.name = path,
                                .base_dir = archive ? STR_EMPTY : path,
                                .version = cmd_version(c),
                                .skip_verify = c->verification_key == NULL,
                                .verify = c->verification_key != NULL ? &verify : NULL};
        e = bundle_read_path(path, &o, &errors, &v[i]);
    }
    if (!failed(e)) {
        e = bundle_merge(v, c->args.n, cmd_version(c), out);
    }
    for (size_t i = 0; i < c->args.n; i++) {
        bundle_unref(v[i]);
    }
    return e;
}

static struct err read_files(struct cmd *c, struct bundle **out)
{
    struct rego_errors errors = {.a = &c->a};
    struct image *im = image_new();
    struct load_options o = {
        .version = cmd_version(c), .ignore = c->ignore.v, .n_ignore = c->ignore.n};
    for (size_t i = 0; i < c->args.n; i++) {
        (void)image_load(im, str_of(c->args.v[i]), &o, &errors);
    }
    for (size_t i = 0; i < im->n_files; i++) {
        struct parse_options po = {.version = im->files[i].version};
        struct module *m;
        (void)rego_parse_module(&c->a, im->files[i].id, im->files[i].text, &po, &errors, &m);
    }
    if (errors.n > 0) {
        struct buf b;
        buf_init(&b, 1 << 20);
        errors_text(&b, &errors, true, 10);
        struct err e = err_make(ERR_INVALID, "load error: %.*s", STR_FMT(buf_str(&b)));
        buf_release(&b);
        image_free(im);
        return e;
    }
    struct bundle *b = bundle_new(STR_EMPTY);
    for (size_t i = 0; i < im->n_files; i++) {
        struct str id = im->files[i].id;
        struct str path = str_starts(id, S("/")) ? id : arena_printf(&c->a, "/%.*s", STR_FMT(id));
        bundle_add_module(b, path, im->files[i].text, im->files[i].version);
        b->modules[b->n_modules - 1].full = arena_str(&b->arena, id);
    }
    b->data = val_copy(&b->arena, im->data);
    image_free(im);
    *out = b;
    return OK;
}

/* The policies must compile together. */
static struct err compiles(struct cmd *c, const struct bundle *b)
{
    struct rego_errors errors = {.a = &c->a};
    struct rego_compile_options o = {.enable_print = true, .data = &b->data};
    struct rego_source *v = arena_array(&c->a, struct rego_source, b->n_modules + 1);
    struct rego_policy *p = NULL;
    for (size_t i = 0; i < b->n_modules; i++) {
        const struct bundle_module *m = &b->modules[i];
        v[i] = (struct rego_source){m->full, m->text, m->version};
    }
    if (rego_compile(v, b->n_modules, &o, &errors, &p)) {
        rego_policy_free(p);
        return OK;
    }
    struct buf text;
    buf_init(&text, 1 << 20);
    errors_text(&text, &errors, false, 10);
    struct err e = err_make(ERR_INVALID, "%.*s", STR_FMT(buf_str(&text)));
    buf_release(&text);
    return e;
}

static struct err format_modules(struct cmd *c, struct bundle *b)
{
    for (size_t i = 0; i < b->n_modules; i++) {
        struct bundle_module *m = &b->modules[i];
        struct format_options o = {.from = m->version, .to = m->version};
        struct rego_errors errors = {.a = &c->a};
        struct buf out;
        buf_init(&out, STORE_FILE_MAX);
        if (rego_format(&c->a, m->full, m->text, &o, &errors, &out)) {
            m->text = arena_str(&b->arena, buf_str(&out));
        }
        buf_release(&out);
    }
    return OK;
}

static struct err signing_of(struct cmd *c, struct bundle_signing *s)
{
    struct str text;
    *s = (struct bundle_signing){.algorithm = str_of(c->signing_alg), .claims = VAL_UNDEF};
    TRY(bundle_key_load(&c->a, str_of(c->signing_key), &s->key));
    if (c->claims_file != NULL) {
        TRY(read_whole_file(&c->a, str_of(c->claims_file), &text));
        TRY(val_from_json(&c->a, text, &s->claims));
    }
    return OK;
}

static struct err write_file(const char *path, struct str text)
{
    FILE *f = fopen(path, "wbe");
    bool ok = f != NULL && fwrite(text.p, 1, text.n, f) == text.n;
    int why = errno;
    ok = f != NULL && fclose(f) == 0 && ok;
    ENSURE(ok, ERR_IO, "open %s: %s", path, strerrordesc_np(why));
    return OK;
}

static struct err finish(struct cmd *c, struct bundle *b)
{
    struct bundle_signing s;
    struct buf out;
    TRY(compiles(c, b));
    TRY(format_modules(c, b));
    b->manifest.present = true;
    if (c->revision != NULL) {
        b->manifest.revision = str_of(c->revision);
    }
    if (b->manifest.rego_version < 0) {
        b->manifest.rego_version = c->v0 ? 0 : 1;
    }
    TRY(bundle_check(b));
    if (c->signing_key != NULL) {
        TRY(signing_of(c, &s));
        TRY(bundle_sign(b, &s));
    }
    buf_init(&out, BUNDLE_TOTAL_MAX);
    struct err e = bundle_write(b, &out);
    e = failed(e) ? e : write_file(c->output, buf_str(&out));
    buf_release(&out);
    return e;
}

static int build(struct cmd *c)
{
    struct bundle *b = NULL;
    struct err e = c->bundle_mode ? read_bundles(c, &b) : read_files(c, &b);
    if (!failed(e)) {
        e = finish(c, b);
    }
    if (failed(e)) {
        printf("error: %s\n", err_detail());
    }
    bundle_unref(b);
    return failed(e);
}

int cmd_build(struct daemon *d, int argc, char **argv)
{
    int code = 0;
    struct cmd *c = cmd_new(&build_command, argc, argv, &code);
    (void)d;
    if (c == NULL) {
        return code;
    }
    if (c->args.n == 0) {
        code = cmd_wrong(&build_command, "expected at least one path");
    } else if (strcmp(c->target, "plan") == 0) {
        code =
            cmd_wrong(&build_command, "plans are not made: bundles hold the policies themselves");
    } else if (c->signing_plugin != NULL) {
        code = cmd_wrong(&build_command, "signing plugins are not offered");
    } else if (c->optimize > 0 && c->entrypoints.n == 0) {
        printf("error: bundle optimizations require at least one entrypoint\n");
        code = 1;
    } else {
        code = build(c);
    }
    cmd_free(c);
    return code;
}

/* ---- sign ---- */

static const struct flag sign_flags[] = {
    ROW_BUNDLE_MODE,
    {"signing-key", 0, FLAG_TEXT, CMD(signing_key), "KEY", "secret, or file with the private key",
     NULL, NULL},
    {"signing-alg", 0, FLAG_TEXT, CMD(signing_alg), "ALG", "algorithm of the signature", NULL,
     "RS256"},
    {"claims-file", 0, FLAG_TEXT, CMD(claims_file), "FILE", "further claims of the signature", NULL,
     NULL},
    {"signing-plugin", 0, FLAG_TEXT, CMD(signing_plugin), "NAME", "not offered", NULL, NULL},
    {"output-file-path", 'o', FLAG_TEXT, CMD(output), "FOLDER", "where .signatures.json goes", NULL,
     "."},
    {0},
};

static const struct flag_command sign_command = {
    "sign", "PATH...", "Sign a bundle's files: writes .signatures.json. Give -b, and the bundle.",
    sign_flags};

static struct err sign(struct cmd *c)
{
    struct bundle_signing s;
    struct bundle *b = NULL;
    struct rego_errors errors = {.a = &c->a};
    struct bundle_opts o = {.version = REGO_V1, .skip_verify = true, .raw = true};
    TRY(signing_of(c, &s));
    TRY(bundle_read_path(str_of(c->args.v[0]), &o, &errors, &b));
    struct err e = bundle_sign(b, &s);
    if (!failed(e)) {
        struct str path = arena_printf(&c->a, "%s/.signatures.json", c->output);
        e = write_file(path.p, bundle_signatures_text(&c->a, b->signature));
    }
    bundle_unref(b);
    return e;
}

int cmd_sign(struct daemon *d, int argc, char **argv)
{
    int code = 0;
    struct cmd *c = cmd_new(&sign_command, argc, argv, &code);
    (void)d;
    if (c == NULL) {
        return code;
    }
    if (c->args.n == 0) {
        code = cmd_wrong(&sign_command,
                         "specify atleast one path containing policy and/or data files");
    } else if (c->signing_key == NULL) {
        code = cmd_wrong(&sign_command,
                         "specify the secret (HMAC) or path of the PEM file containing the "
                         "private key (RSA and ECDSA)");
    } else if (!c->bundle_mode) {
        code = cmd_wrong(&sign_command,
                         "enable bundle mode (ie. --bundle) to sign bundle files or directories");
    } else if (failed(sign(c))) {
        printf("error: %s\n", err_detail());
        code = 1;
    }
    cmd_free(c);
    return code;
}
