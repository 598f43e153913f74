/* SPDX-License-Identifier: Apache-2.0
 *
 * The machine that a pickle is a program for: a stack, a memo of values to be used again, and one
 * array in which containers keep their items. Every instruction takes at least a byte and adds at
 * most three items, so all of them are bounded by the pickle's size.
 *
 * A dict is two items that hold indexes (first, last) of a chain of entries, each of three items:
 * key, value, index of the next entry. Index 0 ends a chain: no entry lies there, because the
 * links of its dict come before it.
 */
#include "formats/pickle.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers are read as they are stored");

enum { MAX_SIZE = 64 << 20 }; /* 70 000 tensors, the most known in a model, take 20 MB */

/* ---- names ---- */

#define STORAGE(class, name, bits, type)                                                           \
    {                                                                                              \
        "torch." class "Storage", QN_PICKLE_STORAGE_CLASS, {                                       \
            name, bits, type                                                                       \
        }                                                                                          \
    }
#define ELEMENT(dtype, name, bits)                                                                 \
    {                                                                                              \
        "torch." dtype, QN_PICKLE_ELEMENT_TYPE, {                                                  \
            name, bits, QN_TYPE_COUNT                                                              \
        }                                                                                          \
    }

/* Elements have the names that safetensors gives them. */
static const struct qn_pickle_global globals[] = {
    {"collections.OrderedDict", QN_PICKLE_ORDERED_DICT, {0}},
    {"torch._utils._rebuild_tensor_v2", QN_PICKLE_REBUILD_TENSOR, {0}},
    {"torch._utils._rebuild_tensor_v3", QN_PICKLE_REBUILD_WITH_TYPE, {0}},
    {"torch._utils._rebuild_parameter", QN_PICKLE_REBUILD_PARAMETER, {0}},
    {"torch.storage.UntypedStorage", QN_PICKLE_UNTYPED_STORAGE, {0}},
    STORAGE("Float", "F32", 32, QN_TYPE_F32),
    STORAGE("Half", "F16", 16, QN_TYPE_F16),
    STORAGE("BFloat16", "BF16", 16, QN_TYPE_BF16),
    STORAGE("Double", "F64", 64, QN_TYPE_COUNT),
    STORAGE("Long", "I64", 64, QN_TYPE_COUNT),
    STORAGE("Int", "I32", 32, QN_TYPE_COUNT),
    STORAGE("Short", "I16", 16, QN_TYPE_COUNT),
    STORAGE("Char", "I8", 8, QN_TYPE_COUNT),
    STORAGE("Byte", "U8", 8, QN_TYPE_COUNT),
    STORAGE("Bool", "BOOL", 8, QN_TYPE_COUNT),
    STORAGE("ComplexFloat", "C64", 64, QN_TYPE_COUNT),
    ELEMENT("uint16", "U16", 16),
    ELEMENT("uint32", "U32", 32),
    ELEMENT("uint64", "U64", 64),
    ELEMENT("float8_e4m3fn", "F8_E4M3", 8),
    ELEMENT("float8_e5m2", "F8_E5M2", 8),
    ELEMENT("float8_e8m0fnu", "F8_E8M0", 8),
};

/* ---- the machine ---- */

struct values {
    size_t n, capacity;
    struct qn_pickle_value *data; /* [n] */
};

struct machine {
    const struct qn_tensor_file *file;
    const uint8_t *data; /* [size] */
    size_t size;
    size_t at;          /* the next byte */
    size_t instruction; /* the byte at which the present instruction starts */
    bool stopped;
    struct values stack, memo, items;
    struct qn_error *err;
};

/* "PATH: pickle, byte N: MESSAGE". */
static enum qn_status fail(const struct machine *m, enum qn_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4), cold));

static enum qn_status fail(const struct machine *m, enum qn_status status, const char *format,
                           ...) {
    char message[256];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    return qn_tensor_file_fail(m->file, m->err, status, "pickle, byte %zu: %s", m->instruction,
                               message);
}

static enum qn_status append(const struct machine *m, struct values *values,
                             struct qn_pickle_value value) {
    if (values->n == values->capacity) {
        const size_t capacity = values->n ? 2 * values->n : 64;
        struct qn_pickle_value *const data = realloc(values->data, capacity * sizeof *data);
        if (!data) return fail(m, QN_NO_MEMORY, "no memory for %zu values", capacity);
        values->data = data;
        values->capacity = capacity;
    }
    values->data[values->n++] = value;
    return QN_OK;
}

