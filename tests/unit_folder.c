/* SPDX-License-Identifier: Apache-2.0
 *
 * Hugging Face folders through struct qn_checkpoint: paths, what is looked for, shards.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloc_meter.h"
#include "formats/checkpoint.h"
#include "safetensors_writer.h"
#include "temp_folder.h"
#include "zip_writer.h"

#define CONFIG "{\"model_type\":\"tiny\"}"

static void put_safetensors(const struct temp_folder *folder, const char *name, const char *header,
                            size_t data_size) {
    struct bytes bytes = safetensors_file(header, data_size);
    temp_folder_put(folder, name, bytes.data, bytes.size);
    bytes_free(&bytes);
}

#define ONE(name, dtype, size)                                                                     \
    "{\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":[4],\"data_offsets\":[0," #size "]}}"
#define TWO(first, second)                                                                         \
    "{\"" first "\":{\"dtype\":\"F16\",\"shape\":[4],\"data_offsets\":[0,8]},"                     \
    "\"" second "\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,16]}}"

/* A folder with config.json and "a" (F16 [4]), "b" (F32 [2]). */
static struct temp_folder make_folder(void) {
    const struct temp_folder folder = temp_folder_make();
    temp_folder_put_text(&folder, "config.json", CONFIG);
    put_safetensors(&folder, "model.safetensors", TWO("a", "b"), 16);
    return folder;
}

static struct qn_checkpoint *open_path(const char *path) {
    struct qn_checkpoint *checkpoint;
    struct qn_error err = {0};
    cr_assert_eq(qn_checkpoint_open(path, &checkpoint, &err), QN_OK, "%s", err.message);
    return checkpoint;
}

static void expect_refused(const char *path, enum qn_status status, const char *fragment) {
    struct qn_checkpoint *checkpoint;
    struct qn_error err = {0};
    const enum qn_status found = qn_checkpoint_open(path, &checkpoint, &err);
    cr_assert_eq(found, status, "%d: %s", found, err.message);
    cr_assert_not_null(strstr(err.message, fragment), "'%s' lacks '%s'", err.message, fragment);
    cr_assert_null(checkpoint);
}

/* ---- one file ---- */

static void check_contents(const struct qn_checkpoint *checkpoint) {
    cr_assert_eq(qn_checkpoint_n_tensors(checkpoint), 2);
    const struct qn_tensor *const a = qn_checkpoint_find_tensor(checkpoint, "a");
    const struct qn_tensor *const b = qn_checkpoint_find_tensor(checkpoint, "b");
    cr_assert(a == qn_checkpoint_tensor_at(checkpoint, 0) && a->type == QN_TYPE_F16);
    cr_assert(b == qn_checkpoint_tensor_at(checkpoint, 1) && b->type == QN_TYPE_F32);
    cr_assert(a->size == 8 && memcmp(a->data, "\0\1\2\3\4\5\6\7", 8) == 0);
    cr_assert(b->size == 8 && memcmp(b->data, "\x8\x9\xa\xb\xc\xd\xe\xf", 8) == 0);
    cr_assert_null(qn_checkpoint_find_tensor(checkpoint, "c"));
    cr_assert_null(qn_checkpoint_find_tensor(checkpoint, ""));
    cr_assert_null(qn_checkpoint_left_out(checkpoint, "a"));
    cr_assert_null(qn_checkpoint_left_out(checkpoint, "c"));
}

Test(folder, opens_by_any_path) {
    const struct temp_folder folder = make_folder();
    static const char *const names[] = {"", "/", "//", "/model.safetensors"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s%s", folder.path, names[i]);
        struct qn_checkpoint *const checkpoint = open_path(path);
        cr_assert_str_eq(qn_checkpoint_folder(checkpoint), folder.path);
        cr_assert_str_eq(qn_checkpoint_format(checkpoint), "safetensors");
        cr_assert_null(qn_checkpoint_gguf(checkpoint));
        cr_assert_str_eq(
            json_string_value(json_object_get(qn_checkpoint_config(checkpoint), "model_type")),
            "tiny");
        check_contents(checkpoint);
        qn_checkpoint_close(checkpoint);
    }
    cr_assert_eq(chdir(folder.path), 0);
    static const char *const relative[] = {".", "./", "model.safetensors", "./model.safetensors"};
    for (size_t i = 0; i < sizeof relative / sizeof *relative; i++) {
        struct qn_checkpoint *const checkpoint = open_path(relative[i]);
        cr_assert_str_eq(qn_checkpoint_folder(checkpoint), ".");
        check_contents(checkpoint);
        qn_checkpoint_close(checkpoint);
    }
    temp_folder_remove(&folder);
}

