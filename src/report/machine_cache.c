/* SPDX-License-Identifier: Apache-2.0
 *
 * The cache of measured limits.
 */
#include "report/machine_cache.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cache_folder.h"
#include "report/cache_file.h"

/* ---- the key ---- */

/* The text after the colon of the first line that begins with `name`; "" when there is none. */
static void read_field(FILE *file, const char *name, char *out, size_t size) {
    char line[512];
    out[0] = '\0';
    rewind(file);
    while (fgets(line, sizeof line, file)) {
        const char *colon = strchr(line, ':');
        if (strncmp(line, name, strlen(name)) != 0 || !colon) continue;
        colon += 1 + strspn(colon + 1, " \t");
        snprintf(out, size, "%.*s", (int)strcspn(colon, "\n"), colon);
        return;
    }
}

void qn_machine_key_read(const char *root, const struct qn_kernels *kernels,
                         const struct qn_topology *topology, int n_threads,
                         struct qn_machine_key *key) {
    *key = (struct qn_machine_key){.cpu = "unknown",
                                   .isa = kernels->isa,
                                   .bundles = kernels->bundles,
                                   .n_threads = n_threads,
                                   .n_processors = topology->n_allowed,
                                   .caches = qn_topology_caches(topology, n_threads)};
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/proc/cpuinfo", root);
    FILE *file = fopen(path, "re");
    if (!file) return;
    read_field(file, "model name", key->cpu, sizeof key->cpu);
    if (!key->cpu[0]) read_field(file, "CPU part", key->cpu, sizeof key->cpu); /* ARM */
    if (!key->cpu[0]) snprintf(key->cpu, sizeof key->cpu, "unknown");
    read_field(file, "microcode", key->microcode, sizeof key->microcode);
    fclose(file);
}

void qn_machine_key_text(const struct qn_machine_key *key, char *text, size_t size) {
    snprintf(text, size, "%s|%s|%x|%d|%d", key->cpu, key->microcode, key->bundles, key->n_threads,
             key->n_processors);
}

bool qn_machine_cache_folder(char *folder, size_t size) {
    return qn_folder_of_caches("", folder, size);
}

/* What names the file. */
static bool file_name(const char *folder, const struct qn_machine_key *key, char *path,
                      size_t size) {
    char text[256];
    qn_machine_key_text(key, text, sizeof text);
    return qn_cache_path(folder, "machine", text, path, size);
}

/* ---- figures as JSON ---- */

static json_t *rate_to_json(const struct qn_rate *rate) {
    return json_pack("{s:f, s:f, s:i, s:i}", "best", rate->best, "median", rate->median, "runs",
                     rate->n_runs, "clean", rate->n_clean);
}

static bool rate_from_json(json_t *value, struct qn_rate *rate) {
    return json_unpack(value, "{s:F, s:F, s:i, s:i}", "best", &rate->best, "median", &rate->median,
                       "runs", &rate->n_runs, "clean", &rate->n_clean) == 0 &&
           rate->best >= 0 && rate->best < 1e9;
}

static json_t *caches_to_json(const struct qn_caches *caches) {
    return json_pack("{s:I, s:I, s:I}", "l1", (json_int_t)caches->l1, "l2", (json_int_t)caches->l2,
                     "l3", (json_int_t)caches->l3);
}

static bool caches_from_json(json_t *value, struct qn_caches *caches) {
    json_int_t l1, l2, l3;
    if (json_unpack(value, "{s:I, s:I, s:I}", "l1", &l1, "l2", &l2, "l3", &l3) != 0) return false;
    *caches = (struct qn_caches){(size_t)l1, (size_t)l2, (size_t)l3};
    return true;
}

static bool same_caches(const struct qn_caches *a, const struct qn_caches *b) {
    return a->l1 == b->l1 && a->l2 == b->l2 && a->l3 == b->l3;
}

static json_t *limits_to_json(const struct qn_machine_limits *limits) {
    json_t *object = json_object();
    json_object_set_new(object, "caches", caches_to_json(&limits->caches));
    json_object_set_new(object, "clock", rate_to_json(&limits->clock));
    for (int i = 0; i < QN_LEVEL_COUNT; i++)
        json_object_set_new(object, qn_level_name((enum qn_level)i),
                            rate_to_json(&limits->read[i]));
    for (int i = 0; i < QN_PEAK_COUNT; i++)
        json_object_set_new(object, qn_peak_name((enum qn_peak)i), rate_to_json(&limits->peak[i]));
    return object;
}

