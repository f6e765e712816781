#include "pages.h"

enum { PAGE_MAX = 64 * 1024 };

const char style_sheet[] =
    ":root{color-scheme:light "
    "dark;--ink:#1c2530;--soft:#5b6775;--paper:#fff;--back:#eef1f5;--line:#cfd6df;--act:#0b5cad;--"
    "bad:#b3261e}\n"
    "@media(prefers-color-scheme:dark){:root{--ink:#e8edf3;--soft:#9aa7b5;--paper:#1b222b;--back:#"
    "11161c;--line:#364250;--act:#5aa9f5;--bad:#ff8a80}}\n"
    "*{box-sizing:border-box}body{margin:0;min-height:100vh;display:grid;place-items:center;"
    "background:var(--back);color:var(--ink);\n"
    "font:16px/1.5 system-ui,sans-serif}main{width:min(25rem,calc(100vw - "
    "2rem));background:var(--paper);border:1px solid var(--line);\n"
    "border-radius:12px;padding:2rem;box-shadow:0 8px 30px "
    "rgba(0,0,0,.08)}h1{font-size:1.35rem;margin:0 0 .25rem}\n"
    "p{margin:.25rem 0 1rem;color:var(--soft)}label{display:block;font-weight:600;margin:1rem 0 "
    ".25rem}\n"
    "input[type=text],input[type=password]{width:100%;padding:.65rem .75rem;border:1px solid "
    "var(--line);border-radius:8px;\n"
    "background:transparent;color:inherit;font:inherit}input:focus-visible,button:focus-visible{"
    "outline:3px solid var(--act);outline-offset:2px}\n"
    "button{font:inherit;font-weight:600;padding:.65rem 1.1rem;border-radius:8px;border:1px solid "
    "var(--act);background:var(--act);\n"
    "color:var(--paper);cursor:pointer}button.plain{background:transparent;color:var(--act)}.row{"
    "display:flex;gap:.75rem;margin-top:1.5rem}\n"
    ".row button{flex:1}.message{border-left:4px solid var(--bad);padding:.5rem "
    ".75rem;color:var(--ink);background:rgba(179,38,30,.08)}\n"
    "ul{padding-left:1.2rem;margin:.5rem 0 1rem}li{margin:.2rem "
    "0}footer{margin-top:1.5rem;font-size:.85rem;color:var(--soft)}\n";

void html_escape(struct buf *out, struct str text)
{
    for (size_t i = 0; i < text.n; i++) {
        switch (text.p[i]) {
        case '&':
            buf_puts(out, S("&amp;"));
            break;
        case '<':
            buf_puts(out, S("&lt;"));
            break;
        case '>':
            buf_puts(out, S("&gt;"));
            break;
        case '"':
            buf_puts(out, S("&quot;"));
            break;
        case '\'':
            buf_puts(out, S("&#39;"));
            break;
        default:
            buf_putc(out, text.p[i]);
        }
    }
}

static void page_begin(struct buf *b, const char *title)
{
    buf_init(b, PAGE_MAX);
    buf_puts(b,
             S("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
               "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>"));
    html_escape(b, str_of(title));
    buf_puts(b, S("</title><link rel=\"stylesheet\" "
                  "href=\"/assets/authn.css\"></head>\n<body><main>\n<h1>"));
    html_escape(b, str_of(title));
    buf_puts(b, S("</h1>\n"));
}

static void paragraph(struct buf *b, const char *class, struct str text)
{
    buf_printf(b, class != NULL ? "<p class=\"%s\" role=\"alert\">" : "<p>", class);
    html_escape(b, text);
    buf_puts(b, S("</p>\n"));
}

static void hidden(struct buf *b, const char *name, struct str value)
{
    buf_printf(b, "<input type=\"hidden\" name=\"%s\" value=\"", name);
    html_escape(b, value);
    buf_puts(b, S("\">\n"));
}

/* Content-Security-Policy of a page whose form leads here, or on to one other origin. */
static void page_end(struct op *op, int status, struct buf *b, struct str form_origin)
{
    buf_puts(b, S("</main></body></html>\n"));
    struct str csp = arena_printf(&op->arena,
                                  "default-src 'none'; style-src 'self'; form-action 'self'%s%.*s; "
                                  "frame-ancestors 'none'; base-uri 'none'",
                                  form_origin.n > 0 ? " " : "", STR_FMT(form_origin));
    op_header(op, "content-security-policy", csp);
    op_header(op, "x-frame-options", S("DENY"));
    op_header(op, "cross-origin-opener-policy", S("same-origin"));
    op_answer(op, buf_ok(b) ? status : 500, S("text/html; charset=utf-8"),
              arena_str(&op->arena, buf_str(b)));
    buf_release(b);
}

static void begin_form(struct buf *b, const struct interaction *i, const char *action)
{
    buf_printf(b, "<form method=\"post\" action=\"/interaction/%.*s/%s\">\n", STR_FMT(i->id),
               action);
    hidden(b, "csrf", i->csrf);
}

