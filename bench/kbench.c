/* SPDX-License-Identifier: Apache-2.0
 *
 * quern-kbench: every matmul and matvec kernel of the inventory that this machine can run, one
 * thread, held against the measured peak of its instruction set and the measured read bandwidth.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/pack.h"
#include "peak.h"

enum { MAX_LIST = 16 };

struct options {
    uint32_t isas; /* bits of enum qn_isa */
    int form;      /* enum qn_pack, or -1 for all */
    int n[MAX_LIST], k[MAX_LIST], n_shapes;
    int m[MAX_LIST], n_m;
    double seconds;    /* of each measurement */
    size_t cold_bytes; /* footprint of cold weights */
};

/* One stored type of each packed form, the first that has it. */
static enum qn_type form_type(enum qn_pack form) {
    for (int t = 0; t < QN_TYPE_COUNT; t++)
        if (qn_type_infos[t].pack == form) return (enum qn_type)t;
    return QN_TYPE_F32;
}

static void *allocate(size_t size) {
    void *const p = aligned_alloc(64, (size + 63) / 64 * 64);
    if (!p) {
        fprintf(stderr, "quern-kbench: no memory for %zu bytes\n", size);
        exit(1);
    }
    return p;
}

/* Operands of one matmul; `copies` of the weights lie `w_size` bytes apart. */
struct operands {
    struct qn_matmul matmul;
    char *weights;
    size_t w_size;
    int copies;
};

/* Numbers do not matter to the time, except that they are finite and normal: bytes of 0x11 are
 * small floats, halves and quants alike. */
static void make_operands(const struct qn_kernels *kernels, enum qn_pack form, int m, int n, int k,
                          size_t footprint, struct operands *out) {
    const int r = kernels->tile_rows;
    const enum qn_act act = qn_pack_act(form);
    const size_t x_ld = (qn_act_row_size(act, k) + 63) / 64 * 64;
    out->w_size = (size_t)((n + r - 1) / r) * qn_pack_tile_size(form_type(form), r, k);
    out->copies = footprint > out->w_size ? (int)(footprint / out->w_size) : 1;
    out->weights = allocate(out->w_size * (size_t)out->copies);
    memset(out->weights, 0x11, out->w_size * (size_t)out->copies);
    float *const row = allocate((size_t)k * sizeof *row);
    for (int i = 0; i < k; i++) row[i] = (float)(i % 17 - 8);
    char *const x = allocate(x_ld * (size_t)m);
    for (int i = 0; i < m; i++) kernels->prepare[act](row, k, x + (size_t)i * x_ld);
    free(row);
    float *const y = allocate((size_t)m * (size_t)n * sizeof *y);
    memset(y, 0, (size_t)m * (size_t)n * sizeof *y);
    void *const scratch = allocate(qn_matmul_scratch_size(m, k));
    out->matmul = (struct qn_matmul){.w = out->weights,
                                     .x = x,
                                     .x_ld = x_ld,
                                     .y = y,
                                     .y_ld = (size_t)n,
                                     .scratch = scratch,
                                     .m = m,
                                     .k = k,
                                     .n1 = n};
}

static void free_operands(struct operands *o) {
    free(o->weights);
    free((void *)(uintptr_t)o->matmul.x);
    free(o->matmul.y);
    free(o->matmul.scratch);
}

/* Seconds of one call: the least of batches that walk through the copies of the weights. */
static double time_kernel(qn_matmul_fn *kernel, const struct operands *o, double seconds) {
    struct qn_matmul a = o->matmul;
    double best = 1e9, spent = 0;
    int copy = 0, calls = 1;
    while (spent < seconds) {
        const double start = qn_peak_now();
        for (int i = 0; i < calls; i++) {
            a.w = o->weights + (size_t)copy * o->w_size;
            kernel(&a);
            copy = copy + 1 < o->copies ? copy + 1 : 0;
        }
        const double elapsed = qn_peak_now() - start;
        spent += elapsed;
        if (elapsed < 1e-3)
            calls *= 2;
        else if (elapsed / calls < best)
            best = elapsed / calls;
    }
    return best;
}

static void bench_shape(const struct options *options, const struct qn_kernels *kernels,
                        const struct qn_kernel_entry *entry, int m, int n, int k, double peak,
                        double read) {
    const enum qn_pack form = (enum qn_pack)entry->variant;
    const bool matvec = strcmp(entry->op, "matvec") == 0;
    qn_matmul_fn *const kernel = matvec ? kernels->matvec[form] : kernels->matmul[form];
    struct operands hot, cold;
    make_operands(kernels, form, m, n, k, 0, &hot);
    make_operands(kernels, form, m, n, k, options->cold_bytes, &cold);
    const double hot_s = time_kernel(kernel, &hot, options->seconds);
    const double cold_s = time_kernel(kernel, &cold, options->seconds);
    const double ops = 2.0 * m * n * k, bytes = (double)hot.w_size;
    printf("%-7s %-5s %-11s %4d %6d %6d %10.1f %8.1f %5.1f %7.1f %7.1f %5.1f\n", entry->op,
           entry->variant_name + strlen("QN_PACK_"), qn_isa_name(entry->isa), m, n, k, hot_s * 1e6,
           ops / hot_s * 1e-9, peak > 0 ? 100 * ops / hot_s / peak : 0, bytes / hot_s * 1e-9,
           bytes / cold_s * 1e-9, 100 * bytes / cold_s / read);
    fflush(stdout);
    free_operands(&hot);
    free_operands(&cold);
}

