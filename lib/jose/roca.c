/*
 * The generator made primes as k * M + (65537^a mod M), M the product of the first primes; so every
 * modulus is a power of 65537 modulo each small prime. A random one passes all the tests below by
 * chance once in 2^27.
 */
#include "roca.h"

static unsigned residue(struct str n, unsigned p)
{
    unsigned r = 0;
    for (size_t i = 0; i < n.n; i++) {
        r = (r << 8 | (uint8_t)n.p[i]) % p;
    }
    return r;
}

static bool is_power(unsigned r, unsigned p)
{
    unsigned g = 65537 % p, x = 1;
    do {
        if (x == r) {
            return true;
        }
        x = x * g % p;
    } while (x != 1);
    return false;
}

bool roca_weak(struct str modulus)
{
    static const uint8_t primes[] = {
        3,  5,  7,  11, 13, 17,  19,  23,  29,  31,  37,  41,  43,  47,  53,  59,  61,  67,  71,
        73, 79, 83, 89, 97, 101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167};
    for (size_t i = 0; i < ARRAY_LEN(primes); i++) {
        if (!is_power(residue(modulus, primes[i]), primes[i])) {
            return false;
        }
    }
    return true;
}
