/* SPDX-License-Identifier: Apache-2.0
 *
 * verify's stages as text of 80 columns, with colour on terminals.
 */
#include "verify_output.h"

#include <stdio.h>
#include <string.h>

#include "options.h"
#include "output.h"
#include "report/verify.h"
#include "style.h"

enum { DETAIL = 21 };

static const char *text_at(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

static double number_at(const json_t *object, const char *key) {
    return json_number_value(json_object_get(object, key));
}

/* ---- verdicts --------------------------------------------------------------------------- */

static const char *colour_of(const char *verdict) {
    static const struct {
        const char *verdict, *code;
    } colours[] = {{"pass", "\033[32m"}, {"note", "\033[33m"}, {"fail", "\033[1;31m"}};
    if (!style_coloured()) return "";
    for (size_t i = 0; i < COUNT(colours); i++)
        if (strcmp(colours[i].verdict, verdict) == 0) return colours[i].code;
    return "";
}

static void print_verdict(const char *verdict, int width) {
    const char *colour = colour_of(verdict);
    printf("%s%-*s%s", colour, width, verdict, *colour != '\0' ? "\033[0m" : "");
}

/* ---- stages ----------------------------------------------------------------------------- */

void verify_print_model(const json_t *model) {
    printf("%s", text_at(model, "model"));
    if (json_object_get(model, "architecture") != NULL)
        printf(": %s, %s, %.1f M parameters, %s, %.0f threads", text_at(model, "architecture"),
               text_at(model, "type"), number_at(model, "parameters") / 1e6, text_at(model, "isa"),
               number_at(model, "threads"));
    printf("\n");
}

/* Control characters would move the cursor; the text stays on its line. */
static void print_quoted(const char *text) {
    putchar('"');
    for (; *text != '\0'; text++) {
        if (*text == '\n')
            printf("\\n");
        else if ((unsigned char)*text < ' ' || *text == 127)
            printf("\\x%02x", (unsigned)(unsigned char)*text);
        else
            putchar(*text);
    }
    printf("\"\n");
}

static void print_answers(const json_t *answers) {
    size_t i;
    const json_t *answer;
    json_array_foreach(answers, i, answer) {
        printf("    ");
        print_quoted(text_at(answer, "prompt"));
        printf("      -> ");
        print_quoted(text_at(answer, "text"));
        printf("      log probability %.2f a token (prompt %.2f), %.0f %% repeated%s%s\n",
               number_at(answer, "mean_log_probability"),
               number_at(answer, "prompt_mean_log_probability"),
               100 * number_at(answer, "repeated_share"),
               json_is_true(json_object_get(answer, "looping")) ? ", looping" : "",
               json_is_true(json_object_get(answer, "ended")) ? ", ended" : "");
        if (json_object_get(answer, "expected") != NULL) {
            printf("      expected %s ", json_is_true(json_object_get(answer, "found"))
                                             ? "and found:"
                                             : "but NOT found:");
            print_quoted(text_at(answer, "expected"));
        }
    }
}

/* The name with the numbers of its layer and expert as *: "blk.*.attn_q.weight". */
static void kind_of(const char *name, char *kind, size_t capacity) {
    size_t used = 0;
    for (const char *part = name; *part != '\0' && used + 2 < capacity;) {
        const size_t size = strcspn(part, "."), digits = strspn(part, "0123456789");
        const bool is_number = size > 0 && digits == size && part[size] == '.';
        const size_t taken = is_number ? 1 : size;
        if (used + taken + 2 > capacity) break;
        memcpy(kind + used, is_number ? "*" : part, taken);
        used += taken;
        part += size;
        if (*part == '.') kind[used++] = *part++;
    }
    kind[used] = '\0';
}

struct kind {
    char name[160];
    int n;
    double min, max, low, high; /* low, high: of the standard deviations */
};

/* Gathers the tensors of a kind; false when an earlier one has the name. */
static bool gather(const json_t *tensors, size_t first, struct kind *kind) {
    *kind = (struct kind){.n = 0};
    kind_of(text_at(json_array_get(tensors, first), "name"), kind->name, sizeof kind->name);
    for (size_t i = 0; i < json_array_size(tensors); i++) {
        const json_t *tensor = json_array_get(tensors, i);
        char name[160];
        kind_of(text_at(tensor, "name"), name, sizeof name);
        if (strcmp(name, kind->name) != 0) continue;
        if (i < first) return false;
        const double min = number_at(tensor, "min"), max = number_at(tensor, "max");
        const double deviation = number_at(tensor, "std");
        if (kind->n == 0 || min < kind->min) kind->min = min;
        if (kind->n == 0 || max > kind->max) kind->max = max;
        if (kind->n == 0 || deviation < kind->low) kind->low = deviation;
        if (kind->n == 0 || deviation > kind->high) kind->high = deviation;
        kind->n++;
    }
    return true;
}

/* One line for the tensors that differ in their layer only; --json has each. */
static void print_tensors(const json_t *tensors) {
    enum { NAME = 30 };
    size_t i;
    const json_t *tensor;
    if (json_array_size(tensors) == 0) return;
    printf("    %-*s %-6s   n  std: low    high     min     max\n", NAME, "tensors", "type");
    json_array_foreach(tensors, i, tensor) {
        struct kind kind;
        if (!gather(tensors, i, &kind)) continue;
        const size_t size = strlen(kind.name), shown = size < NAME ? size : NAME;
        printf("    %-*s %-6.6s %3d  %8.2g %7.2g %7.2g %7.2g\n", NAME, kind.name + size - shown,
               text_at(tensor, "type"), kind.n, kind.low, kind.high, kind.min, kind.max);
    }
}

static void print_layers(const json_t *layers) {
    size_t i;
    const json_t *layer;
    if (json_array_size(layers) == 0) return;
    printf("    layer  entropy: mean (lowest, highest)  share on: first  before  itself\n");
    json_array_foreach(layers, i, layer) {
        printf("    %5zu       %5.2f (%5.2f, %5.2f)                %5.1f %%  %5.1f %%  %5.1f %%\n",
               i, number_at(layer, "entropy_mean"), number_at(layer, "entropy_min"),
               number_at(layer, "entropy_max"), 100 * number_at(layer, "first"),
               100 * number_at(layer, "previous"), 100 * number_at(layer, "self"));
    }
}

static const json_t *tensor_of(const json_t *tensors, int layer, const char *module) {
    char name[64];
    size_t i;
    const json_t *tensor;
    snprintf(name, sizeof name, "layers.%d.%s", layer, module);
    json_array_foreach(tensors, i, tensor) {
        if (strcmp(text_at(tensor, "name"), name) == 0) return tensor;
    }
    return NULL;
}

/* One line a layer, one column a module: the largest error, in deviations of the reference. */
static void print_compared(const json_t *tensors) {
    static const char *const modules[] = {"q", "k", "v", "attn", "attn_out", "mlp_out", "out"};
    if (tensor_of(tensors, 0, "out") == NULL) return;
    printf("    largest error, in deviations of the reference's tensor; ! is too much\n    layer");
    for (size_t m = 0; m < COUNT(modules); m++) printf("%s%9s", m > 0 ? " " : "", modules[m]);
    printf("\n");
    for (int layer = 0; tensor_of(tensors, layer, "out") != NULL; layer++) {
        const char *mark = ""; /* of the column before */
        printf("    %5d", layer);
        for (size_t m = 0; m < COUNT(modules); m++) {
            const json_t *tensor = tensor_of(tensors, layer, modules[m]);
            if (tensor == NULL)
                printf("%s%9s", mark, "-");
            else
                printf("%s%9.1e", mark, number_at(tensor, "max_error"));
            mark = tensor != NULL && !json_is_true(json_object_get(tensor, "agrees")) ? "!" : " ";
        }
        printf("%s\n", *mark == '!' ? mark : "");
    }
}

void verify_print_stage(const json_t *stage) {
    size_t i;
    const json_t *check;
    printf("\n  ");
    print_verdict(text_at(stage, "verdict"), 5);
    printf("%s (%.2f s)\n", text_at(stage, "stage"), number_at(stage, "seconds"));
    json_array_foreach(json_object_get(stage, "checks"), i, check) {
        printf("    ");
        print_verdict(text_at(check, "verdict"), 5);
        printf("%-11s ", text_at(check, "check"));
        out_words(text_at(check, "detail"), DETAIL, DETAIL);
    }
    print_tensors(json_object_get(stage, "tensors"));
    print_layers(json_object_get(stage, "layers"));
    print_compared(json_object_get(stage, "compared"));
    print_answers(json_object_get(stage, "answers"));
    fflush(stdout);
}

/* ---- the table -------------------------------------------------------------------------- */

/* The order of bringing models up: each brings one thing more than those before. */
static int rank_of(const char *architecture) {
    static const char *const order[] = {"gpt2", "opt", "gptneox", "llama", "qwen2", "qwen3"};
    for (size_t i = 0; i < COUNT(order); i++)
        if (strcmp(order[i], architecture) == 0) return (int)i;
    return COUNT(order);
}

static const json_t *stage_of(const json_t *model, const char *name) {
    size_t i;
    const json_t *stage;
    json_array_foreach(json_object_get(model, "stages"), i, stage) {
        if (strcmp(text_at(stage, "stage"), name) == 0) return stage;
    }
    return NULL;
}

static void print_row(const json_t *model) {
    const char *const name = text_at(model, "model"), *const slash = strrchr(name, '/');
    const char *const last = slash != NULL && slash[1] != '\0' ? slash + 1 : name;
    printf("%-24.24s %-8.8s", last, text_at(model, "architecture"));
    for (int s = 0; s < QN_VERIFY_STAGES; s++) {
        const json_t *stage = stage_of(model, qn_verify_stages[s].name);
        const char *verdict = stage != NULL ? text_at(stage, "verdict") : "-";
        putchar(' ');
        const bool last_column = s + 1 == QN_VERIFY_STAGES;
        print_verdict(verdict, (int)strlen(last_column ? verdict : qn_verify_stages[s].name));
    }
    printf("\n");
}

void verify_print_table(const json_t *models) {
    printf("\n%-24s %-8s", "model", "family");
    for (int s = 0; s < QN_VERIFY_STAGES; s++) printf(" %s", qn_verify_stages[s].name);
    printf("\n");
    size_t i;
    const json_t *model;
    const int last = rank_of("");
    for (int rank = 0; rank <= last; rank++) json_array_foreach(models, i, model) {
            if (rank_of(text_at(model, "architecture")) == rank) print_row(model);
        }
}