static bool limits_from_json(const json_t *object, const struct qn_machine_key *key, int n_threads,
                             struct qn_machine_limits *limits) {
    *limits = (struct qn_machine_limits){.n_threads = n_threads, .bundles = key->bundles};
    if (!caches_from_json(json_object_get(object, "caches"), &limits->caches) ||
        !rate_from_json(json_object_get(object, "clock"), &limits->clock))
        return false;
    for (int i = 0; i < QN_LEVEL_COUNT; i++)
        if (!rate_from_json(json_object_get(object, qn_level_name((enum qn_level)i)),
                            &limits->read[i]))
            return false;
    for (int i = 0; i < QN_PEAK_COUNT; i++)
        if (!rate_from_json(json_object_get(object, qn_peak_name((enum qn_peak)i)),
                            &limits->peak[i]))
            return false;
    return true;
}

static json_t *to_json(const struct qn_machine_key *key, const struct qn_machine_figures *figures) {
    return json_pack("{s:s, s:s, s:I, s:i, s:i, s:I, s:o, s:o}", "cpu", key->cpu, "microcode",
                     key->microcode, "bundles", (json_int_t)key->bundles, "threads", key->n_threads,
                     "processors", key->n_processors, "measured_at",
                     (json_int_t)figures->measured_at, "one", limits_to_json(&figures->one), "all",
                     limits_to_json(&figures->all));
}

static bool same_text(const json_t *object, const char *name, const char *text) {
    const char *const found = json_string_value(json_object_get(object, name));
    return found && strcmp(found, text) == 0;
}

bool qn_machine_cache_read(const char *folder, const struct qn_machine_key *key,
                           struct qn_machine_figures *figures) {
    char path[PATH_MAX];
    if (!file_name(folder, key, path, sizeof path)) return false;
    json_t *const object = json_load_file(path, JSON_REJECT_DUPLICATES, NULL);
    if (!object) return false;
    const json_t *const when = json_object_get(object, "measured_at");
    const bool ours =
        same_text(object, "cpu", key->cpu) && same_text(object, "microcode", key->microcode) &&
        json_integer_value(json_object_get(object, "bundles")) == key->bundles &&
        json_is_integer(when) &&
        limits_from_json(json_object_get(object, "one"), key, 1, &figures->one) &&
        limits_from_json(json_object_get(object, "all"), key, key->n_threads, &figures->all) &&
        /* Bandwidth was measured where these sizes say: of others, it is of another place. */
        same_caches(&figures->all.caches, &key->caches);
    figures->measured_at = json_integer_value(when);
    json_decref(object);
    return ours;
}

/* ---- writing ---- */

enum qn_status qn_machine_cache_write(const char *folder, const struct qn_machine_key *key,
                                      const struct qn_machine_figures *figures,
                                      struct qn_error *err) {
    char path[PATH_MAX];
    json_t *const object = to_json(key, figures);
    if (!object) return qn_fail(err, QN_NO_MEMORY, "no memory for the figures of this machine");
    const bool named = file_name(folder, key, path, sizeof path);
    const bool done = named && qn_cache_write(folder, path, object);
    const int reason = named ? errno : ENAMETOOLONG;
    json_decref(object);
    if (done) return QN_OK;
    return qn_fail(err, QN_IO, "the figures of this machine cannot be kept in %s: %s", folder,
                   strerror(reason));
}

/* ---- both ---- */

static enum qn_status measure_on(const struct qn_topology *topology, int n_threads,
                                 uint32_t bundles, struct qn_machine_limits *limits,
                                 struct qn_error *err) {
    const struct qn_pool_options options = {.n_threads = n_threads, .pin = true};
    struct qn_pool *pool;
    QN_TRY(qn_pool_new(topology, &options, &pool, err));
    const enum qn_status status = qn_machine_measure(pool, bundles, limits, err);
    qn_pool_free(pool);
    return status;
}

enum qn_status qn_machine_figures_get(const char *folder, bool fresh,
                                      const struct qn_machine_key *key,
                                      const struct qn_topology *topology,
                                      struct qn_machine_figures *figures, struct qn_error *err) {
    figures->unkept = (struct qn_error){.status = QN_OK};
    if (folder && !fresh && qn_machine_cache_read(folder, key, figures)) return QN_OK;
    QN_TRY(measure_on(topology, 1, key->bundles, &figures->one, err));
    if (key->n_threads > 1)
        QN_TRY(measure_on(topology, key->n_threads, key->bundles, &figures->all, err));
    else
        figures->all = figures->one;
    figures->measured_at = (long long)time(NULL);
    if (folder) qn_machine_cache_write(folder, key, figures, &figures->unkept);
    return QN_OK;
}
