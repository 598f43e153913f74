/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON strings of any bytes, and numbers that may be missing.
 */
#include "report/json_text.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

json_t *qn_json_text(const char *data, size_t size) {
    json_t *text = json_stringn(size > 0 ? data : "", size);
    if (text != NULL || size > SIZE_MAX / 3) return text;
    char *replaced = malloc(3 * size);
    if (replaced == NULL) return NULL;
    size_t n = 0;
    for (size_t i = 0; i < size; i++) {
        if ((unsigned char)data[i] < 128) {
            replaced[n++] = data[i];
        } else {
            memcpy(replaced + n, "\xEF\xBF\xBD", 3);
            n += 3;
        }
    }
    text = json_stringn(replaced, n);
    free(replaced);
    return text;
}

json_t *qn_json_number(double value) {
    return isfinite(value) ? json_real(value) : json_null();
}

json_t *qn_json_interval(bool known, double low, double high) {
    return known ? json_pack("[f, f]", low, high) : json_null();
}
