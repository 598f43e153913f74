/* SPDX-License-Identifier: Apache-2.0 */
#include "models/family.h"

#include <stdio.h>
#include <string.h>

extern const struct qn_family qn_family_gpt2, qn_family_opt, qn_family_gptneox, qn_family_llama,
    qn_family_qwen2, qn_family_qwen3, qn_family_qwen3moe, qn_family_gemma2, qn_family_gemma3,
    qn_family_phi3, qn_family_olmo2, qn_family_smollm3, qn_family_starcoder2;

static const struct qn_family *const families[] = {
    &qn_family_gpt2,       &qn_family_opt,   &qn_family_gptneox,  &qn_family_llama,
    &qn_family_qwen2,      &qn_family_qwen3, &qn_family_qwen3moe, &qn_family_gemma2,
    &qn_family_gemma3,     &qn_family_phi3,  &qn_family_olmo2,    &qn_family_smollm3,
    &qn_family_starcoder2,
};
static const size_t n_families = sizeof families / sizeof *families;

const struct qn_family *qn_family_find(const char *name, size_t size) {
    for (size_t i = 0; i < n_families; i++)
        if (strlen(families[i]->name) == size && memcmp(families[i]->name, name, size) == 0)
            return families[i];
    return NULL;
}

const struct qn_family *qn_family_of_model_type(const char *model_type,
                                                const struct qn_model_type **type) {
    for (size_t i = 0; i < n_families; i++)
        for (*type = families[i]->model_types; (*type)->name; (*type)++)
            if (strcmp((*type)->name, model_type) == 0) return families[i];
    return NULL;
}

static void add_name(char *text, size_t capacity, const char *name) {
    const size_t used = strlen(text);
    snprintf(text + used, capacity - used, "%s%s", used ? ", " : "", name);
}

void qn_family_names(char *text, size_t capacity) {
    text[0] = '\0';
    for (size_t i = 0; i < n_families; i++) add_name(text, capacity, families[i]->name);
}

void qn_model_type_names(char *text, size_t capacity) {
    text[0] = '\0';
    for (size_t i = 0; i < n_families; i++)
        for (const struct qn_model_type *type = families[i]->model_types; type->name; type++)
            add_name(text, capacity, type->name);
}