static enum qn_status push(struct machine *m, struct qn_pickle_value value) {
    return append(m, &m->stack, value);
}

static enum qn_status push_plain(struct machine *m, enum qn_pickle_tag tag, int64_t integer) {
    return push(m, (struct qn_pickle_value){.tag = tag, .integer = integer});
}

/* Takes the top `n` values off the stack; *taken [n] stay where they are until the next push. */
static enum qn_status pop(struct machine *m, size_t n, const struct qn_pickle_value **taken) {
    if (m->stack.n < n) return fail(m, QN_BAD_FILE, "takes values from an empty stack");
    m->stack.n -= n;
    *taken = m->stack.data + m->stack.n;
    for (size_t i = 0; i < n; i++)
        if ((*taken)[i].tag == QN_PICKLE_MARK)
            return fail(m, QN_BAD_FILE, "takes a mark for a value");
    return QN_OK;
}

/* Takes everything above the topmost mark, and the mark. */
static enum qn_status pop_to_mark(struct machine *m, const struct qn_pickle_value **taken,
                                  size_t *n) {
    size_t first = m->stack.n;
    while (first > 0 && m->stack.data[first - 1].tag != QN_PICKLE_MARK) first--;
    if (first == 0) return fail(m, QN_BAD_FILE, "needs a mark on the stack");
    *taken = m->stack.data + first;
    *n = m->stack.n - first;
    m->stack.n = first - 1;
    return QN_OK;
}

/* The value on top, which stays. */
static enum qn_status top(const struct machine *m, enum qn_pickle_tag tag, const char *what,
                          struct qn_pickle_value *value) {
    if (m->stack.n == 0) return fail(m, QN_BAD_FILE, "takes values from an empty stack");
    *value = m->stack.data[m->stack.n - 1];
    return value->tag == tag ? QN_OK : fail(m, QN_BAD_FILE, "needs %s on the stack", what);
}

/* ---- operands ---- */

static enum qn_status operand(struct machine *m, size_t size, const uint8_t **bytes) {
    if (size > m->size - m->at) return fail(m, QN_BAD_FILE, "the pickle ends within it");
    *bytes = m->data + m->at;
    m->at += size;
    return QN_OK;
}

static enum qn_status operand_number(struct machine *m, size_t size, uint64_t *number) {
    const uint8_t *bytes = NULL;
    QN_TRY(operand(m, size, &bytes));
    *number = 0;
    memcpy(number, bytes, size);
    return QN_OK;
}

/* ---- instructions: constants ---- */

static enum qn_status protocol(struct machine *m) {
    uint64_t number = 0;
    QN_TRY(operand_number(m, 1, &number));
    if (number == 2) return QN_OK;
    return fail(m, QN_UNSUPPORTED, "is of protocol %u; this build reads 2, which torch.save writes",
                (unsigned)number);
}

static enum qn_status push_none(struct machine *m) {
    return push_plain(m, QN_PICKLE_NONE, 0);
}

static enum qn_status push_true(struct machine *m) {
    return push_plain(m, QN_PICKLE_BOOL, 1);
}

static enum qn_status push_false(struct machine *m) {
    return push_plain(m, QN_PICKLE_BOOL, 0);
}

static enum qn_status push_unsigned(struct machine *m, size_t size) {
    uint64_t number = 0;
    QN_TRY(operand_number(m, size, &number));
    return push_plain(m, QN_PICKLE_INTEGER, (int64_t)number);
}

static enum qn_status push_u8(struct machine *m) {
    return push_unsigned(m, 1);
}

static enum qn_status push_u16(struct machine *m) {
    return push_unsigned(m, 2);
}

static enum qn_status push_i32(struct machine *m) {
    uint64_t number = 0;
    QN_TRY(operand_number(m, 4, &number));
    return push_plain(m, QN_PICKLE_INTEGER, (int32_t)(uint32_t)number);
}

