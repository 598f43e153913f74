/* SPDX-License-Identifier: Apache-2.0
 *
 * Finding a model by path or short name, and opening it with a progress bar.
 */
#ifndef QUERN_TOOLS_LOADER_H
#define QUERN_TOOLS_LOADER_H

#include "options.h"

/* What a path or short name stands for, whether it is there or not, allocated; NULL without memory.
 * A file of the name wins over a short name. */
char *loader_path(const char *name);
/* Path of the model's file, allocated; NULL, with the sentence printed, when there is none.
 * *status is the exit status then. */
char *loader_find(const char *name, int *status);

/* Whether the arguments name an instruction set and a type that there are; else a sentence is
 * printed, and the usage was wrong. */
bool loader_check(const struct model_args *args);

/* Whether kernels of the instruction set that the arguments name can run here; else a sentence is
 * printed, and the usage was wrong. A plan may be of another machine. */
bool loader_has_isa(const struct model_args *args);

/* Opens the model of the arguments, or its vocabulary alone. EXIT_DONE; EXIT_INTERRUPTED after
 * Ctrl-C; or, with the sentence printed, another exit status. */
int loader_open(const struct model_args *args, bool vocab_only, struct quern_model **out);
/* The same, but why the file cannot be opened is left in err and not printed. */
int loader_try(const struct model_args *args, bool vocab_only, struct quern_model **out,
               struct quern_error *err);

#endif
