/* SPDX-License-Identifier: Apache-2.0
 *
 * A reader of the pickles that torch.save writes: Python's pickle protocol 2, of which it knows
 * the instructions that containers of tensors need, and the few functions and classes that such a
 * container refers to. A pickle is a program; here it runs nothing. Its instructions move tagged
 * values, a call is recorded as the values it was made with, and any other instruction or name is
 * refused by name. Work and memory are bounded by the pickle's size.
 */
#ifndef QN_FORMATS_PICKLE_H
#define QN_FORMATS_PICKLE_H

#include "formats/tensor_file.h"

enum qn_pickle_tag {
    QN_PICKLE_MARK, /* only on the stack while the pickle is read */
    QN_PICKLE_NONE, /* also numbers that are not integers: nothing here has a use for them */
    QN_PICKLE_BOOL,
    QN_PICKLE_INTEGER,
    QN_PICKLE_STRING,
    QN_PICKLE_GLOBAL,
    QN_PICKLE_TUPLE,
    QN_PICKLE_LIST,    /* elements are not kept */
    QN_PICKLE_DICT,    /* or OrderedDict */
    QN_PICKLE_STORAGE, /* the tuple that names it: 'storage', class, key, device, elements */
    QN_PICKLE_TENSOR,  /* the arguments it was to be rebuilt from */
};

/* What a name in a pickle stands for. */
struct qn_pickle_global {
    const char *name; /* "torch.FloatStorage" */
    enum qn_pickle_kind {
        QN_PICKLE_ORDERED_DICT,
        QN_PICKLE_REBUILD_TENSOR,    /* _rebuild_tensor_v2: element type by the storage's class */
        QN_PICKLE_REBUILD_WITH_TYPE, /* _rebuild_tensor_v3: element type by its argument */
        QN_PICKLE_REBUILD_PARAMETER,
        QN_PICKLE_STORAGE_CLASS,
        QN_PICKLE_UNTYPED_STORAGE, /* counted in bytes */
        QN_PICKLE_ELEMENT_TYPE,
    } kind;
    struct qn_element element; /* of storage classes and element types */
};

struct qn_pickle_value {
    enum qn_pickle_tag tag;
    uint32_t size; /* of a string, in bytes; of a tuple, storage or tensor, in items */
    union {
        int64_t integer;
        const char *string; /* in the pickle, not terminated */
        const struct qn_pickle_global *global;
        size_t index; /* in items: of the first item, or of a dict's two links (see pickle.c) */
    };
};

struct qn_pickle {
    struct qn_pickle_value root;
    struct qn_pickle_value *items;
};

/* Reads the pickle at bytes [offset, offset + size) of the file. Errors: QN_BAD_FILE,
 * QN_UNSUPPORTED (an instruction, name or protocol that is not known), QN_NO_MEMORY. */
enum qn_status qn_pickle_read(const struct qn_tensor_file *file, size_t offset, size_t size,
                              struct qn_pickle *pickle, struct qn_error *err);
void qn_pickle_free(struct qn_pickle *pickle); /* a zeroed struct counts as free */

/* The items of a tuple, storage or tensor: [value->size]. */
const struct qn_pickle_value *qn_pickle_items(const struct qn_pickle *pickle,
                                              const struct qn_pickle_value *value);
/* Walks a dict in the order it was filled: *cursor starts at 0. False at its end. */
bool qn_pickle_next(const struct qn_pickle *pickle, const struct qn_pickle_value *dict,
                    size_t *cursor, const struct qn_pickle_value **key,
                    const struct qn_pickle_value **value);

#endif