/* An integer of as many bytes as the first says, the last with the sign. */
static enum qn_status push_long(struct machine *m) {
    uint64_t size = 0, number = 0;
    QN_TRY(operand_number(m, 1, &size));
    if (size > 8) return fail(m, QN_UNSUPPORTED, "has an integer of %u bytes", (unsigned)size);
    QN_TRY(operand_number(m, (size_t)size, &number));
    const unsigned unused = 64 - 8 * (unsigned)size; /* bits */
    const int64_t value = size ? (int64_t)(number << unused) >> unused : 0;
    return push_plain(m, QN_PICKLE_INTEGER, value);
}

static enum qn_status push_float(struct machine *m) {
    const uint8_t *bytes;
    QN_TRY(operand(m, 8, &bytes));
    return push_none(m);
}

static enum qn_status push_string(struct machine *m) {
    uint64_t size = 0;
    const uint8_t *bytes = NULL;
    QN_TRY(operand_number(m, 4, &size));
    QN_TRY(operand(m, (size_t)size, &bytes));
    return push(m, (struct qn_pickle_value){.tag = QN_PICKLE_STRING,
                                            .size = (uint32_t)size,
                                            .string = (const char *)bytes});
}

struct line {         /* without its end */
    const char *text; /* [size] */
    size_t size;
};

static enum qn_status operand_line(struct machine *m, struct line *line) {
    const char *const start = (const char *)m->data + m->at;
    const char *const end = memchr(start, '\n', m->size - m->at);
    if (!end) return fail(m, QN_BAD_FILE, "the pickle ends within it");
    *line = (struct line){start, (size_t)(end - start)};
    m->at += line->size + 1;
    return QN_OK;
}

static bool is_named(const struct qn_pickle_global *global, struct line module, struct line name) {
    const char *const full = global->name;
    return strlen(full) == module.size + 1 + name.size &&
           memcmp(full, module.text, module.size) == 0 && full[module.size] == '.' &&
           memcmp(full + module.size + 1, name.text, name.size) == 0;
}

static enum qn_status push_global(struct machine *m) {
    enum { SHOWN = 60 };
    struct line module = {0}, name = {0};
    QN_TRY(operand_line(m, &module));
    QN_TRY(operand_line(m, &name));
    for (size_t i = 0; i < sizeof globals / sizeof *globals; i++)
        if (is_named(&globals[i], module, name))
            return push(m,
                        (struct qn_pickle_value){.tag = QN_PICKLE_GLOBAL, .global = &globals[i]});
    return fail(m, QN_UNSUPPORTED,
                "refers to %.*s.%.*s; of a file of weights only tensors and dicts of them are read",
                (int)(module.size < SHOWN ? module.size : SHOWN), module.text,
                (int)(name.size < SHOWN ? name.size : SHOWN), name.text);
}

/* ---- instructions: memo ---- */

static enum qn_status memo_put(struct machine *m, size_t operand_size) {
    uint64_t index = 0;
    const struct qn_pickle_value *value = NULL;
    QN_TRY(operand_number(m, operand_size, &index));
    QN_TRY(pop(m, 1, &value));
    m->stack.n++;
    if (index > m->memo.n)
        return fail(m, QN_BAD_FILE, "keeps value %u after %zu values", (unsigned)index, m->memo.n);
    if (index == m->memo.n) return append(m, &m->memo, *value);
    m->memo.data[index] = *value;
    return QN_OK;
}

static enum qn_status memo_put_u8(struct machine *m) {
    return memo_put(m, 1);
}

static enum qn_status memo_put_u32(struct machine *m) {
    return memo_put(m, 4);
}

static enum qn_status memo_get(struct machine *m, size_t operand_size) {
    uint64_t index = 0;
    QN_TRY(operand_number(m, operand_size, &index));
    if (index >= m->memo.n)
        return fail(m, QN_BAD_FILE, "wants value %u of %zu that were kept", (unsigned)index,
                    m->memo.n);
    return push(m, m->memo.data[index]);
}

static enum qn_status memo_get_u8(struct machine *m) {
    return memo_get(m, 1);
}

static enum qn_status memo_get_u32(struct machine *m) {
    return memo_get(m, 4);
}

/* ---- instructions: containers ---- */

static enum qn_status push_mark(struct machine *m) {
    return push_plain(m, QN_PICKLE_MARK, 0);
}