/* In the hub's cache a snapshot links to blobs that have other names. */
Test(folder, follows_links) {
    const struct temp_folder folder = make_folder();
    char blob[128];
    snprintf(blob, sizeof blob, "%s/5fe1", folder.path);
    cr_assert_eq(rename(temp_folder_path(&folder, "model.safetensors"), blob), 0);
    cr_assert_eq(symlink("5fe1", temp_folder_path(&folder, "model.safetensors")), 0);
    struct qn_checkpoint *checkpoint = open_path(folder.path);
    check_contents(checkpoint);
    qn_checkpoint_close(checkpoint);
    checkpoint = open_path(temp_folder_path(&folder, "model.safetensors"));
    check_contents(checkpoint);
    qn_checkpoint_close(checkpoint);
    temp_folder_remove(&folder);
}

Test(folder, opens_without_weights_for_the_vocabulary) {
    const struct temp_folder folder = make_folder();
    cr_assert_eq(unlink(temp_folder_path(&folder, "model.safetensors")), 0);
    struct qn_checkpoint *checkpoint;
    cr_assert_eq(qn_checkpoint_open_vocab(folder.path, &checkpoint, NULL), QN_OK);
    cr_assert_str_eq(qn_checkpoint_folder(checkpoint), folder.path);
    cr_assert_not_null(qn_checkpoint_config(checkpoint));
    cr_assert_str_eq(qn_checkpoint_format(checkpoint), "Hugging Face");
    cr_assert_eq(qn_checkpoint_n_tensors(checkpoint) + qn_checkpoint_n_files(checkpoint), 0);
    cr_assert_eq(qn_checkpoint_file_size(checkpoint), 0);
    cr_assert_null(qn_checkpoint_find_tensor(checkpoint, "a"));
    cr_assert_eq(qn_checkpoint_check_unchanged(checkpoint, NULL), QN_OK);
    qn_checkpoint_close(checkpoint);
    temp_folder_remove(&folder);
}

Test(folder, says_why_a_tensor_is_left_out) {
    const struct temp_folder folder = make_folder();
    put_safetensors(&folder, "model.safetensors", ONE("mask", "U8", 4), 4);
    struct qn_checkpoint *const checkpoint = open_path(folder.path);
    cr_assert_eq(qn_checkpoint_n_tensors(checkpoint), 0);
    cr_assert_null(qn_checkpoint_find_tensor(checkpoint, "mask"));
    cr_assert_str_eq(qn_checkpoint_left_out(checkpoint, "mask"), "U8");
    const char *why;
    cr_assert_eq(qn_checkpoint_n_left_out(checkpoint), 1);
    cr_assert_str_eq(qn_checkpoint_left_out_at(checkpoint, 0, &why), "mask");
    cr_assert_str_eq(why, "U8");
    qn_checkpoint_close(checkpoint);
    temp_folder_remove(&folder);
}

Test(folder, closes_nothing) {
    qn_checkpoint_close(NULL);
}

/* ---- other containers ---- */

/* pytorch_model.bin with a tensor each of the names, all of them F32 [1]. */
static void put_torch(const struct temp_folder *folder, const char *file, const char *names) {
    static const char tensor[] = "ctorch._utils\n_rebuild_tensor_v2\n("
                                 "(Nctorch\nFloatStorage\nX\1\0\0\0000NK\6tQ"
                                 "K\0))\x89NtR";
    struct bytes pickle = {0};
    bytes_put(&pickle, "\x80\2}(", 4);
    for (; *names; names++) {
        bytes_put(&pickle, "X\1\0\0\0", 5);
        bytes_put_u8(&pickle, (uint8_t)*names);
        bytes_put(&pickle, tensor, sizeof tensor - 1);
    }
    bytes_put(&pickle, "u.", 2);
    struct bytes bytes = zip_of_pickle(pickle.data, pickle.size, false);
    temp_folder_put(folder, file, bytes.data, bytes.size);
    bytes_free(&pickle);
    bytes_free(&bytes);
}

