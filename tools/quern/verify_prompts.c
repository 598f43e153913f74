/* SPDX-License-Identifier: Apache-2.0 */
#include "verify_prompts.h"

#include <stdlib.h>
#include <string.h>

#include "output.h"

/* Undoes \n, \t and \\ in place. */
static void unescape(char *text) {
    char *to = text;
    for (const char *from = text; *from != '\0'; from++) {
        if (from[0] != '\\' || from[1] == '\0') {
            *to++ = *from;
            continue;
        }
        from++;
        *to++ = (char)(*from == 'n' ? '\n' : *from == 't' ? '\t' : *from);
    }
    *to = '\0';
}

static struct qn_verify_prompt parse_line(char *line) {
    char *const tab = strchr(line, '\t');
    if (tab != NULL) {
        *tab = '\0';
        unescape(tab + 1);
    }
    unescape(line);
    return (struct qn_verify_prompt){line, tab != NULL && tab[1] != '\0' ? tab + 1 : NULL};
}

static size_t count_lines(const struct bytes *bytes) {
    size_t n = 1;
    for (size_t i = 0; i < bytes->size; i++) n += bytes->data[i] == '\n';
    return n;
}

bool verify_prompts_read(const char *path, struct verify_prompts *out) {
    *out = (struct verify_prompts){.n = 0};
    if (!input_read(path, &out->bytes)) return false;
    const char *const nul = memchr(out->bytes.data, '\0', out->bytes.size);
    if (nul != NULL) {
        out_error("%s: prompts are text, found a NUL at byte %zu", path,
                  (size_t)(nul - out->bytes.data));
        verify_prompts_free(out);
        return false;
    }
    out->items = calloc(count_lines(&out->bytes), sizeof *out->items);
    if (out->items == NULL) out_error("no memory for the prompts");
    char *rest = out->bytes.data, *line;
    while (out->items != NULL && (line = strsep(&rest, "\n")) != NULL) {
        const size_t size = strlen(line);
        if (size > 0 && line[size - 1] == '\r') line[size - 1] = '\0';
        if (*line != '\0' && *line != '#') out->items[out->n++] = parse_line(line);
    }
    if (out->items != NULL && out->n == 0) out_error("%s holds no prompt", path);
    if (out->n > 0) return true;
    verify_prompts_free(out);
    return false;
}

void verify_prompts_free(struct verify_prompts *prompts) {
    free(prompts->items);
    free(prompts->bytes.data);
    *prompts = (struct verify_prompts){.n = 0};
}
