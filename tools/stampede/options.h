/* SPDX-License-Identifier: BSD-2-Clause */
/* What the command line of stampede says, for all of its modes. */
#ifndef STAMPEDE_OPTIONS_H
#define STAMPEDE_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * How buyers behave: BEHAVIOUR(name, default weight, traits, help). --mix changes the weights.
 */
#define BEHAVIOURS(BEHAVIOUR)                                                                      \
    BEHAVIOUR(plain, 30, 0, "asks once; an unknown outcome is settled at the end")                 \
    BEHAVIOUR(retry, 20, TRAIT_RETRY, "asks again with the same key after a cut or a 5xx")         \
    BEHAVIOUR(click, 10, TRAIT_RETRY | TRAIT_DOUBLE, "double-clicks: one key, two connections")    \
    BEHAVIOUR(quit, 8, TRAIT_QUIT, "closes the connection right after asking")                     \
    BEHAVIOUR(greedy, 7, TRAIT_GREEDY, "several orders at once, beyond the limit of a buyer")      \
    BEHAVIOUR(pay, 20, TRAIT_RETRY | TRAIT_PAY, "confirms the order after a while")                \
    BEHAVIOUR(cancel, 5, TRAIT_RETRY | TRAIT_CANCEL, "cancels the order after a while")

enum trait {
    TRAIT_RETRY = 1,
    TRAIT_DOUBLE = 2,
    TRAIT_QUIT = 4,
    TRAIT_GREEDY = 8,
    TRAIT_PAY = 16,
    TRAIT_CANCEL = 32,
};

enum behaviour {
#define ENUM(name, weight, traits, help) BEHAVIOUR_##name,
    BEHAVIOURS(ENUM)
#undef ENUM
        BEHAVIOUR_COUNT
};

struct behaviour_info {
    const char *name;
    unsigned weight;
    unsigned traits; /* enum trait */
    const char *help;
};
extern const struct behaviour_info behaviour_info[BEHAVIOUR_COUNT];

struct options {
    /* where */
    const char *host, *port;
    char url_text[256]; /* what they point into, once --url is given */
    const char *event, *item;
    const char *acks;  /* file; NULL: none is written */
    const char *store; /* SQLite file to audit against; NULL: no audit */
    bool history;      /* the record has what was asked and refused, too */
    uint32_t ahead_s;  /* how far ahead of ours the box office's clock may have been */
    /* what */
    bool create;
    uint32_t tickets;
    uint32_t max_per_buyer;
    uint32_t hold_s;
    uint32_t max_quantity; /* an order asks for 1 to so many */
    /* how many, how fast */
    uint64_t buyers; /* 0: as many as rate and time make */
    double rate;     /* buyers a second; 0: buyers / seconds */
    double seconds;
    bool fixed; /* evenly spaced instead of Poisson */
    bool until_sold_out;
    double stop_sold_out_s; /* >= 0: stop so long after the first sold-out */
    double max_seconds;     /* with until_sold_out: give up then */
    double settle_s;
    uint32_t connections;
    double fresh; /* share of requests on a connection of their own */
    double timeout_s;
    double think_s; /* mean time until a buyer pays or cancels */
    uint64_t seed;
    unsigned mix[BEHAVIOUR_COUNT];
    /* output */
    bool json, quiet;
    /* bench */
    bool open_loop;
    pid_t cpu_of; /* 0: none; else CPU time of it and its descendants is measured */
};

enum mode { MODE_RUN, MODE_BENCH, MODE_AUDIT };

/* Fills in defaults, then what argv says; prints to stderr and exits 2 on a mistake, prints help
 * and exits 0 where asked. */
enum mode options_parse(struct options *o, int argc, char **argv);

/* "plain=1,pay=3": weights of those named, the others become 0. False on an unknown name or number.
 */
bool options_mix(const char *text, unsigned mix[BEHAVIOUR_COUNT]);

#endif
