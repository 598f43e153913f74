/* SPDX-License-Identifier: Apache-2.0
 *
 * What the program says: errors and notes on stderr, data on stdout.
 */
#ifndef QUERN_TOOLS_OUTPUT_H
#define QUERN_TOOLS_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum {
    EXIT_DONE = 0,
    EXIT_FAILED = 1,
    EXIT_WRONG_USAGE = 2,
    EXIT_INTERRUPTED = 128 + 2 /* SIGINT */
};

/* "quern: sentence" on stderr, printed as by out_text. */
void out_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Flushes stdout; false, with its sentence printed, when data could not be written: it is forgotten
 * then and not tried again. */
bool out_flush(void);

/* Text that comes from a file: a newline or escape sequence in it is shown and stays harmless.
 * Returns the bytes printed. */
size_t out_text(const char *text, size_t size, FILE *file);

/* Columns of the terminal on stderr, or 0 when it is none. */
int out_columns(void);

/* Columns of the terminal on stdout, 80 at the most; 80 when it is none. */
int out_width(void);

/* Words of text and a newline, on stdout, from column `at` on and continued at column `left`; a
 * newline in it starts a paragraph. Lines end where the terminal does, at 80 columns at the latest;
 * a word that is longer stays whole. */
void out_words(const char *text, int at, int left);

#endif
