/* The C face of RE2. Exceptions don't leave this file: RE2 throws none, and new failing aborts. */
#include <re2/re2.h>

#include <cstring>

extern "C" {
struct shim;
struct shim_str {
    const char *p;
    size_t n;
};
struct shim *regex_shim_new(const char *p, size_t n, unsigned flags, long mem, char *why,
                             size_t why_size, int *limit);
void regex_shim_free(struct shim *re);
int regex_shim_groups(const struct shim *re);
int regex_shim_size(const struct shim *re);
int regex_shim_match(const struct shim *re, const char *p, size_t n, size_t from, int full,
                     struct shim_str *groups, int n_groups);
const char *regex_shim_name(const struct shim *re, int i);
}

static const RE2 *inner(const struct shim *re)
{
    return reinterpret_cast<const RE2 *>(re);
}

/* In the words of Go's package of the same syntax: policies' authors and their tests know those. */
static std::string describe(const RE2 &re)
{
    static const char *const words[][2] = {
        {"missing ]", "missing closing ]"},
        {"missing )", "missing closing )"},
        {"trailing \\", "trailing backslash at end of expression"},
        {"no argument for repetition operator", "missing argument to repetition operator"},
        {"invalid repetition size", "invalid repeat count"},
        {"bad repetition operator", "invalid nested repetition operator"},
        {"invalid perl operator", "invalid or unsupported Perl syntax"},
        {"invalid named capture group", "invalid named capture"},
    };
    std::string text = re.error(), what = text.substr(0, text.find(": "));
    for (const auto &w : words) {
        if (what == w[0]) {
            what = w[1];
            break;
        }
    }
    return what + ": `" + re.error_arg() + "`";
}

struct shim *regex_shim_new(const char *p, size_t n, unsigned flags, long mem, char *why,
                             size_t why_size, int *limit)
{
    RE2::Options options;
    options.set_log_errors(false);
    options.set_max_mem(mem);
    options.set_case_sensitive((flags & 1) == 0);
    options.set_encoding((flags & 2) != 0 ? RE2::Options::EncodingLatin1
                                          : RE2::Options::EncodingUTF8);
    options.set_literal((flags & 4) != 0);
    RE2 *re = new RE2(re2::StringPiece(p, n), options);
    if (re->ok()) {
        return reinterpret_cast<struct shim *>(re);
    }
    std::string text = describe(*re);
    size_t len = text.size() < why_size - 1 ? text.size() : why_size - 1;
    memcpy(why, text.data(), len);
    why[len] = '\0';
    *limit = re->error_code() == RE2::ErrorPatternTooLarge;
    delete re;
    return nullptr;
}

void regex_shim_free(struct shim *re)
{
    delete reinterpret_cast<RE2 *>(re);
}

int regex_shim_size(const struct shim *re)
{
    return inner(re)->ProgramSize();
}

int regex_shim_groups(const struct shim *re)
{
    return inner(re)->NumberOfCapturingGroups();
}

int regex_shim_match(const struct shim *re, const char *p, size_t n, size_t from, int full,
                     struct shim_str *groups, int n_groups)
{
    if (n_groups == 0) {
        return inner(re)->Match(re2::StringPiece(p, n), from, n,
                                full ? RE2::ANCHOR_BOTH : RE2::UNANCHORED, nullptr, 0);
    }
    re2::StringPiece found[101];
    if (n_groups > 101) {
        n_groups = 101;
    }
    if (!inner(re)->Match(re2::StringPiece(p, n), from, n,
                          full ? RE2::ANCHOR_BOTH : RE2::UNANCHORED, found, n_groups)) {
        return 0;
    }
    for (int i = 0; i < n_groups; i++) {
        groups[i].p = found[i].data();
        groups[i].n = found[i].size();
    }
    return 1;
}

const char *regex_shim_name(const struct shim *re, int i)
{
    const auto &names = inner(re)->CapturingGroupNames();
    auto it = names.find(i);
    return it == names.end() ? "" : it->second.c_str();
}
