/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading control group limits. Whatever cannot be read or understood counts as no limit: this
 * is advice about speed, never a reason to fail.
 */
#include "host/limits.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

double qn_limits_parse_cpu_max(const char *text) {
    double quota, period;
    if (sscanf(text, "%lf %lf", &quota, &period) != 2) return 0;
    return quota > 0 && period > 0 ? quota / period : 0;
}

double qn_limits_parse_cfs(const char *quota, const char *period) {
    double quota_us, period_us;
    if (sscanf(quota, "%lf", &quota_us) != 1 || sscanf(period, "%lf", &period_us) != 1) return 0;
    return quota_us > 0 && period_us > 0 ? quota_us / period_us : 0;
}

/* True when `item` is one of the comma-separated words of list[0 .. size). */
static bool has_item(const char *list, size_t size, const char *item) {
    const size_t length = strlen(item);
    const char *end = list + size;
    while (list < end) {
        const char *comma = memchr(list, ',', (size_t)(end - list));
        const size_t word = (size_t)((comma ? comma : end) - list);
        if (word == length && memcmp(list, item, length) == 0) return true;
        list += word + 1;
    }
    return false;
}

/* Copies [text, end) when it fits, terminated. */
static bool copy_range(const char *text, const char *end, char *out, size_t size) {
    const size_t length = (size_t)(end - text);
    if (length >= size) return false;
    memcpy(out, text, length);
    out[length] = '\0';
    return true;
}

/* v2: the one hierarchy of version 2; else that of the controller. */
static bool find_path(const char *cgroup, bool v2, const char *controller, char *path,
                      size_t size) {
    while (*cgroup) {
        const char *end = strchrnul(cgroup, '\n');
        const char *controllers = memchr(cgroup, ':', (size_t)(end - cgroup));
        const char *place =
            controllers ? memchr(controllers + 1, ':', (size_t)(end - controllers - 1)) : NULL;
        if (place) {
            const size_t length = (size_t)(place - controllers - 1);
            if (v2 ? length == 0 : has_item(controllers + 1, length, controller))
                return copy_range(place + 1, end, path, size);
        }
        cgroup = *end ? end + 1 : end;
    }
    return false;
}

bool qn_limits_find_path(const char *cgroup, bool v2, char *path, size_t size) {
    return find_path(cgroup, v2, "cpu", path, size);
}

/* mountinfo writes space, tab, newline and backslash as \ and three octal digits. */
static void unescape(char *text) {
    char *out = text;
    while (*text) {
        unsigned code;
        if (text[0] == '\\' && sscanf(text + 1, "%3o", &code) == 1 && strlen(text) >= 4) {
            *out++ = (char)code;
            text += 4;
        } else {
            *out++ = *text++;
        }
    }
    *out = '\0';
}

/* One line: "31 23 0:28 ROOT MOUNT rw,relatime shared:1 - TYPE SOURCE OPTIONS". */
static bool match_mount(const char *line, const char *end, bool v2, const char *controller,
                        char *mount, char *root, size_t size) {
    const char *field[6], *stop[6];
    const char *at = line;
    for (int i = 0; i < 6; i++) {
        field[i] = at;
        at = memchr(at, ' ', (size_t)(end - at));
        if (!at) return false;
        stop[i] = at++;
    }
    const char *rest = memmem(at - 1, (size_t)(end - at + 1), " - ", 3);
    char type[32], options[256];
    char copy[512];
    if (!rest || !copy_range(rest + 3, end, copy, sizeof copy)) return false;
    if (sscanf(copy, "%31s %*s %255s", type, options) != 2) return false;
    if (strcmp(type, v2 ? "cgroup2" : "cgroup") != 0) return false;
    if (!v2 && !has_item(options, strlen(options), controller)) return false;
    if (!copy_range(field[3], stop[3], root, size) || !copy_range(field[4], stop[4], mount, size))
        return false;
    unescape(root);
    unescape(mount);
    return true;
}

static bool find_mount(const char *mountinfo, bool v2, const char *controller, char *mount,
                       char *root, size_t size) {
    while (*mountinfo) {
        const char *end = strchrnul(mountinfo, '\n');
        if (match_mount(mountinfo, end, v2, controller, mount, root, size)) return true;
        mountinfo = *end ? end + 1 : end;
    }
    return false;
}

bool qn_limits_find_mount(const char *mountinfo, bool v2, char *mount, char *root, size_t size) {
    return find_mount(mountinfo, v2, "cpu", mount, root, size);
}

/* The text of a small file; empty when it cannot be read. */
static void read_text(const char *folder, const char *name, char *text, size_t size) {
    text[0] = '\0';
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s%s", folder, name) >= (int)sizeof path) return;
    FILE *file = fopen(path, "re");
    if (!file) return;
    text[fread(text, 1, size - 1, file)] = '\0';
    fclose(file);
}

