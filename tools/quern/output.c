/* SPDX-License-Identifier: Apache-2.0
 *
 * Messages, and whether data reached its reader.
 */
#include "output.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { WIDTH = 80 };

/* Names and ids come from the command line and from files. Without memory a long sentence is cut.
 */
void out_error(const char *format, ...) {
    char room[1024], *text = room;
    va_list arguments, again;
    fflush(stdout); /* the sentence follows the data that came before it */
    va_start(arguments, format);
    va_copy(again, arguments);
    const int size = vsnprintf(room, sizeof room, format, arguments);
    if (size >= (int)sizeof room && vasprintf(&text, format, again) < 0) text = room;
    va_end(again);
    va_end(arguments);
    fputs("quern: ", stderr);
    out_text(text, size < 0 ? 0 : strlen(text), stderr);
    fputc('\n', stderr);
    if (text != room) free(text);
}

/* Where an earlier write failed, stdio keeps that and not why: one more fails for the same reason.
 * A newline does no harm to data that has a gap already. */
bool out_flush(void) {
    errno = 0;
    const bool flushed = fflush(stdout) == 0;
    if (flushed && !ferror(stdout)) return true;
    const int reason = flushed && write(STDOUT_FILENO, "\n", 1) == 1 ? 0 : errno;
    clearerr(stdout);
    __fpurge(stdout);
    out_error("cannot write to standard output: %s", reason != 0 ? strerror(reason) : "it failed");
    return false;
}

size_t out_text(const char *text, size_t size, FILE *file) {
    size_t printed = 0;
    for (size_t i = 0; i < size; i++) {
        const unsigned char c = (unsigned char)text[i];
        if (c == '\n')
            printed += (size_t)fprintf(file, "\\n");
        else if (c < 32 || c == 127)
            printed += (size_t)fprintf(file, "\\x%02x", c);
        else
            printed += (size_t)(putc(c, file) != EOF);
    }
    return printed;
}

/* 0 when the file is no terminal. */
static int columns_of(int file) {
    if (!isatty(file)) return 0;
    struct winsize size;
    return ioctl(file, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : WIDTH;
}

int out_columns(void) {
    return columns_of(STDERR_FILENO);
}

int out_width(void) {
    const int columns = columns_of(STDOUT_FILENO);
    return columns > 0 && columns < WIDTH ? columns : WIDTH;
}

void out_words(const char *text, int at, int left) {
    const int width = out_width();
    bool first = true;
    while (*text != '\0') {
        if (*text == '\n') {
            printf("\n\n%*s", left, "");
            at = left;
            first = true;
            text++;
            continue;
        }
        const int size = (int)strcspn(text, " \n");
        if (!first && at + 1 + size > width) {
            printf("\n%*s", left, "");
            at = left;
        } else if (!first) {
            putchar(' ');
            at++;
        }
        printf("%.*s", size, text);
        at += size;
        first = false;
        text += size;
        text += strspn(text, " ");
    }
    putchar('\n');
}