Test(folder, reads_torch_files_when_there_are_no_others) {
    const struct temp_folder folder = make_folder();
    put_torch(&folder, "pytorch_model.bin", "xy");
    struct qn_checkpoint *checkpoint = open_path(folder.path);
    check_contents(checkpoint);
    qn_checkpoint_close(checkpoint);
    expect_refused(temp_folder_path(&folder, "pytorch_model.bin"), QN_BAD_ARGUMENT,
                   "that is model.safetensors");
    cr_assert_eq(unlink(temp_folder_path(&folder, "model.safetensors")), 0);
    checkpoint = open_path(temp_folder_path(&folder, "pytorch_model.bin"));
    cr_assert_str_eq(qn_checkpoint_format(checkpoint), "PyTorch");
    cr_assert_eq(qn_checkpoint_n_tensors(checkpoint), 2);
    cr_assert_eq(qn_checkpoint_find_tensor(checkpoint, "y"),
                 qn_checkpoint_tensor_at(checkpoint, 1));
    qn_checkpoint_close(checkpoint);
    put_torch(&folder, "pytorch_model.bin", "xyx");
    expect_refused(folder.path, QN_BAD_FILE, "holds the tensor 'x' twice");
    temp_folder_remove(&folder);
}

Test(folder, reads_shards_of_torch) {
    const struct temp_folder folder = temp_folder_make();
    temp_folder_put_text(&folder, "config.json", CONFIG);
    put_torch(&folder, "p1.bin", "x");
    put_torch(&folder, "p2.bin", "yz");
    temp_folder_put_text(&folder, "pytorch_model.bin.index.json",
                         "{\"weight_map\":{\"x\":\"p1.bin\",\"z\":\"p2.bin\"}}");
    struct qn_checkpoint *const checkpoint = open_path(folder.path);
    cr_assert_eq(qn_checkpoint_n_files(checkpoint), 2);
    cr_assert_eq(qn_checkpoint_n_tensors(checkpoint), 2);
    cr_assert_null(qn_checkpoint_find_tensor(checkpoint, "y"));
    qn_checkpoint_close(checkpoint);
    temp_folder_remove(&folder);
}

Test(folder, passes_gguf_files_on) {
    const struct temp_folder folder = temp_folder_make();
    for (uint32_t version = 2; version <= 3; version++) {
        struct bytes bytes = gguf_tiny_model(version);
        temp_folder_put(&folder, "model.gguf", bytes.data, bytes.size);
        struct qn_checkpoint *const checkpoint = open_path(temp_folder_path(&folder, "model.gguf"));
        cr_assert_not_null(qn_checkpoint_gguf(checkpoint));
        cr_assert_null(qn_checkpoint_folder(checkpoint));
        cr_assert_null(qn_checkpoint_config(checkpoint));
        cr_assert_str_eq(qn_checkpoint_format(checkpoint), version == 2 ? "GGUF v2" : "GGUF v3");
        cr_assert_eq(qn_checkpoint_file_size(checkpoint), bytes.size);
        cr_assert_eq(qn_checkpoint_n_files(checkpoint), 1);
        cr_assert_eq(qn_checkpoint_n_tensors(checkpoint), 3);
        const struct qn_tensor *const norm = qn_checkpoint_find_tensor(checkpoint, "norm");
        cr_assert_eq(norm, qn_checkpoint_tensor_at(checkpoint, 0));
        cr_assert_null(qn_checkpoint_left_out(checkpoint, "norm"));
        cr_assert_eq(qn_checkpoint_n_left_out(checkpoint), 0);
        qn_checkpoint_prefetch(checkpoint, norm->data, norm->size);
        qn_checkpoint_release(checkpoint, norm->data, norm->size);
        cr_assert_eq(qn_checkpoint_check_unchanged(checkpoint, NULL), QN_OK);
        qn_checkpoint_close(checkpoint);
        bytes_free(&bytes);
    }
    temp_folder_remove(&folder);
}