static double quota_of_folder(const char *folder, bool v2) {
    char text[64], period[64];
    if (v2) {
        read_text(folder, "/cpu.max", text, sizeof text);
        return qn_limits_parse_cpu_max(text);
    }
    read_text(folder, "/cpu.cfs_quota_us", text, sizeof text);
    read_text(folder, "/cpu.cfs_period_us", period, sizeof period);
    return qn_limits_parse_cfs(text, period);
}

/* Bytes; 0 without a limit, which version 1 writes as a number near 2^63. */
static double memory_of_folder(const char *folder, bool v2) {
    char text[64];
    read_text(folder, v2 ? "/memory.max" : "/memory.limit_in_bytes", text, sizeof text);
    const double limit = strtod(text, NULL); /* "max" is 0 */
    return limit < 0x1p60 ? limit : 0;
}

/* A controller of version 1, and how a folder's limit is read. */
struct resource {
    const char *controller;
    double (*of_folder)(const char *folder, bool v2);
};
static const struct resource processors = {"cpu", quota_of_folder};
static const struct resource memory = {"memory", memory_of_folder};

static double tightest(double a, double b) {
    if (a == 0) return b;
    return b == 0 || a < b ? a : b;
}

/* The process's folder in a hierarchy. `under` stands before the mount's path; *top: bytes of both.
 */
static bool find_folder(const char *controller, const char *under, const char *cgroup,
                        const char *mountinfo, bool v2, char *folder, size_t size, size_t *top) {
    char path[PATH_MAX], mount[PATH_MAX], root[PATH_MAX];
    if (!find_path(cgroup, v2, controller, path, sizeof path) ||
        !find_mount(mountinfo, v2, controller, mount, root, sizeof mount))
        return false;
    /* A container may be shown only the folder `root` of the hierarchy: the mount is that folder.
     */
    size_t skip = strcmp(root, "/") == 0 ? 0 : strlen(root);
    if (strncmp(path, root, skip) != 0 || (path[skip] != '/' && path[skip] != '\0'))
        path[0] = '\0', skip = 0;
    const int written = snprintf(folder, size, "%s%s%s", under, mount, path + skip);
    *top = strlen(under) + strlen(mount);
    return written >= 0 && (size_t)written < size;
}

static double limit_of_hierarchy(const struct resource *resource, const char *under,
                                 const char *cgroup, const char *mountinfo, bool v2) {
    char folder[3 * PATH_MAX];
    size_t top;
    if (!find_folder(resource->controller, under, cgroup, mountinfo, v2, folder, sizeof folder,
                     &top))
        return 0;
    double limit = 0;
    for (;;) {
        limit = tightest(limit, resource->of_folder(folder, v2));
        char *slash = strrchr(folder + top, '/');
        if (!slash) return limit;
        *slash = '\0';
    }
}

static double limit_of(const struct resource *resource, const char *under, const char *cgroup,
                       const char *mountinfo) {
    return tightest(limit_of_hierarchy(resource, under, cgroup, mountinfo, true),
                    limit_of_hierarchy(resource, under, cgroup, mountinfo, false));
}

/* What the kernel says of the process's groups and of mounts: two texts, the second behind the
 * first. free(); NULL without memory. */
enum { TEXT_SIZE = 1 << 18 };
static char *read_texts(const char *root) {
    char *const text = malloc(2 * TEXT_SIZE);
    if (!text) return NULL;
    read_text(root, "/proc/self/cgroup", text, TEXT_SIZE);
    read_text(root, "/proc/self/mountinfo", text + TEXT_SIZE, TEXT_SIZE);
    return text;
}

bool qn_limits_folder(char *folder, size_t size) {
    char *const text = read_texts("");
    size_t top;
    const bool found =
        text && find_folder("cpu", "", text, text + TEXT_SIZE, true, folder, size, &top);
    free(text);
    return found;
}

static double limit_under(const struct resource *resource, const char *root) {
    char *const text = read_texts(root);
    const double limit = text ? limit_of(resource, root, text, text + TEXT_SIZE) : 0;
    free(text);
    return limit;
}

double qn_limits_quota_under(const char *root) {
    return limit_under(&processors, root);
}

double qn_limits_quota(void) {
    return qn_limits_quota_under("");
}

double qn_limits_memory_under(const char *root) {
    return limit_under(&memory, root);
}

double qn_limits_memory(const char *root, bool *limited) {
    const long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    const double physical = pages > 0 && page > 0 ? (double)pages * (double)page : 0;
    const double allowed = qn_limits_memory_under(root);
    *limited = allowed > 0 && (allowed < physical || physical == 0);
    return *limited ? allowed : physical;
}

enum qn_status qn_limits_check_memory(const char *root, size_t size, struct qn_error *err) {
    bool limited;
    const double most = qn_limits_memory(root, &limited);
    if (most == 0 || (double)size <= most) return QN_OK;
    return qn_fail(err, QN_NO_MEMORY, "%.1f GiB of memory are needed; this %s %.1f GiB",
                   (double)size / (1 << 30), limited ? "control group allows" : "machine has",
                   most / (1 << 30));
}
