/* SPDX-License-Identifier: Apache-2.0 */
#include "percent.h"

#include <stdlib.h>
#include <string.h>

#include "output.h"

bool percent_parse(const char *option, const char *text, double *percent) {
    char *end;
    if (text == NULL) return true;
    const double value = strtod(text, &end);
    if (end != text && (*end == '\0' || strcmp(end, "%") == 0) && value >= 0 && value <= 1e6) {
        *percent = value;
        return true;
    }
    out_error("%s is '%s'; expected a percentage, as 3 or 3%%", option, text);
    return false;
}