/* Numbers of more than 64 bits, as transformers writes model_max_length, are reals; digits in
 * strings and exponents stay what they are. */
Test(folder, numbers_beyond_64_bits) {
    const struct temp_folder folder = make_folder();
    temp_folder_put_text(&folder, "config.json",
                         "{\"model_max_length\":1000000000000000019884624838656,"
                         "\"least\":-99999999999999999999, \"n\": 12,"
                         "\"text\":\"1000000000000000019884624838656 \\\" 2\","
                         "\"real\":0.1000000000000000019884624838656,\"e\":1e10}");
    struct qn_checkpoint *const checkpoint = open_path(folder.path);
    const json_t *const config = qn_checkpoint_config(checkpoint);
    cr_assert_float_eq(json_real_value(json_object_get(config, "model_max_length")), 1e30, 1e26);
    cr_assert_float_eq(json_real_value(json_object_get(config, "least")), -1e20, 1e16);
    cr_assert_eq(json_integer_value(json_object_get(config, "n")), 12);
    cr_assert_str_eq(json_string_value(json_object_get(config, "text")),
                     "1000000000000000019884624838656 \" 2");
    cr_assert_float_eq(json_real_value(json_object_get(config, "real")), 0.1, 1e-15);
    cr_assert_float_eq(json_real_value(json_object_get(config, "e")), 1e10, 1);
    qn_checkpoint_close(checkpoint);
    temp_folder_remove(&folder);
}

/* ---- what is missing ---- */

Test(folder_bad, says_what_was_looked_for) {
    const struct temp_folder folder = temp_folder_make();
    char sentence[256];
    snprintf(sentence, sizeof sentence,
             "%s: has no config.json; a model is a GGUF file, or a folder with config.json and "
             "model.safetensors or pytorch_model.bin",
             folder.path);
    expect_refused(folder.path, QN_NOT_FOUND, sentence);
    temp_folder_put_text(&folder, "config.json", CONFIG);
    snprintf(sentence, sizeof sentence,
             "%s: holds no weights: neither model.safetensors nor pytorch_model.bin, nor either's "
             ".index.json",
             folder.path);
    expect_refused(folder.path, QN_NOT_FOUND, sentence);
    temp_folder_put_text(&folder, "config.json", "{");
    expect_refused(folder.path, QN_BAD_FILE, "config.json: line 1: ");
    temp_folder_put_text(&folder, "config.json", "[]");
    expect_refused(folder.path, QN_BAD_FILE, "config.json: expected a JSON object");
    expect_refused(temp_folder_path(&folder, "model.safetensors"), QN_NOT_FOUND,
                   "model.safetensors: cannot be opened");
    temp_folder_remove(&folder);
}

Test(folder_bad, files_that_are_none) {
    const struct temp_folder folder = make_folder();
    put_safetensors(&folder, "adapter.safetensors", ONE("a", "F16", 8), 8);
    expect_refused(temp_folder_path(&folder, "adapter.safetensors"), QN_BAD_ARGUMENT,
                   "adapter.safetensors: is not where the weights of its folder are read from; "
                   "that is model.safetensors");
    temp_folder_put_text(&folder, "model.safetensors",
                         "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n");
    expect_refused(folder.path, QN_BAD_FILE, "is what Git LFS leaves");
    temp_folder_put_text(&folder, "model.safetensors", "");
    expect_refused(folder.path, QN_IO, "model.safetensors: is empty");
    cr_assert_eq(unlink(temp_folder_path(&folder, "model.safetensors")), 0);
    cr_assert_eq(mkdir(temp_folder_path(&folder, "model.safetensors"), 0700), 0);
    expect_refused(folder.path, QN_IO, "model.safetensors: is a folder");
    temp_folder_remove(&folder);
}

/* ---- shards ---- */

#define INDEX "model.safetensors.index.json"