void page_login(struct op *op, int status, const struct interaction *i, struct str message)
{
    struct buf b;
    page_begin(&b, "Sign in");
    paragraph(&b, NULL,
              arena_printf(&op->arena, "to continue to %.*s", STR_FMT(i->request.client->name)));
    if (message.n > 0) {
        paragraph(&b, "message", message);
    }
    begin_form(&b, i, "login");
    buf_puts(&b,
             S("<label for=\"username\">User name</label>\n<input type=\"text\" id=\"username\" "
               "name=\"username\" autocomplete=\"username\" "
               "autocapitalize=\"none\" spellcheck=\"false\" required maxlength=\"128\" value=\""));
    html_escape(&b, i->request.login_hint);
    buf_puts(&b, S("\">\n<label for=\"password\">Password</label>\n<input type=\"password\" "
                   "id=\"password\" name=\"password\" "
                   "autocomplete=\"current-password\" required maxlength=\"1024\">\n<div "
                   "class=\"row\"><button type=\"submit\">Sign in</button></div>\n"
                   "</form>\n"));
    begin_form(&b, i, "cancel");
    buf_puts(&b, S("<div class=\"row\"><button class=\"plain\" "
                   "type=\"submit\">Cancel</button></div>\n</form>\n"));
    page_end(op, status, &b, redirect_uri_origin(i->request.redirect_uri));
}

static void list_scopes(struct buf *b, unsigned scopes)
{
    static const char *const words[SCOPE_COUNT] = {
        "know who you are (a stable identifier)",
        "see your profile: name, picture and the like",
        "see your e-mail address",
        "see your postal address",
        "see your phone number",
        "stay signed in for you when you are away",
    };
    buf_puts(b, S("<ul>\n"));
    for (size_t i = 0; i < SCOPE_COUNT; i++) {
        if ((scopes & 1u << i) != 0) {
            buf_printf(b, "<li>%s</li>\n", words[i]);
        }
    }
    buf_puts(b, S("</ul>\n"));
}

void page_consent(struct op *op, const struct interaction *i)
{
    struct buf b;
    struct arena *a = &op->arena;
    page_begin(&b, "Allow access?");
    paragraph(&b, NULL, arena_printf(a, "%.*s would like to", STR_FMT(i->request.client->name)));
    list_scopes(&b, i->request.scopes);
    paragraph(&b, NULL,
              arena_printf(a, "You are signed in as %.*s. You will return to %.*s.",
                           STR_FMT(i->user_name),
                           STR_FMT(redirect_uri_origin(i->request.redirect_uri))));
    begin_form(&b, i, "consent");
    buf_puts(&b, S("<div class=\"row\"><button type=\"submit\">Allow</button></div>\n</form>\n"));
    begin_form(&b, i, "cancel");
    buf_puts(&b, S("<div class=\"row\"><button class=\"plain\" "
                   "type=\"submit\">Refuse</button></div>\n</form>\n"
                   "<footer>What you may do there is decided there at each request; it is not part "
                   "of this.</footer>\n"));
    page_end(op, 200, &b, redirect_uri_origin(i->request.redirect_uri));
}

void page_error(struct op *op, int status, const char *title, struct str message)
{
    struct buf b;
    page_begin(&b, title);
    paragraph(&b, "message", message);
    page_end(op, status, &b, STR_EMPTY);
}

void page_logout(struct op *op, struct str csrf, struct str hidden_hint, const struct params *p)
{
    struct buf b;
    page_begin(&b, "Sign out?");
    paragraph(&b, NULL, S("This ends your session here and the access it gave to applications."));
    buf_puts(&b, S("<form method=\"post\" action=\"/logout\">\n"));
    hidden(&b, "csrf", csrf);
    if (hidden_hint.n > 0) {
        hidden(&b, "id_token_hint", hidden_hint);
    }
    static const char *const kept[] = {"client_id", "post_logout_redirect_uri", "state"};
    for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
        if (params_get(p, kept[i]).n > 0) {
            hidden(&b, kept[i], params_get(p, kept[i]));
        }
    }
    buf_puts(&b,
             S("<div class=\"row\"><button type=\"submit\">Sign out</button></div>\n</form>\n"));
    page_end(op, 200, &b, STR_EMPTY);
}

void page_signed_out(struct op *op)
{
    struct buf b;
    page_begin(&b, "Signed out");
    paragraph(&b, NULL, S("Your session has ended. You can close this page."));
    page_end(op, 200, &b, STR_EMPTY);
}

void page_form_post(struct op *op, struct str redirect_uri, const struct param *fields, size_t n)
{
    struct buf b;
    page_begin(&b, "Continue");
    paragraph(&b, NULL,
              arena_printf(&op->arena, "You are returning to %.*s.",
                           STR_FMT(redirect_uri_origin(redirect_uri))));
    buf_puts(&b, S("<form method=\"post\" action=\""));
    html_escape(&b, redirect_uri);
    buf_puts(&b, S("\">\n"));
    for (size_t i = 0; i < n; i++) {
        struct str name = fields[i].name;
        char text[32];
        if (!failed(str_to_cstr(name, text, sizeof(text)))) {
            hidden(&b, text, fields[i].value);
        }
    }
    buf_puts(&b, S("<div class=\"row\"><button type=\"submit\" "
                   "autofocus>Continue</button></div>\n</form>\n"));
    page_end(op, 200, &b, redirect_uri_origin(redirect_uri));
}
