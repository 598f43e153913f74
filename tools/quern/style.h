/* SPDX-License-Identifier: Apache-2.0
 *
 * Titles and bars on standard output: colours on a terminal only, and never with NO_COLOR;
 * letters where the locale has no UTF-8.
 */
#ifndef QUERN_TOOLS_STYLE_H
#define QUERN_TOOLS_STYLE_H

#include <stdbool.h>

enum style { STYLE_PLAIN, STYLE_ATTN, STYLE_MLP, STYLE_NORM, STYLE_WAIT, STYLE_WARN, STYLE_COUNT };

/* Whether there are colours. */
bool style_coloured(void);
/* A blank line and the title on a line of its own. */
void style_title(const char *title);
/* A bar of so many cells, rounded; one cell for what is more than half of one. */
void style_bar(enum style style, double cells);
/* The next segment of a bar, from cell `from` to where `to` falls, at most `limit`; the number of
 * cells that it wrote. */
int style_cells(enum style style, int from, double to, int limit);
/* A word in the style's colour. */
void style_word(enum style style, const char *word);

#endif