/* Shard 1 holds "a", "b", shard 2 "c", "d". */
static struct temp_folder make_shards(void) {
    const struct temp_folder folder = temp_folder_make();
    temp_folder_put_text(&folder, "config.json", CONFIG);
    put_safetensors(&folder, "m1.safetensors", TWO("a", "b"), 16);
    put_safetensors(&folder, "m2.safetensors", TWO("c", "d"), 16);
    temp_folder_put_text(&folder, INDEX,
                         "{\"metadata\":{\"total_size\":32},\"weight_map\":{"
                         "\"d\":\"m2.safetensors\",\"a\":\"m1.safetensors\","
                         "\"b\":\"m1.safetensors\",\"c\":\"m2.safetensors\"}}");
    return folder;
}

Test(folder_shards, joins_them) {
    const struct temp_folder folder = make_shards();
    struct qn_checkpoint *checkpoint = open_path(temp_folder_path(&folder, "m2.safetensors"));
    qn_checkpoint_close(checkpoint);
    checkpoint = open_path(folder.path);
    struct stat info;
    cr_assert_eq(stat(temp_folder_path(&folder, "m1.safetensors"), &info), 0);
    cr_assert_eq(qn_checkpoint_n_files(checkpoint), 2);
    cr_assert_eq(qn_checkpoint_file_size(checkpoint), 2 * (size_t)info.st_size);
    cr_assert_eq(qn_checkpoint_n_tensors(checkpoint), 4);
    for (size_t i = 0; i < 4; i++) {
        const struct qn_tensor *const tensor = qn_checkpoint_tensor_at(checkpoint, i);
        cr_assert(tensor->name[0] == (char)('a' + i) && tensor->name[1] == '\0');
        cr_assert_eq(qn_checkpoint_find_tensor(checkpoint, tensor->name), tensor);
        qn_checkpoint_prefetch(checkpoint, tensor->data, tensor->size);
        qn_checkpoint_release(checkpoint, tensor->data, tensor->size);
        cr_assert_eq(*(const uint8_t *)tensor->data, i % 2 * 8);
    }
    cr_assert_eq(qn_checkpoint_check_unchanged(checkpoint, NULL), QN_OK);
    FILE *const out = fopen(temp_folder_path(&folder, "m2.safetensors"), "ab");
    cr_assert_not_null(out);
    fputc(0, out);
    fclose(out);
    struct qn_error err = {0};
    cr_assert_eq(qn_checkpoint_check_unchanged(checkpoint, &err), QN_IO);
    cr_assert_not_null(strstr(err.message, "m2.safetensors: changed"), "%s", err.message);
    qn_checkpoint_close(checkpoint);
    temp_folder_remove(&folder);
}

/* The index decides: a copy elsewhere and a tensor that it does not name are not the model's. */
Test(folder_shards, keeps_to_the_index) {
    const struct temp_folder folder = make_shards();
    temp_folder_put_text(&folder, INDEX,
                         "{\"weight_map\":{\"a\":\"m1.safetensors\",\"b\":\"m2.safetensors\"}}");
    put_safetensors(&folder, "m2.safetensors", ONE("b", "F16", 8), 8);
    struct qn_checkpoint *const checkpoint = open_path(folder.path);
    cr_assert_eq(qn_checkpoint_n_tensors(checkpoint), 2);
    cr_assert_eq(qn_checkpoint_find_tensor(checkpoint, "b")->type, QN_TYPE_F16);
    qn_checkpoint_close(checkpoint);
    temp_folder_remove(&folder);
}

/* A single file comes first, and what is given by its path has to be among the shards. */
Test(folder_shards, come_after_a_single_file) {
    const struct temp_folder folder = make_shards();
    put_safetensors(&folder, "m3.safetensors", ONE("x", "F16", 8), 8);
    expect_refused(temp_folder_path(&folder, "m3.safetensors"), QN_BAD_ARGUMENT,
                   "that is model.safetensors.index.json");
    put_safetensors(&folder, "model.safetensors", TWO("a", "b"), 16);
    struct qn_checkpoint *const checkpoint = open_path(folder.path);
    check_contents(checkpoint);
    qn_checkpoint_close(checkpoint);
    temp_folder_remove(&folder);
}

