/* SPDX-License-Identifier: Apache-2.0 */
#include "style.h"

#include <langinfo.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct {
    const char *cell, *letter, *colour;
} styles[STYLE_COUNT] = {
    [STYLE_PLAIN] = {"█", "#", "0"}, [STYLE_ATTN] = {"▓", "a", "36"},
    [STYLE_MLP] = {"█", "m", "34"},  [STYLE_NORM] = {"▒", "n", "33"},
    [STYLE_WAIT] = {"·", ".", "31"}, [STYLE_WARN] = {"!", "!", "1;33"},
};

bool style_coloured(void) {
    const char *const no_colour = getenv("NO_COLOR"), *const term = getenv("TERM");
    return isatty(STDOUT_FILENO) && !(no_colour != NULL && *no_colour != '\0') && term != NULL &&
           strcmp(term, "dumb") != 0;
}

static void begin(enum style style) {
    if (style_coloured()) printf("\x1b[%sm", styles[style].colour);
}

static void end(void) {
    if (style_coloured()) fputs("\x1b[0m", stdout);
}

void style_title(const char *title) {
    putchar('\n');
    if (style_coloured()) fputs("\x1b[1m", stdout);
    fputs(title, stdout);
    end();
    putchar('\n');
}

int style_cells(enum style style, int from, double to, int limit) {
    int until = (int)lround(to);
    if (until > limit) until = limit;
    if (until <= from) return 0;
    const bool utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    begin(style);
    for (int i = from; i < until; i++)
        fputs(utf8 ? styles[style].cell : styles[style].letter, stdout);
    end();
    return until - from;
}

void style_bar(enum style style, double cells) {
    style_cells(style, 0, cells, 80);
}

void style_word(enum style style, const char *word) {
    begin(style);
    fputs(word, stdout);
    end();
}
