/* SPDX-License-Identifier: Apache-2.0
 *
 * The machine drawn: packages hold L3 domains, these hold cores, these hardware threads. Boxes
 * have fixed sizes, so a drawing of two machines compares at a glance.
 */
#include "report/doctor.h"
#include "report/markup.h"

enum {
    CORE_W = 74,
    CORE_H = 84,
    GAP = 8,
    PER_ROW = 8, /* cores in a row of an L3 domain */
    TITLE = 22,
    MARGIN = 16,
    HEADER = 58
};

/* Processors [first, end) share a core, an L3 domain or a package: map->processors are in order. */
static int end_of_core(const struct qn_machine_map *m, int first) {
    int i = first;
    while (i < m->n && m->processors[i].core == m->processors[first].core) i++;
    return i;
}

static int end_of_l3(const struct qn_machine_map *m, int first) {
    int i = first;
    const struct qn_processor *const p = &m->processors[first];
    while (i < m->n && m->processors[i].l3 == p->l3 && m->processors[i].package == p->package) i++;
    return i;
}

static int end_of_package(const struct qn_machine_map *m, int first) {
    int i = first;
    while (i < m->n && m->processors[i].package == m->processors[first].package) i++;
    return i;
}

static int count_cores(const struct qn_machine_map *m, int first, int end) {
    int n = 0;
    for (int i = first; i < end; i = end_of_core(m, i)) n++;
    return n;
}

static int l3_width(const struct qn_machine_map *m) {
    int most = 1;
    for (int i = 0; i < m->n; i = end_of_l3(m, i)) {
        const int n = count_cores(m, i, end_of_l3(m, i));
        if (n > most) most = n;
    }
    if (most > PER_ROW) most = PER_ROW;
    return most * (CORE_W + GAP) + GAP;
}

static int l3_height(const struct qn_machine_map *m, int first, int end) {
    const int rows = (count_cores(m, first, end) + PER_ROW - 1) / PER_ROW;
    return TITLE + rows * (CORE_H + GAP) + GAP;
}

static int package_height(const struct qn_machine_map *m, int first, int end) {
    int height = TITLE + GAP;
    for (int i = first; i < end; i = end_of_l3(m, i))
        height += l3_height(m, i, end_of_l3(m, i)) + GAP;
    return height;
}

static void draw_box(FILE *out, int x, int y, int w, int h, const char *class) {
    fprintf(out, "<rect class=\"%s\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"4\"/>\n",
            class, x, y, w, h);
}

static void draw_core(const struct qn_doctor *d, FILE *out, int first, int end, int x, int y) {
    const struct qn_machine_map *const m = &d->map;
    int worker = -1;
    bool allowed = false;
    for (int i = first; i < end; i++) {
        allowed |= m->processors[i].allowed;
        if (worker < 0) worker = qn_doctor_worker_of(d, m->processors[i].cpu);
    }
    draw_box(out, x, y, CORE_W, CORE_H, worker >= 0 ? "core used" : allowed ? "core" : "core out");
    fprintf(out, "<text x=\"%d\" y=\"%d\">core %d%s</text>\n", x + 6, y + 15,
            m->processors[first].core,
            m->n_kinds < 2                  ? ""
            : m->processors[first].kind > 0 ? " fast"
                                            : " slow");
    const int width = (CORE_W - 12) / (end - first);
    for (int i = first; i < end; i++) {
        const int at = x + 6 + (i - first) * width;
        const bool chosen = qn_doctor_worker_of(d, m->processors[i].cpu) >= 0;
        draw_box(out, at, y + 22, width - 2, 22, chosen ? "thread used" : "thread");
        fprintf(out, "<text class=\"%s\" x=\"%d\" y=\"%d\">%d</text>\n", chosen ? "in mid" : "mid",
                at + (width - 2) / 2, y + 37, m->processors[i].cpu);
    }
    if (worker >= 0)
        fprintf(out,
                "<text x=\"%d\" y=\"%d\">worker %d</text>\n"
                "<text class=\"group\" x=\"%d\" y=\"%d\">group %d</text>\n",
                x + 6, y + 60, worker, x + 6, y + 76, qn_groups_find(d->group_starts, worker));
    else if (!allowed)
        fprintf(out, "<text x=\"%d\" y=\"%d\">not ours</text>\n", x + 6, y + 60);
}