Test(folder_shards, wrong_indexes) {
    const struct temp_folder folder = make_shards();
    static const struct {
        const char *index;
        enum qn_status status;
        const char *fragment;
    } cases[] = {
        {"{", QN_BAD_FILE, INDEX ": line 1: "},
        {"[]", QN_BAD_FILE, INDEX ": expected a JSON object"},
        {"{}", QN_BAD_FILE, INDEX ": has no object 'weight_map' that names tensors"},
        {"{\"weight_map\":{}}", QN_BAD_FILE, "no object 'weight_map'"},
        {"{\"weight_map\":[\"m1.safetensors\"]}", QN_BAD_FILE, "no object 'weight_map'"},
        {"{\"weight_map\":{\"a\":1}}", QN_BAD_FILE, "tensor 'a' is in '?', which is not the name"},
        {"{\"weight_map\":{\"a\":\"\"}}", QN_BAD_FILE, "tensor 'a' is in '', which is not"},
        {"{\"weight_map\":{\"a\":\".\"}}", QN_BAD_FILE, "is in '.', which is not"},
        {"{\"weight_map\":{\"a\":\"..\"}}", QN_BAD_FILE, "is in '..', which is not"},
        {"{\"weight_map\":{\"a\":\"/etc/passwd\"}}", QN_BAD_FILE, "is in '/etc/passwd', which"},
        {"{\"weight_map\":{\"a\":\"../m1.safetensors\"}}", QN_BAD_FILE, "in '../m1.safetensors',"},
        {"{\"weight_map\":{\"a\":\"x/m1.safetensors\"}}", QN_BAD_FILE, "is in 'x/m1.safetensors',"},
        {"{\"weight_map\":{\"a\":\"m1.safetensors\",\"a\":\"m1.safetensors\"}}", QN_BAD_FILE,
         "duplicate object key"},
        {"{\"weight_map\":{\"a\":\"m3.safetensors\"}}", QN_NOT_FOUND,
         "m3.safetensors: cannot be opened"},
        {"{\"weight_map\":{\"a\":\"config.json\"}}", QN_BAD_FILE, "config.json: is not a safetens"},
        {"{\"weight_map\":{\"a\":\"m1.safetensors\",\"x\":\"m2.safetensors\"}}", QN_BAD_FILE,
         "m2.safetensors: has no tensor 'x', which " INDEX " says it holds"},
        {"{\"weight_map\":{\"a\":\"m2.safetensors\"}}", QN_BAD_FILE,
         "m2.safetensors: has no tensor 'a', which"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        temp_folder_put_text(&folder, INDEX, cases[i].index);
        expect_refused(folder.path, cases[i].status, cases[i].fragment);
    }
    temp_folder_remove(&folder);
}

Test(folder_shards, too_many) {
    const struct temp_folder folder = make_shards();
    FILE *const out = fopen(temp_folder_path(&folder, INDEX), "wb");
    cr_assert_not_null(out);
    fputs("{\"weight_map\":{\"a\":\"f\"", out);
    for (int i = 0; i < 1000; i++) fprintf(out, ",\"t%d\":\"f%d\"", i, i);
    fputs("}}", out);
    fclose(out);
    expect_refused(folder.path, QN_UNSUPPORTED, "names 1001 files, at most 1000 are read");
    temp_folder_remove(&folder);
}

/* ---- memory ---- */

Test(folder_shards, no_memory) {
    const struct temp_folder folder = make_shards();
    for (size_t k = 1;; k++) {
        struct qn_checkpoint *checkpoint;
        alloc_meter_reset();
        alloc_meter_fail_at(k, 0);
        struct qn_error err = {0};
        const enum qn_status status = qn_checkpoint_open(folder.path, &checkpoint, &err);
        const size_t calls = alloc_meter_calls();
        alloc_meter_fail_at(0, 0);
        qn_checkpoint_close(checkpoint);
        cr_assert_eq(alloc_meter_held(), 0, "allocation %zu: something was left allocated", k);
        if (calls < k) {
            cr_assert_eq(status, QN_OK);
            cr_assert_gt(k, 10, "nothing was made to fail");
            break;
        }
        cr_assert_eq(status, QN_NO_MEMORY, "allocation %zu: %d, %s", k, status, err.message);
    }
    temp_folder_remove(&folder);
}
