/* SPDX-License-Identifier: Apache-2.0 */
#include "out_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "output.h"

static bool failed(const struct out_file *out, const char *why) {
    out_error("cannot write %s: %s", out->path, why);
    return false;
}

/* ---- what is there already -------------------------------------------------------------- */

/* Is it what stdout or stderr goes to? /dev/stdout may well lead to a regular file. */
static bool is_ours(const struct stat *found) {
    struct stat own;
    for (int fd = STDOUT_FILENO; fd <= STDERR_FILENO; fd++)
        if (fstat(fd, &own) == 0 && own.st_dev == found->st_dev && own.st_ino == found->st_ino)
            return true;
    return false;
}

/* GGUF, safetensors (the header's size in eight bytes, then JSON) and torch's archives begin like
 * nothing that the program writes. */
static bool is_model(const char *path) {
    unsigned char start[9] = {0};
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    const ssize_t n = read(fd, start, sizeof start);
    close(fd);
    if (n != sizeof start) return false;
    return memcmp(start, "GGUF", 4) == 0 || memcmp(start, "PK\x03\x04", 4) == 0 ||
           (start[6] == 0 && start[7] == 0 && start[8] == '{');
}

/* Links are followed, so that they stay. */
static char *place_of(const char *path) {
    char *const found = realpath(path, NULL);
    return found != NULL ? found : strdup(path);
}

/* ---- opening ---------------------------------------------------------------------------- */

static bool open_in_place(struct out_file *out) {
    out->file.fd = open(out->path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    return out->file.fd >= 0 || failed(out, strerror(errno));
}

/* older: the file that is there, or NULL; the new one has its mode, or the usual one. */
static bool open_beside(struct out_file *out, const struct stat *older) {
    if (older != NULL && access(out->path, W_OK) != 0) return failed(out, strerror(errno));
    if (older != NULL && is_model(out->path)) return failed(out, "it is a model");
    out->place = place_of(out->path);
    const int reason = out->place != NULL ? qn_new_file_open(&out->file, out->place) : ENOMEM;
    if (reason != 0) return failed(out, strerror(reason));
    const mode_t mask = umask(0);
    umask(mask);
    fchmod(out->file.fd, older != NULL ? older->st_mode & 0777 : 0666 & ~mask);
    return true;
}

static bool open_file(struct out_file *out) {
    struct stat older;
    if (strcmp(out->path, "-") == 0) {
        out->path = "standard output";
        fflush(stdout);
        out->file.fd = dup(STDOUT_FILENO);
        return out->file.fd >= 0 || failed(out, strerror(errno));
    }
    const bool exists = stat(out->path, &older) == 0;
    if (exists && (!S_ISREG(older.st_mode) || is_ours(&older))) return open_in_place(out);
    return open_beside(out, exists ? &older : NULL);
}

/* For the stream: bytes taken, 0 on failure. stdio keeps that writing failed, not why. */
static ssize_t hand_on(void *cookie, const char *data, size_t size) {
    struct out_file *const out = cookie;
    for (size_t at = 0; out->reason == 0 && at < size;) {
        const ssize_t n = write(out->file.fd, data + at, size - at);
        if (n >= 0)
            at += (size_t)n;
        else if (errno != EINTR)
            out->reason = errno;
    }
    return out->reason == 0 ? (ssize_t)size : 0;
}

/* 0, or errno: the reason, or what failed here. */
static int end_file(struct out_file *out, int reason) {
    if (out->place != NULL)
        reason = qn_new_file_end(&out->file, out->place, reason);
    else if (close(out->file.fd) != 0 && reason == 0)
        reason = errno;
    free(out->place);
    return reason;
}

bool out_file_open(struct out_file *out, const char *path) {
    const cookie_io_functions_t functions = {.write = hand_on};
    *out = (struct out_file){.path = path};
    if (!open_file(out)) {
        free(out->place);
        return false;
    }
    out->stream = fopencookie(out, "w", functions);
    if (out->stream != NULL) return true;
    end_file(out, ENOMEM);
    return failed(out, strerror(ENOMEM));
}

bool out_file_end(struct out_file *out, bool whole) {
    fclose(out->stream); /* what fails is in out->reason */
    const bool told = !whole && out->reason == 0;
    const int reason = end_file(out, told ? ECANCELED : out->reason);
    if (reason == 0) return true;
    return told ? false : failed(out, strerror(reason));
}

/* ---- files beside the report ------------------------------------------------------------ */

static bool is_same(const struct stat *a, const struct stat *b) {
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* The folder that a path leads to, and its last part. */
static bool find_folder(const char *path, struct stat *folder, const char **name) {
    const char *const slash = strrchr(path, '/');
    *name = slash != NULL ? slash + 1 : path;
    char *const text =
        strndup(slash != NULL ? path : "./", slash != NULL ? (size_t)(slash - path + 1) : 2);
    const bool found = text != NULL && stat(text, folder) == 0;
    free(text);
    return found;
}

/* Would what is written to both be mixed? A terminal or /dev/null may be named twice. */
static bool name_one_file(const char *a, const char *b) {
    struct stat x, y;
    const char *p, *q;
    if (strcmp(a, "-") == 0 || strcmp(b, "-") == 0) return strcmp(a, b) == 0;
    if (stat(a, &x) == 0 && stat(b, &y) == 0) return is_same(&x, &y) && !S_ISCHR(x.st_mode);
    return find_folder(a, &x, &p) && find_folder(b, &y, &q) && is_same(&x, &y) && strcmp(p, q) == 0;
}

static bool is_stdout(const char *path) {
    struct stat own, found;
    if (strcmp(path, "-") == 0) return true;
    return fstat(STDOUT_FILENO, &own) == 0 && !S_ISCHR(own.st_mode) && stat(path, &found) == 0 &&
           is_same(&own, &found);
}

bool out_sides_check(const struct out_side *sides, size_t n, const char *document) {
    for (size_t i = 0; i < n; i++) {
        if (sides[i].path == NULL) continue;
        if (document != NULL && is_stdout(sides[i].path)) {
            out_error("%s and %s both write to standard output: give %s a file", document,
                      sides[i].option, sides[i].option);
            return false;
        }
        for (size_t j = 0; j < i; j++)
            if (sides[j].path != NULL && name_one_file(sides[j].path, sides[i].path)) {
                out_error("%s and %s name one file: %s", sides[j].option, sides[i].option,
                          sides[i].path);
                return false;
            }
    }
    return true;
}

bool out_sides_open(struct out_side *sides, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (sides[i].path == NULL) continue;
        sides[i].open = out_file_open(&sides[i].file, sides[i].path);
        if (sides[i].open) continue;
        out_sides_close(sides, i);
        return false;
    }
    return true;
}

bool out_side_write(struct out_side *side, out_writer *write, const void *context) {
    struct qn_error err;
    if (!side->open) return side->path == NULL;
    side->open = false;
    fflush(stdout); /* where it is standard output, it follows the report */
    const enum qn_status status = write(context, side->file.stream, &err);
    if (status != QN_OK) out_error("cannot write %s: %s", side->file.path, err.message);
    return out_file_end(&side->file, status == QN_OK);
}

void out_sides_close(struct out_side *sides, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (sides[i].open) out_file_end(&sides[i].file, false);
        sides[i].open = false;
    }
}