static void draw_l3(const struct qn_doctor *d, FILE *out, int first, int end, int x, int y,
                    int width) {
    const struct qn_processor *const p = &d->map.processors[first];
    draw_box(out, x, y, width, l3_height(&d->map, first, end), "l3");
    if (p->l3_size > 0)
        fprintf(out, "<text x=\"%d\" y=\"%d\">L3 %d: %zu MiB · NUMA node %d</text>\n", x + GAP,
                y + 15, p->l3, p->l3_size >> 20, p->numa);
    else
        fprintf(out, "<text x=\"%d\" y=\"%d\">NUMA node %d</text>\n", x + GAP, y + 15, p->numa);
    int n = 0;
    for (int i = first; i < end; n++) {
        const int stop = end_of_core(&d->map, i);
        draw_core(d, out, i, stop, x + GAP + n % PER_ROW * (CORE_W + GAP),
                  y + TITLE + n / PER_ROW * (CORE_H + GAP));
        i = stop;
    }
}

static void draw_header(const struct qn_doctor *d, FILE *out, int width, int height) {
    fprintf(out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
            "viewBox=\"0 0 %d %d\">\n"
            "<style>text{font:11px sans-serif;fill:#222}.h{font-size:15px;font-weight:bold}"
            ".mid{text-anchor:middle}.in{fill:#fff}rect{stroke:#8a8f98;fill:#fff}"
            ".package{fill:#f3f4f6}.l3{fill:#e6e9ee}.core.used{fill:#d7ebd9;stroke:#2e7d32;"
            "stroke-width:2}.core.out{fill:#ddd;stroke-dasharray:3}.thread.used{fill:#2e7d32}"
            "</style>\n<rect width=\"%d\" height=\"%d\" style=\"stroke:none\"/>\n",
            width, height, width, height, width, height);
    fprintf(out, "<text class=\"h\" x=\"%d\" y=\"26\">", MARGIN);
    qn_put_text(d->key.cpu, out);
    fprintf(out,
            "</text>\n<text x=\"%d\" y=\"45\">green: the %d core%s that Quern's threads are "
            "pinned to; those of a group meet first</text>\n",
            MARGIN, d->topology.n_default, d->topology.n_default == 1 ? "" : "s");
}

void qn_doctor_draw(const struct qn_doctor *doctor, FILE *out) {
    const struct qn_machine_map *const m = &doctor->map;
    const int l3 = l3_width(m);
    int width = l3 + 2 * GAP + 2 * MARGIN, height = HEADER + MARGIN;
    if (width < 500) width = 500; /* the header's text */
    for (int i = 0; i < m->n; i = end_of_package(m, i))
        height += package_height(m, i, end_of_package(m, i)) + GAP;
    draw_header(doctor, out, width, height);
    int y = HEADER;
    for (int i = 0; i < m->n;) {
        const int end = end_of_package(m, i), h = package_height(m, i, end);
        draw_box(out, MARGIN, y, l3 + 2 * GAP, h, "package");
        fprintf(out, "<text x=\"%d\" y=\"%d\">package %d</text>\n", MARGIN + GAP, y + 15,
                m->processors[i].package);
        int at = y + TITLE;
        while (i < end) {
            const int stop = end_of_l3(m, i);
            draw_l3(doctor, out, i, stop, MARGIN + GAP, at, l3);
            at += l3_height(m, i, stop) + GAP;
            i = stop;
        }
        y += h + GAP;
    }
    fputs("</svg>\n", out);
}
