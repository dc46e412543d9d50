/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Doubles: numbers of up to 15 digits and small powers of ten are exact products or quotients of
 * two exact doubles (Clinger, "How to read floating point numbers accurately", 1990); prices and
 * counts all are. The rest goes to strtod and snprintf. No program of ours calls setlocale, so the
 * point is a point.
 */
#include "transcode/number.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

#define POWER_MAX 22
#define EXACT_MAX (UINT64_C(1) << 53)

/* A decimal number taken apart: digits of the integer and the fraction part, exponent. */
struct decimal {
    const char *whole, *fraction;
    size_t whole_n, fraction_n;
    bool negative;
    int32_t exponent; /* as written; held within +-1,000,000,000 */
};

static struct decimal take_apart(struct slice text)
{
    const char *p = text.p, *end = text.p + text.n;
    struct decimal d = {0};
    bool minus = false;

    if (*p == '-') {
        d.negative = true;
        p++;
    }
    d.whole = p;
    while (p < end && *p >= '0' && *p <= '9')
        p++;
    d.whole_n = (size_t)(p - d.whole);
    d.fraction = p;
    if (p < end && *p == '.') {
        d.fraction = ++p;
        while (p < end && *p >= '0' && *p <= '9')
            p++;
        d.fraction_n = (size_t)(p - d.fraction);
    }
    if (p < end) {
        p++;
        minus = *p == '-';
        if (*p == '-' || *p == '+')
            p++;
        for (; p < end; p++)
            if (d.exponent < 100000000)
                d.exponent = d.exponent * 10 + (*p - '0');
        if (minus)
            d.exponent = -d.exponent;
    }
    return d;
}

static char digit_of(const struct decimal *d, size_t i)
{
    return i < d->whole_n ? d->whole[i] : d->fraction[i - d->whole_n];
}

static enum number_result integer_of(const struct decimal *d, uint64_t *out)
{
    size_t n = d->whole_n + d->fraction_n, first = 0;
    int64_t exponent = (int64_t)d->exponent - (int64_t)d->fraction_n;
    uint64_t v = 0;

    while (first < n && digit_of(d, first) == '0')
        first++;
    while (n > first && digit_of(d, n - 1) == '0') {
        n--;
        exponent++;
    }
    *out = 0;
    if (first == n)
        return NUMBER_OK;
    if (exponent < 0)
        return NUMBER_FRACTION;
    if (exponent + (int64_t)(n - first) > 20)
        return NUMBER_RANGE;
    for (size_t i = first; i < n; i++)
        if (__builtin_mul_overflow(v, 10, &v) ||
            __builtin_add_overflow(v, (uint64_t)(digit_of(d, i) - '0'), &v))
            return NUMBER_RANGE;
    for (int64_t i = 0; i < exponent; i++)
        if (__builtin_mul_overflow(v, 10, &v))
            return NUMBER_RANGE;
    *out = v;
    return NUMBER_OK;
}

enum number_result number_integer(struct slice text, bool *negative, uint64_t *magnitude)
{
    size_t i = text.p[0] == '-';
    uint64_t v = 0;
    struct decimal d;

    *negative = i > 0;
    if (text.n <= 19) {
        for (; i < text.n && text.p[i] >= '0' && text.p[i] <= '9'; i++)
            v = v * 10 + (uint64_t)(text.p[i] - '0');
        if (i == text.n) {
            *magnitude = v;
            return NUMBER_OK;
        }
    }
    d = take_apart(text);
    return integer_of(&d, magnitude);
}

static bool double_slow(struct slice text, double *out)
{
    char small[64], *copy = text.n < sizeof small ? small : malloc(text.n + 1);

    if (copy == NULL)
        return false;
    memcpy(copy, text.p, text.n);
    copy[text.n] = '\0';
    *out = strtod(copy, NULL);
    if (copy != small)
        free(copy);
    return isfinite(*out);
}

bool number_double(struct slice text, double *out)
{
    struct decimal d = take_apart(text);
    size_t n = d.whole_n + d.fraction_n;
    int64_t exponent = (int64_t)d.exponent - (int64_t)d.fraction_n;
    uint64_t v = 0;
    double x;

    if (n > 18 || exponent < -POWER_MAX || exponent > POWER_MAX)
        return double_slow(text, out);
    for (size_t i = 0; i < n; i++)
        v = v * 10 + (uint64_t)(digit_of(&d, i) - '0');
    if (v > EXACT_MAX)
        return double_slow(text, out);
    x = exponent < 0 ? (double)v / powers[-exponent] : (double)v * powers[exponent];
    *out = d.negative ? -x : x;
    return true;
}

/* v = digits / 10^places exactly as a reader would compute it; false when there is no such pair. */
static bool few_places(double v, uint64_t *digits, unsigned *places)
{
    for (unsigned k = 0; k <= 8; k++) {
        double scaled = v * powers[k];
        uint64_t n;

        if (scaled >= (double)(EXACT_MAX / 16))
            return false;
        n = (uint64_t)(scaled + 0.5);
        if ((double)n / powers[k] == v) {
            *digits = n;
            *places = k;
            return true;
        }
    }
    return false;
}

static void print_places(struct buf *b, uint64_t digits, unsigned places)
{
    uint64_t unit = 1;

    for (unsigned i = 0; i < places; i++)
        unit *= 10;
    buf_u64(b, digits / unit);
    if (places == 0)
        return;
    buf_char(b, '.');
    for (digits %= unit, unit /= 10; unit > 0; digits %= unit, unit /= 10)
        buf_char(b, (char)('0' + digits / unit));
}

/* Tells a double from a float that was widened. */
enum precision { DOUBLE_DIGITS = 15, FLOAT_DIGITS = 6 };

/* Subnormal numbers have fewer digits than their type promises. */
static void print_slow(struct buf *b, double v, enum precision least)
{
    bool narrow = least == FLOAT_DIGITS;
    int digits = v < (narrow ? (double)FLT_MIN : DBL_MIN) ? 1 : (int)least;
    char text[40];

    for (;; digits++) {
        int n = snprintf(text, sizeof text, "%.*g", digits, v);
        bool same = narrow ? strtof(text, NULL) == (float)v : strtod(text, NULL) == v;

        if (same || digits >= (int)least + 3) {
            buf_add(b, text, (size_t)n);
            return;
        }
    }
}

/* Prints the sign; true when that was all: readers that take "-0" for an integer lose it. */
static bool print_sign(struct buf *b, double v)
{
    if (!signbit(v))
        return false;
    buf_str(b, v == 0 ? "-0.0" : "-");
    return v == 0;
}

void number_print_double(struct buf *b, double v)
{
    uint64_t digits;
    unsigned places;

    if (print_sign(b, v))
        return;
    v = fabs(v);
    if ((v == 0 || v >= 1e-4) && few_places(v, &digits, &places))
        print_places(b, digits, places);
    else
        print_slow(b, v, DOUBLE_DIGITS);
}

void number_print_float(struct buf *b, float v)
{
    if (print_sign(b, (double)v))
        return;
    v = fabsf(v);
    if (v < 16777216.0f && v == (float)(uint32_t)v)
        buf_u64(b, (uint32_t)v);
    else
        print_slow(b, (double)v, FLOAT_DIGITS);
}