/* values [n] are above the top of the stack. */
static enum qn_status push_tuple(struct machine *m, const struct qn_pickle_value *values,
                                 size_t n) {
    const struct qn_pickle_value tuple = {
        .tag = QN_PICKLE_TUPLE, .size = (uint32_t)n, .index = m->items.n};
    for (size_t i = 0; i < n; i++) QN_TRY(append(m, &m->items, values[i]));
    return push(m, tuple);
}

static enum qn_status push_top_tuple(struct machine *m, size_t n) {
    const struct qn_pickle_value *values = NULL;
    QN_TRY(pop(m, n, &values));
    return push_tuple(m, values, n);
}

static enum qn_status tuple_0(struct machine *m) {
    return push_tuple(m, NULL, 0);
}

static enum qn_status tuple_1(struct machine *m) {
    return push_top_tuple(m, 1);
}

static enum qn_status tuple_2(struct machine *m) {
    return push_top_tuple(m, 2);
}

static enum qn_status tuple_3(struct machine *m) {
    return push_top_tuple(m, 3);
}

static enum qn_status tuple_to_mark(struct machine *m) {
    const struct qn_pickle_value *values = NULL;
    size_t n = 0;
    QN_TRY(pop_to_mark(m, &values, &n));
    return push_tuple(m, values, n);
}

static enum qn_status new_list(struct machine *m) {
    return push_plain(m, QN_PICKLE_LIST, 0);
}

static enum qn_status append_one(struct machine *m) {
    const struct qn_pickle_value *value = NULL;
    struct qn_pickle_value list;
    QN_TRY(pop(m, 1, &value));
    return top(m, QN_PICKLE_LIST, "a list", &list);
}

static enum qn_status append_to_mark(struct machine *m) {
    const struct qn_pickle_value *values = NULL;
    struct qn_pickle_value list;
    size_t n;
    QN_TRY(pop_to_mark(m, &values, &n));
    return top(m, QN_PICKLE_LIST, "a list", &list);
}

static enum qn_status new_dict(struct machine *m) {
    static const struct qn_pickle_value none = {.tag = QN_PICKLE_INTEGER};
    const struct qn_pickle_value dict = {.tag = QN_PICKLE_DICT, .index = m->items.n};
    QN_TRY(append(m, &m->items, none));
    QN_TRY(append(m, &m->items, none));
    return push(m, dict);
}

/* values [n]: key, value, key, ... above the top of the stack, which must be a dict. */
static enum qn_status set_items(struct machine *m, const struct qn_pickle_value *values, size_t n) {
    struct qn_pickle_value dict = {0};
    QN_TRY(top(m, QN_PICKLE_DICT, "a dict", &dict));
    if (n % 2 != 0) return fail(m, QN_BAD_FILE, "sets a key without a value");
    for (size_t i = 0; i < n; i += 2) {
        const size_t entry = m->items.n;
        QN_TRY(append(m, &m->items, values[i]));
        QN_TRY(append(m, &m->items, values[i + 1]));
        QN_TRY(append(m, &m->items, (struct qn_pickle_value){.tag = QN_PICKLE_INTEGER}));
        struct qn_pickle_value *const links = m->items.data + dict.index;
        const size_t last = links[1].index;
        if (last)
            m->items.data[last + 2].index = entry;
        else
            links[0].index = entry;
        links[1].index = entry;
    }
    return QN_OK;
}

static enum qn_status set_item(struct machine *m) {
    const struct qn_pickle_value *values = NULL;
    QN_TRY(pop(m, 2, &values));
    return set_items(m, values, 2);
}

static enum qn_status set_items_to_mark(struct machine *m) {
    const struct qn_pickle_value *values = NULL;
    size_t n = 0;
    QN_TRY(pop_to_mark(m, &values, &n));
    return set_items(m, values, n);
}

/* ---- instructions: objects ---- */

static enum qn_status push_storage(struct machine *m) {
    const struct qn_pickle_value *id = NULL;
    QN_TRY(pop(m, 1, &id));
    if (id->tag != QN_PICKLE_TUPLE)
        return fail(m, QN_BAD_FILE, "names a storage by something that is not a tuple");
    struct qn_pickle_value storage = *id;
    storage.tag = QN_PICKLE_STORAGE;
    return push(m, storage);
}