static void bench_entry(const struct options *options, const struct qn_kernel_entry *entry,
                        double read) {
    const bool matvec = strcmp(entry->op, "matvec") == 0;
    const enum qn_pack form = (enum qn_pack)entry->variant;
    struct qn_kernels kernels;
    qn_kernels_select(qn_isa_mask(entry->isa), &kernels);
    const double peak = qn_peak_ops(entry->isa, qn_pack_act(form), form == QN_PACK_BF16);
    for (int s = 0; s < options->n_shapes; s++)
        for (int i = 0; i < options->n_m; i++)
            if ((options->m[i] == 1) == matvec)
                bench_shape(options, &kernels, entry, options->m[i], options->n[s], options->k[s],
                            peak, read);
}

static const char usage[] =
    "usage: quern-kbench [-i ISA] [-f FORM] [-s NxK]... [-m M]... [-t SECONDS] [-c MIB]\n"
    "  -i  instruction set; may be repeated (default: all that this machine has)\n"
    "  -f  packed form, Q4_1 (default: all)\n"
    "  -s  shape of the weights (default: 1536x576 4864x896 5632x2048)\n"
    "  -m  rows of activations (default: 1 4 512); 1 runs matvec, more runs matmul\n"
    "  -t  seconds of each measurement (default: 0.05)\n"
    "  -c  MiB of weights that a cold measurement walks through (default: 512)\n";

static int parse_form(const char *name) {
    for (int t = 0; t < QN_TYPE_COUNT; t++)
        if (strcmp(qn_type_infos[t].name, name) == 0) return (int)qn_type_infos[t].pack;
    return strcmp(name, "INT8") == 0 ? QN_PACK_INT8 : -1;
}

/* Takes one option; false when it is wrong. */
static bool set_option(struct options *o, int option, const char *value) {
    enum qn_isa isa;
    switch (option) {
    case 'i':
        if (!qn_isa_parse(value, &isa)) return false;
        o->isas |= 1u << isa;
        return true;
    case 'f':
        o->form = parse_form(value);
        return o->form >= 0;
    case 's':
        return o->n_shapes < MAX_LIST &&
               sscanf(value, "%dx%d", &o->n[o->n_shapes], &o->k[o->n_shapes]) == 2 &&
               o->n[o->n_shapes] > 0 && o->k[o->n_shapes++] > 0;
    case 'm':
        return o->n_m < MAX_LIST && (o->m[o->n_m++] = atoi(value)) > 0;
    case 't':
        return (o->seconds = atof(value)) > 0;
    case 'c':
        o->cold_bytes = (size_t)atoi(value) << 20;
        return true;
    default:
        return false;
    }
}

static void set_defaults(struct options *o) {
    static const int n[] = {1536, 4864, 5632}, k[] = {576, 896, 2048}, m[] = {1, 4, 512};
    if (o->n_shapes == 0) {
        memcpy(o->n, n, sizeof n);
        memcpy(o->k, k, sizeof k);
        o->n_shapes = 3;
    }
    if (o->n_m == 0) {
        memcpy(o->m, m, sizeof m);
        o->n_m = 3;
    }
    if (o->isas == 0) o->isas = ~(1u << QN_ISA_REF);
    o->isas &= qn_cpu_bundles();
}

int main(int argc, char **argv) {
    struct options options = {.form = -1, .seconds = 0.05, .cold_bytes = (size_t)512 << 20};
    for (int option; (option = getopt(argc, argv, "i:f:s:m:t:c:")) != -1;)
        if (!set_option(&options, option, optarg)) {
            fputs(usage, stderr);
            return 2;
        }
    set_defaults(&options);
    const size_t read_size = options.cold_bytes > 0 ? options.cold_bytes : (size_t)64 << 20;
    char *const memory = allocate(read_size);
    memset(memory, 1, read_size);
    const double read = qn_peak_read(memory, read_size);
    free(memory);
    printf("one thread reads %.1f GB/s\n", read * 1e-9);
    printf("op      form  isa            M      N      K   hot us     GOP/s %%peak hot GB/s cold "
           "%%read\n");
    size_t n_entries;
    const struct qn_kernel_entry *const entries = qn_kernel_list(&n_entries);
    for (size_t i = 0; i < n_entries; i++) {
        const struct qn_kernel_entry *const entry = &entries[i];
        if (strcmp(entry->op, "matmul") != 0 && strcmp(entry->op, "matvec") != 0) continue;
        if (!(options.isas >> entry->isa & 1)) continue;
        if (options.form >= 0 && options.form != entry->variant) continue;
        bench_entry(&options, entry, read);
    }
    return 0;
}
