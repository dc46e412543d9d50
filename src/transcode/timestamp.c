/* SPDX-License-Identifier: BSD-2-Clause */
/* Calendar arithmetic and the text forms of times; seconds count from 1970-01-01T00:00:00Z. */
#include "transcode/timestamp.h"

#define SECOND_MIN   INT64_C(-62135596800) /* 0001-01-01T00:00:00Z */
#define SECOND_MAX   INT64_C(253402300799) /* 9999-12-31T23:59:59Z */
#define DURATION_MAX INT64_C(315576000000)
#define NANOS_PER_S  1000000000
#define DAY_S        86400

/* Reads exactly n digits. */
static bool take_digits(struct slice *s, unsigned n, int *out)
{
    int v = 0;

    if (s->n < n)
        return false;
    for (unsigned i = 0; i < n; i++) {
        if (s->p[i] < '0' || s->p[i] > '9')
            return false;
        v = v * 10 + (s->p[i] - '0');
    }
    *out = v;
    s->p += n;
    s->n -= n;
    return true;
}

static bool take_char(struct slice *s, char c)
{
    if (s->n == 0 || s->p[0] != c)
        return false;
    s->p++;
    s->n--;
    return true;
}

/* ".5" is 500,000,000; nothing is 0. One to nine digits. */
static bool take_fraction(struct slice *s, int32_t *nanos)
{
    int32_t v = 0;
    unsigned n = 0;

    *nanos = 0;
    if (!take_char(s, '.'))
        return true;
    for (; n < 9 && s->n > 0 && s->p[0] >= '0' && s->p[0] <= '9'; n++) {
        v = v * 10 + (s->p[0] - '0');
        s->p++;
        s->n--;
    }
    if (n == 0)
        return false;
    for (; n < 9; n++)
        v *= 10;
    *nanos = v;
    return true;
}

/*
 * Days since 1970-01-01 of the proleptic Gregorian calendar. Years begin in March, so that the leap
 * day is the last; 400 years have 146,097 days.
 */
static int64_t days_of(int year, int month, int day)
{
    int64_t y = year - (month <= 2), era = (y >= 0 ? y : y - 399) / 400,
            year_of_era = y - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year -
           719468;
}

static void date_of(int64_t days, int *year, int *month, int *day)
{
    int64_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097, doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;

    *day = (int)(doy - (153 * mp + 2) / 5 + 1);
    *month = (int)(mp < 10 ? mp + 3 : mp - 9);
    *year = (int)(yoe + era * 400) + (*month <= 2);
}

static int days_in(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

    return days[month - 1] + (month == 2 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0));
}

static bool take_offset(struct slice *s, int *offset_s)
{
    bool minus = s->n > 0 && s->p[0] == '-';
    int h, m;

    *offset_s = 0;
    if (take_char(s, 'Z'))
        return true;
    if (!minus && (s->n == 0 || s->p[0] != '+'))
        return false;
    take_char(s, s->p[0]);
    if (!take_digits(s, 2, &h) || !take_char(s, ':') || !take_digits(s, 2, &m) || h > 23 || m > 59)
        return false;
    *offset_s = (minus ? -1 : 1) * (h * 3600 + m * 60);
    return true;
}

bool timestamp_parse(struct slice s, int64_t *seconds, int32_t *nanos)
{
    int year, month, day, hour, minute, second, offset;

    if (!take_digits(&s, 4, &year) || !take_char(&s, '-') || !take_digits(&s, 2, &month) ||
        !take_char(&s, '-') || !take_digits(&s, 2, &day) || !take_char(&s, 'T') ||
        !take_digits(&s, 2, &hour) || !take_char(&s, ':') || !take_digits(&s, 2, &minute) ||
        !take_char(&s, ':') || !take_digits(&s, 2, &second) || !take_fraction(&s, nanos) ||
        !take_offset(&s, &offset) || s.n != 0)
        return false;
    if (year < 1 || month < 1 || month > 12 || day < 1 || day > days_in(year, month) || hour > 23 ||
        minute > 59 || second > 59)
        return false;
    *seconds = days_of(year, month, day) * DAY_S + hour * 3600 + minute * 60 + second - offset;
    return *seconds >= SECOND_MIN && *seconds <= SECOND_MAX;
}

static char *put2(char *p, unsigned v)
{
    p[0] = (char)('0' + v / 10);
    p[1] = (char)('0' + v % 10);
    return p + 2;
}

static char *put3(char *p, unsigned v)
{
    *p = (char)('0' + v / 100);
    return put2(p + 1, v % 100);
}

/* None, three, six or nine places. */
static char *put_fraction(char *p, int32_t nanos)
{
    unsigned ns = (unsigned)nanos;

    if (nanos == 0)
        return p;
    *p++ = '.';
    p = put3(p, ns / 1000000);
    if (ns % 1000000 == 0)
        return p;
    p = put3(p, ns / 1000 % 1000);
    return ns % 1000 == 0 ? p : put3(p, ns % 1000);
}

bool timestamp_print(struct buf *b, int64_t seconds, int32_t nanos)
{
    int64_t days, rest;
    int year, month, day;
    char *p;

    if (seconds < SECOND_MIN || seconds > SECOND_MAX || nanos < 0 || nanos >= NANOS_PER_S)
        return false;
    if (!buf_reserve(b, 40))
        return true;
    days = seconds / DAY_S - (seconds % DAY_S < 0);
    rest = seconds - days * DAY_S;
    date_of(days, &year, &month, &day);
    p = b->p + b->n;
    *p++ = '"';
    p = put2(put2(p, (unsigned)year / 100), (unsigned)year % 100);
    *p++ = '-';
    p = put2(p, (unsigned)month);
    *p++ = '-';
    p = put2(p, (unsigned)day);
    *p++ = 'T';
    p = put2(p, (unsigned)rest / 3600);
    *p++ = ':';
    p = put2(p, (unsigned)rest / 60 % 60);
    *p++ = ':';
    p = put2(p, (unsigned)rest % 60);
    p = put_fraction(p, nanos);
    *p++ = 'Z';
    *p++ = '"';
    b->n = (size_t)(p - b->p);
    return true;
}

bool duration_parse(struct slice s, int64_t *seconds, int32_t *nanos)
{
    bool minus = take_char(&s, '-');
    struct slice whole = s;
    uint64_t v;

    whole.n = 0;
    while (whole.n < s.n && s.p[whole.n] >= '0' && s.p[whole.n] <= '9')
        whole.n++;
    s.p += whole.n;
    s.n -= whole.n;
    if (!slice_to_u64(whole, &v) || !take_fraction(&s, nanos) || !take_char(&s, 's') || s.n != 0)
        return false;
    if (v > DURATION_MAX || (v == DURATION_MAX && *nanos > 0))
        return false;
    *seconds = minus ? -(int64_t)v : (int64_t)v;
    *nanos = minus ? -*nanos : *nanos;
    return true;
}

bool duration_print(struct buf *b, int64_t seconds, int32_t nanos)
{
    char text[16], *end;

    if (seconds < -DURATION_MAX || seconds > DURATION_MAX || nanos <= -NANOS_PER_S ||
        nanos >= NANOS_PER_S || (seconds > 0 && nanos < 0) || (seconds < 0 && nanos > 0))
        return false;
    buf_char(b, '"');
    if (seconds < 0 || nanos < 0)
        buf_char(b, '-');
    buf_u64(b, (uint64_t)(seconds < 0 ? -seconds : seconds));
    end = put_fraction(text, nanos < 0 ? -nanos : nanos);
    buf_add(b, text, (size_t)(end - text));
    buf_str(b, "s\"");
    return true;
}