static enum qn_status call(struct machine *m) {
    const struct qn_pickle_value *values = NULL;
    QN_TRY(pop(m, 2, &values));
    if (values[0].tag != QN_PICKLE_GLOBAL || values[1].tag != QN_PICKLE_TUPLE)
        return fail(m, QN_BAD_FILE, "calls what is not a function with arguments");
    const struct qn_pickle_global *const function = values[0].global;
    struct qn_pickle_value result = values[1];
    switch (function->kind) {
    case QN_PICKLE_ORDERED_DICT:
        if (result.size == 0) return new_dict(m);
        break;
    case QN_PICKLE_REBUILD_PARAMETER: /* tensor, requires_grad, hooks */
        if (result.size != 3 || m->items.data[result.index].tag != QN_PICKLE_TENSOR) break;
        return push(m, m->items.data[result.index]);
    case QN_PICKLE_REBUILD_TENSOR: /* storage, offset, shape, strides, requires_grad, hooks,
                                      then metadata, which may be missing */
        if (result.size != 6 && result.size != 7) break;
        result.tag = QN_PICKLE_TENSOR;
        return push(m, result);
    case QN_PICKLE_REBUILD_WITH_TYPE: /* the same six, element type, metadata */
        if (result.size != 7 && result.size != 8) break;
        result.tag = QN_PICKLE_TENSOR;
        return push(m, result);
    case QN_PICKLE_STORAGE_CLASS:
    case QN_PICKLE_UNTYPED_STORAGE:
    case QN_PICKLE_ELEMENT_TYPE:
        return fail(m, QN_UNSUPPORTED, "calls %s", function->name);
    }
    return fail(m, QN_UNSUPPORTED, "calls %s with arguments that are not known", function->name);
}

/* State of an object beyond its items: what an OrderedDict of weights has is _metadata, versions
 * of layers that nothing here depends on. */
static enum qn_status drop_state(struct machine *m) {
    const struct qn_pickle_value *state;
    struct qn_pickle_value dict;
    QN_TRY(pop(m, 1, &state));
    return top(m, QN_PICKLE_DICT, "a dict", &dict);
}

static enum qn_status stop(struct machine *m) {
    m->stopped = true;
    return QN_OK;
}

/* ---- running ---- */

/* All of the language's instructions, by their byte; `run` for those that are known here. */
static const struct instruction {
    const char *name;
    enum qn_status (*run)(struct machine *m);
} instructions[256] = {
    ['('] = {"MARK", push_mark},
    [')'] = {"EMPTY_TUPLE", tuple_0},
    ['.'] = {"STOP", stop},
    ['0'] = {"POP", NULL},
    ['1'] = {"POP_MARK", NULL},
    ['2'] = {"DUP", NULL},
    ['B'] = {"BINBYTES", NULL},
    ['C'] = {"SHORT_BINBYTES", NULL},
    ['F'] = {"FLOAT", NULL},
    ['G'] = {"BINFLOAT", push_float},
    ['I'] = {"INT", NULL},
    ['J'] = {"BININT", push_i32},
    ['K'] = {"BININT1", push_u8},
    ['L'] = {"LONG", NULL},
    ['M'] = {"BININT2", push_u16},
    ['N'] = {"NONE", push_none},
    ['P'] = {"PERSID", NULL},
    ['Q'] = {"BINPERSID", push_storage},
    ['R'] = {"REDUCE", call},
    ['S'] = {"STRING", NULL},
    ['T'] = {"BINSTRING", NULL},
    ['U'] = {"SHORT_BINSTRING", NULL},
    ['V'] = {"UNICODE", NULL},
    ['X'] = {"BINUNICODE", push_string},
    [']'] = {"EMPTY_LIST", new_list},
    ['a'] = {"APPEND", append_one},
    ['b'] = {"BUILD", drop_state},
    ['c'] = {"GLOBAL", push_global},
    ['d'] = {"DICT", NULL},
    ['e'] = {"APPENDS", append_to_mark},
    ['g'] = {"GET", NULL},
    ['h'] = {"BINGET", memo_get_u8},
    ['i'] = {"INST", NULL},
    ['j'] = {"LONG_BINGET", memo_get_u32},
    ['l'] = {"LIST", NULL},
    ['o'] = {"OBJ", NULL},
    ['p'] = {"PUT", NULL},
    ['q'] = {"BINPUT", memo_put_u8},
    ['r'] = {"LONG_BINPUT", memo_put_u32},
    ['s'] = {"SETITEM", set_item},
    ['t'] = {"TUPLE", tuple_to_mark},
    ['u'] = {"SETITEMS", set_items_to_mark},
    ['}'] = {"EMPTY_DICT", new_dict},
    [0x80] = {"PROTO", protocol},
    [0x81] = {"NEWOBJ", NULL},
    [0x82] = {"EXT1", NULL},
    [0x83] = {"EXT2", NULL},
    [0x84] = {"EXT4", NULL},
    [0x85] = {"TUPLE1", tuple_1},
    [0x86] = {"TUPLE2", tuple_2},
    [0x87] = {"TUPLE3", tuple_3},
    [0x88] = {"NEWTRUE", push_true},
    [0x89] = {"NEWFALSE", push_false},
    [0x8a] = {"LONG1", push_long},
    [0x8b] = {"LONG4", NULL},
    [0x8c] = {"SHORT_BINUNICODE", NULL},
    [0x8d] = {"BINUNICODE8", NULL},
    [0x8e] = {"BINBYTES8", NULL},
    [0x8f] = {"EMPTY_SET", NULL},
    [0x90] = {"ADDITEMS", NULL},
    [0x91] = {"FROZENSET", NULL},
    [0x92] = {"NEWOBJ_EX", NULL},
    [0x93] = {"STACK_GLOBAL", NULL},
    [0x94] = {"MEMOIZE", NULL},
    [0x95] = {"FRAME", NULL},
    [0x96] = {"BYTEARRAY8", NULL},
    [0x97] = {"NEXT_BUFFER", NULL},
    [0x98] = {"READONLY_BUFFER", NULL},
};

