/* SPDX-License-Identifier: Apache-2.0
 *
 * Loading kernels of users, and checking what they say of themselves.
 */
#include "report/plugin.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "report/quern_kernel.h"

/* The public structs are the internal ones: pointers are handed through. */
#define SAME_FIELD(field)                                                                          \
    _Static_assert(offsetof(struct quern_matmul, field) == offsetof(struct qn_matmul, field),      \
                   #field)
_Static_assert(sizeof(struct quern_matmul) == sizeof(struct qn_matmul), "struct quern_matmul");
_Static_assert(sizeof(struct quern_block) == sizeof(struct qn_act_block), "struct quern_block");
_Static_assert(sizeof(struct quern_halves) == sizeof(struct qn_act_halves), "struct quern_halves");
SAME_FIELD(x_ld);
SAME_FIELD(y);
SAME_FIELD(bias);
SAME_FIELD(scratch);
SAME_FIELD(k);
SAME_FIELD(n1);
SAME_FIELD(accumulate);
SAME_FIELD(amd);

/* A call through the public type; only the pointer's type differs. */
typedef void public_matmul(const struct quern_matmul *a);

static qn_matmul_fn *as_matmul(public_matmul *function) {
    qn_matmul_fn *internal;
    memcpy(&internal, &function, sizeof internal);
    return internal;
}

/* Puts the function into its slot; false for an operation that plug-ins cannot be. */
static bool place(const struct quern_kernel *user, int slot, struct qn_kernels *table) {
    if (strcmp(user->op, "matmul") == 0)
        table->matmul[slot] = as_matmul(user->run.matmul);
    else if (strcmp(user->op, "matvec") == 0)
        table->matvec[slot] = as_matmul(user->run.matmul);
    else if (strcmp(user->op, "norm") == 0)
        table->norm[slot] = user->run.norm;
    else if (strcmp(user->op, "softmax") == 0)
        table->softmax[slot] = user->run.softmax;
    else if (strcmp(user->op, "rope") == 0)
        table->rope[slot] = user->run.rope;
    else if (strcmp(user->op, "activation") == 0)
        table->activation[slot] = user->run.activation;
    else if (strcmp(user->op, "add_scaled") == 0)
        table->add_scaled[slot] = user->run.add_scaled;
    else if (strcmp(user->op, "softcap") == 0)
        table->softcap[slot] = user->run.softcap;
    else if (strcmp(user->op, "add") == 0)
        table->add[slot] = user->run.add;
    else
        return false;
    return true;
}

/* The inventory's slot of an operation and variant, or -1. */
static int find_slot(const char *op, const char *variant) {
    size_t n;
    const struct qn_kernel_entry *const entries = qn_kernel_list(&n);
    for (size_t i = 0; i < n; i++)
        if (strcmp(entries[i].op, op) == 0 &&
            strcmp(qn_lab_variant(entries[i].variant_name), variant) == 0)
            return entries[i].variant;
    return -1;
}

static enum qn_status check_isa(const char *path, const char *name, enum qn_isa *isa,
                                struct qn_error *err) {
    if (!qn_isa_parse(name, isa))
        return qn_fail(err, QN_BAD_FILE, "%s: there is no instruction set '%s'", path, name);
    if (qn_cpu_bundles() >> *isa & 1) return QN_OK;
    return qn_fail(err, QN_UNSUPPORTED, "%s: needs %s, which this processor does not have", path,
                   name);
}

static enum qn_status adopt(const char *path, const struct quern_kernel *user,
                            struct qn_lab_kernel *kernel, struct qn_error *err) {
    if (user->abi != QUERN_KERNEL_ABI)
        return qn_fail(err, QN_BAD_FILE, "%s: made for version %u of quern_kernel.h; this is %d",
                       path, user->abi, QUERN_KERNEL_ABI);
    if (!user->name || !user->op || !user->variant || !user->isa || !user->run.matmul)
        return qn_fail(err, QN_BAD_FILE, "%s: name, op, variant, isa or function is missing", path);
    *kernel = (struct qn_lab_kernel){.op = user->op,
                                     .variant = user->variant,
                                     .function = user->name,
                                     .slot = find_slot(user->op, user->variant)};
    if (kernel->slot < 0)
        return qn_fail(err, QN_BAD_FILE,
                       "%s: there is no operation '%s' of variant '%s' (see kbench --list)", path,
                       user->op, user->variant);
    QN_TRY(check_isa(path, user->isa, &kernel->isa, err));
    /* Rows as quern_kernel.h describes them, not those for bf16 tiles. */
    const uint32_t tiles = 1u << QN_ISA_AMXBF16 | 1u << QN_ISA_AMXFAST;
    qn_kernels_select(qn_cpu_bundles() & ~tiles, &kernel->table);
    if (strncmp(user->op, "mat", 3) == 0) {
        if (user->tile_rows != 8 && user->tile_rows != 16)
            return qn_fail(err, QN_BAD_FILE, "%s: tile_rows is %u; it must be 8 or 16", path,
                           user->tile_rows);
        kernel->table.tile_rows = (int)user->tile_rows;
    }
    if (place(user, kernel->slot, &kernel->table)) return QN_OK;
    return qn_fail(err, QN_BAD_FILE, "%s: kernels of '%s' cannot be plugged in", path, user->op);
}

enum qn_status qn_plugin_open(const char *path, struct qn_plugin *plugin, struct qn_error *err) {
    *plugin = (struct qn_plugin){.handle = NULL};
    char local[4096];
    if (snprintf(local, sizeof local, "%s%s", strchr(path, '/') ? "" : "./", path) >=
        (int)sizeof local)
        return qn_fail(err, QN_NOT_FOUND, "%s: the path is too long", path);
    plugin->handle = dlopen(local, RTLD_NOW | RTLD_LOCAL);
    if (!plugin->handle)
        return qn_fail(err, QN_NOT_FOUND, "%s: cannot be loaded: %s", path, dlerror());
    const struct quern_kernel *const user = dlsym(plugin->handle, "quern_kernel");
    const enum qn_status status =
        user ? adopt(path, user, &plugin->kernel, err)
             : qn_fail(err, QN_NOT_FOUND, "%s: does not export quern_kernel", path);
    if (status != QN_OK) qn_plugin_close(plugin);
    return status;
}

void qn_plugin_close(struct qn_plugin *plugin) {
    if (plugin->handle) dlclose(plugin->handle);
    plugin->handle = NULL;
}
