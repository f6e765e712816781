#include "regex.h"

struct regex *regex_shim_new(const char *p, size_t n, unsigned flags, long mem, char *why,
                             size_t why_size, int *limit);
void regex_shim_free(struct regex *re);
int regex_shim_groups(const struct regex *re);
int regex_shim_match(const struct regex *re, const char *p, size_t n, size_t from, int full,
                     struct str *groups, int n_groups);
const char *regex_shim_name(const struct regex *re, int i);

struct err regex_compile(struct str pattern, unsigned flags, struct regex **out)
{
    char why[256] = "";
    int limit = 0;
    struct regex *re =
        regex_shim_new(pattern.p, pattern.n, flags, REGEX_MEM_MAX, why, sizeof why, &limit);
    ENSURE(re != NULL || !limit, ERR_LIMIT, "regular expression too large: %s", why);
    ENSURE(re != NULL, ERR_SYNTAX, "error parsing regexp: %s", why);
    *out = re;
    return OK;
}

void regex_free(struct regex *re)
{
    regex_shim_free(re);
}

int regex_groups(const struct regex *re)
{
    return regex_shim_groups(re);
}

/* RE2 reports an empty match at the start of an absent text as a NULL pointer; keep it non-NULL. */
static struct str solid(struct str text)
{
    return text.p != NULL ? text : S("");
}

bool regex_match(const struct regex *re, struct str text, struct str *groups, int n)
{
    return regex_match_from(re, text, 0, groups, n);
}

bool regex_match_from(const struct regex *re, struct str text, size_t from, struct str *groups,
                      int n)
{
    BUG_ON(n > REGEX_GROUPS_MAX + 1 || from > text.n);
    text = solid(text);
    return regex_shim_match(re, text.p, text.n, from, 0, groups, n) != 0;
}

bool regex_match_full(const struct regex *re, struct str text)
{
    text = solid(text);
    return regex_shim_match(re, text.p, text.n, 0, 1, NULL, 0) != 0;
}

struct str regex_group_name(const struct regex *re, int i)
{
    return str_of(regex_shim_name(re, i));
}
