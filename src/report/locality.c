/* SPDX-License-Identifier: Apache-2.0 */
#include "report/locality.h"

#include <stdio.h>
#include <stdlib.h>

#include "host/pages.h"
#include "run/division.h"

/* Of each thread's part of a matrix: enough to see a part that lies elsewhere. */
enum { SAMPLES = 4 };

static void count(const struct qn_model *model, char *start, size_t size, int thread,
                  struct qn_locality *locality) {
    void *addresses[SAMPLES];
    int nodes[SAMPLES];
    for (size_t i = 0; i < SAMPLES; i++) addresses[i] = start + size * (2 * i + 1) / (2 * SAMPLES);
    locality->known = locality->known && qn_pages_nodes(addresses, SAMPLES, nodes);
    if (!locality->known) return;
    const struct qn_topology *const t = &model->topology;
    for (int i = 0; i < SAMPLES; i++) {
        if (nodes[i] < 0 || nodes[i] >= QN_LOCALITY_NODES) continue;
        locality->n_pages++;
        locality->on_node[nodes[i]]++;
        /* A thread beyond the cores floats: nothing is near to it. */
        locality->n_local += thread < t->n_cores && t->cores[thread].numa == nodes[i];
    }
}

enum qn_status qn_locality_read(const struct qn_model *model, struct qn_locality *locality,
                                struct qn_error *err) {
    const struct qn_spec *const spec = &model->spec;
    const size_t row = (size_t)model->n_threads + 1;
    *locality = (struct qn_locality){.known = true};
    int *const cuts = calloc(spec->n_weights * row, sizeof *cuts);
    if (!cuts) return qn_fail(err, QN_NO_MEMORY, "no memory to look at the weights' pages");
    const enum qn_status status = qn_division_tiles(spec, model->n_threads, cuts, err);
    for (size_t i = 0; status == QN_OK && i < spec->n_weights; i++) {
        const struct qn_weight *const w = &spec->weights[i];
        if (!w->tile_size || !w->n_parts) continue;
        for (int t = 0; t < model->n_threads; t++) {
            const int first = cuts[i * row + (size_t)t], end = cuts[i * row + (size_t)t + 1];
            if (first < end)
                count(model, model->arena.data + w->offset + (size_t)first * w->tile_size,
                      (size_t)(end - first) * w->tile_size, t, locality);
        }
    }
    free(cuts);
    return status;
}

void qn_locality_describe(const struct qn_locality *locality, char *text, size_t size) {
    int first = -1, last = -1, n = 0;
    for (int i = 0; i < QN_LOCALITY_NODES; i++) {
        if (!locality->on_node[i]) continue;
        if (first < 0) first = i;
        last = i;
        n++;
    }
    if (!locality->known || n == 0)
        snprintf(text, size, "not shown");
    else if (n == 1)
        snprintf(text, size, "node %d", first);
    else
        snprintf(text, size, "%d nodes from %d to %d, %.0f %% near their threads", n, first, last,
                 100.0 * (double)locality->n_local / (double)locality->n_pages);
}
