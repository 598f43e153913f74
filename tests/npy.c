/* SPDX-License-Identifier: Apache-2.0 */
#include "npy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void fail(const char *path, const char *why) {
    fprintf(stderr, "%s: %s\n", path, why);
    exit(1);
}

/* "(12, 384)" -> 12, 384 */
static void parse_shape(const char *path, const char *header, struct npy *array) {
    const char *const shape = strstr(header, "'shape': (");
    if (!shape) fail(path, "no shape");
    char *end;
    array->rows = strtoul(shape + 10, &end, 10);
    array->columns = 1;
    if (*end == ',' && end[1] != ')') array->columns = strtoul(end + 1, &end, 10);
}

struct npy npy_read(const char *path, const char *kind) {
    struct npy array = {0};
    unsigned char prefix[10];
    char header[4096], descr[16];
    FILE *const file = fopen(path, "rb");
    if (!file) fail(path, "cannot open");
    if (fread(prefix, 1, sizeof prefix, file) != sizeof prefix ||
        memcmp(prefix, "\x93NUMPY\x01", 7) != 0)
        fail(path, "not a .npy file of version 1");
    const size_t size = prefix[8] | (size_t)prefix[9] << 8;
    if (size >= sizeof header || fread(header, 1, size, file) != size) fail(path, "short header");
    header[size] = '\0';
    snprintf(descr, sizeof descr, "'<%s'", kind);
    if (!strstr(header, descr) || strstr(header, "'fortran_order': True")) fail(path, "other type");
    parse_shape(path, header, &array);
    const size_t n = array.rows * array.columns;
    array.data = malloc(n * 4);
    if (!array.data || fread(array.data, 4, n, file) != n) fail(path, "short data");
    fclose(file);
    return array;
}

void npy_free(struct npy *array) {
    free(array->data);
    array->data = NULL;
}