static enum qn_status run(struct machine *m) {
    while (!m->stopped) {
        m->instruction = m->at;
        const uint8_t *byte = NULL;
        QN_TRY(operand(m, 1, &byte));
        const struct instruction *const instruction = &instructions[*byte];
        if (!instruction->name)
            return fail(m, QN_BAD_FILE, "0x%02x is no instruction of a pickle", *byte);
        if (!instruction->run)
            return fail(m, QN_UNSUPPORTED,
                        "uses the instruction %s, which weights as torch.save writes them do not",
                        instruction->name);
        QN_TRY(instruction->run(m));
    }
    return QN_OK;
}

enum qn_status qn_pickle_read(const struct qn_tensor_file *file, size_t offset, size_t size,
                              struct qn_pickle *pickle, struct qn_error *err) {
    *pickle = (struct qn_pickle){0};
    struct machine m = {.file = file, .data = file->data + offset, .size = size, .err = err};
    const struct qn_pickle_value *root = NULL;
    enum qn_status status = QN_OK;
    if (size > MAX_SIZE)
        status = fail(&m, QN_UNSUPPORTED, "has %zu bytes, at most %d are read", size, MAX_SIZE);
    if (status == QN_OK) status = run(&m);
    if (status == QN_OK) status = pop(&m, 1, &root);
    if (status == QN_OK)
        *pickle = (struct qn_pickle){.root = *root, .items = m.items.data};
    else
        free(m.items.data);
    free(m.stack.data);
    free(m.memo.data);
    return status;
}

void qn_pickle_free(struct qn_pickle *pickle) {
    free(pickle->items);
    *pickle = (struct qn_pickle){0};
}

/* ---- results ---- */

const struct qn_pickle_value *qn_pickle_items(const struct qn_pickle *pickle,
                                              const struct qn_pickle_value *value) {
    return pickle->items + value->index;
}

bool qn_pickle_next(const struct qn_pickle *pickle, const struct qn_pickle_value *dict,
                    size_t *cursor, const struct qn_pickle_value **key,
                    const struct qn_pickle_value **value) {
    const size_t link = *cursor ? *cursor + 2 : dict->index;
    const size_t entry = pickle->items[link].index;
    if (entry == 0) return false;
    *cursor = entry;
    *key = &pickle->items[entry];
    *value = &pickle->items[entry + 1];
    return true;
}
