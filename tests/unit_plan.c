/* SPDX-License-Identifier: Apache-2.0
 *
 * Placement of buffers, the blocks of the KV cache, and the plan's own promises.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "plan/place.h"
#include "plan/plan.h"
#include "run/kv_blocks.h"

/* xorshift64*, so that a failure can be repeated by its seed. */
static uint64_t next_random(uint64_t *state) {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 2685821657736338717u;
}

static bool overlap(size_t a, size_t a_size, size_t b, size_t b_size) {
    return a < b + b_size && b < a + a_size;
}

/* Random lifetimes on a line of steps; buffers whose lifetimes touch conflict. */
Test(place, no_live_overlap) {
    for (uint64_t seed = 1; seed <= 2000; seed++) {
        uint64_t state = seed;
        size_t sizes[QN_PLACE_MAX], offsets[QN_PLACE_MAX], sum = 0;
        uint32_t conflicts[QN_PLACE_MAX] = {0};
        int first[QN_PLACE_MAX], last[QN_PLACE_MAX];
        const int n = 1 + (int)(next_random(&state) % QN_PLACE_MAX);
        for (int i = 0; i < n; i++) {
            sizes[i] = next_random(&state) % 5000;
            first[i] = (int)(next_random(&state) % 20);
            last[i] = first[i] + (int)(next_random(&state) % 8);
            sum += (sizes[i] + QN_PLACE_ALIGNMENT - 1) / QN_PLACE_ALIGNMENT * QN_PLACE_ALIGNMENT;
        }
        for (int i = 0; i < n; i++)
            for (int j = 0; j < n; j++)
                if (first[i] <= last[j] && first[j] <= last[i]) conflicts[i] |= 1u << j;
        const size_t total = qn_place(n, sizes, conflicts, offsets);
        cr_assert_leq(total, sum, "seed %lu: %zu bytes for %zu", seed, total, sum);
        for (int i = 0; i < n; i++) {
            cr_assert_eq(offsets[i] % QN_PLACE_ALIGNMENT, 0);
            cr_assert_leq(offsets[i] + sizes[i], total, "seed %lu: buffer %d beyond the end", seed,
                          i);
            for (int j = 0; j < i; j++)
                cr_assert(!(conflicts[i] >> j & 1) ||
                              !overlap(offsets[i], sizes[i], offsets[j], sizes[j]),
                          "seed %lu: buffers %d and %d overlap while both live", seed, i, j);
        }
    }
}

Test(place, buffers_that_never_meet_share) {
    const size_t sizes[4] = {1000, 4000, 300, 2000};
    const uint32_t conflicts[4] = {1, 2, 4, 8};
    size_t offsets[4];
    cr_assert_eq(qn_place(4, sizes, conflicts, offsets), 4096);
    for (int i = 0; i < 4; i++) cr_assert_eq(offsets[i], 0);
}

/* Blocks are owned once, tables lead to the right number, and growth up to n_ctx never fails. */
static void check_owners(const struct qn_kv_blocks *kv, uint64_t seed) {
    int *const owners = calloc((size_t)kv->n_blocks, sizeof *owners), used = 0;
    for (int s = 0; s < kv->n_sequences; s++) {
        used += kv->lengths[s];
        for (int b = 0; b < (kv->lengths[s] + QN_KV_BLOCK - 1) / QN_KV_BLOCK; b++)
            owners[kv->tables[s * kv->sequence_blocks + b]]++;
    }
    for (int i = 0; i < kv->n_free; i++) owners[kv->free[i]]++;
    for (int b = 0; b < kv->n_blocks; b++)
        cr_assert_eq(owners[b], 1, "seed %lu: block %d has %d owners", seed, b, owners[b]);
    cr_assert_eq(used, kv->n_used);
    free(owners);
}

Test(kv_blocks, each_has_one_owner) {
    for (uint64_t seed = 1; seed <= 200; seed++) {
        uint64_t state = seed;
        struct qn_kv_blocks kv;
        const int n_ctx = 1 + (int)(next_random(&state) % 700);
        const int n_sequences = 1 + (int)(next_random(&state) % 5);
        const int one = (n_ctx + QN_KV_BLOCK - 1) / QN_KV_BLOCK, enough = one + n_sequences - 1;
        const int n_blocks = enough < n_ctx ? enough : n_ctx;
        cr_assert_eq(qn_kv_blocks_new(n_ctx, n_blocks, one, n_sequences, &kv, NULL), QN_OK);
        for (int step = 0; step < 2000; step++) {
            const int s = (int)(next_random(&state) % (unsigned)n_sequences);
            if (next_random(&state) % 100 == 0)
                qn_kv_blocks_truncate(&kv, s, (int)(next_random(&state) % 300));
            else if (kv.n_used < n_ctx)
                qn_kv_blocks_append(&kv, s);
            if (step % 50 == 0) check_owners(&kv, seed);
        }
        check_owners(&kv, seed);
        qn_kv_blocks_free(&kv);
    }
}

static void open_spec(const char *name, struct qn_checkpoint **checkpoint, struct qn_spec *spec) {
    char path[512];
    struct qn_error err = {0};
    snprintf(path, sizeof path, "%s/%s", TEST_DATA, name);
    cr_assert_eq(qn_checkpoint_open(path, checkpoint, &err), QN_OK, "%s", err.message);
    cr_assert_eq(qn_spec_read(*checkpoint, &(struct qn_kernels){.tile_rows = 16}, NULL, spec, &err),
                 QN_OK, "%s", err.message);
}

static const struct qn_limits limits = {
    .n_ctx = 190, .n_ubatch = 32, .n_sequences = 2, .n_logits = 3, .n_threads = 2};

static bool lies_apart(const struct qn_buffer *a, const struct qn_buffer *b) {
    return !overlap(a->offset, a->row_size * (size_t)a->n_rows, b->offset,
                    b->row_size * (size_t)b->n_rows);
}

/* Replays the steps for m tokens: what is read was written before, and since then nothing that lies
 * on the same bytes was; nor is what a step without a barrier uses while another thread has gone
 * on. Prepared rows of a single token are each thread's own. */
static void check_steps(const struct qn_plan *plan, const char *name, int m) {
    const uint32_t acts =
        1u << QN_BUFFER_ACT_F32 | 1u << QN_BUFFER_ACT_Q8 | 1u << QN_BUFFER_ACT_Q8X2;
    const uint32_t shared = m == 1 ? ~acts : ~0u;
    uint32_t valid = 0, together = 0;
    for (int s = 0; s < plan->n_steps; s++) {
        const uint32_t reads = qn_step_reads(&plan->steps[s]) & shared;
        const uint32_t writes = qn_step_writes(&plan->steps[s]) & shared;
        cr_assert_eq(reads & ~valid, 0, "%s: step %d reads %x, valid are %x", name, s, reads,
                     valid);
        for (int w = 0; w < QN_BUFFER_COUNT; w++)
            for (int b = 0; b < QN_BUFFER_COUNT; b++)
                if (writes >> w & 1 && b != w &&
                    !lies_apart(&plan->buffers[w], &plan->buffers[b])) {
                    cr_assert(!((reads | writes | together) >> b & 1),
                              "%s, %d tokens: step %d uses %s and %s, which overlap", name, m, s,
                              plan->buffers[w].name, plan->buffers[b].name);
                    valid &= ~(1u << b);
                }
        valid |= writes;
        together |= reads | writes;
        if (qn_step_has_barrier(plan, &plan->steps[s], m, 1)) together = 0;
    }
    cr_assert(valid >> QN_BUFFER_LOGITS & 1);
}

Test(plan, reads_what_was_written) {
    static const char *const names[] = {"models/llama-f32.gguf",
                                        "models/qwen2-mixed.gguf",
                                        "models/llama-q4_k.gguf",
                                        "models/llama-f16.gguf",
                                        "hf/gemma2",
                                        "hf/olmo2",
                                        "hf/opt-postnorm",
                                        "hf/gpt_neox",
                                        "hf/mixtral",
                                        "hf/qwen3_moe"};
    for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
        struct qn_checkpoint *checkpoint;
        struct qn_spec spec;
        struct qn_plan plan;
        open_spec(names[n], &checkpoint, &spec);
        struct qn_error err = {0};
        cr_assert_eq(qn_plan_new(&spec, &limits, &plan, &err), QN_OK, "%s: %s", names[n],
                     err.message);
        check_steps(&plan, names[n], 1);
        check_steps(&plan, names[n], 2);
        qn_plan_free(&plan);
        qn_spec_free(&spec);
        qn_checkpoint_close(checkpoint);
    }
}

/* Records of heads that threads share: where a token may see several spans and threads have no
 * heads of their own. Two KV heads, one in the model whose layers all have a window of 16; Gemma
 * has some without. */
Test(plan, has_records_where_threads_share_heads) {
    static const struct {
        const char *name;
        int n_ctx, n_threads;
        bool tapped;
        int n_heads, n_spans;
    } cases[] = {
        {"models/llama-f32.gguf", 512, 3, false, 0, 0},
        {"models/llama-f32.gguf", 513, 3, false, 2, 2},
        {"models/llama-f32.gguf", 4096, 3, false, 2, 8},
        {"models/llama-f32.gguf", 4096, 3, true, 0, 0},
        {"models/llama-f32.gguf", 4096, 2, false, 0, 0},
        {"models/llama-f32.gguf", 4096, 1, false, 0, 0},
        {"models/llama-window-f32.gguf", 4096, 3, false, 1, 2},
        {"hf/gemma2", 4096, 3, false, 2, 8},
        {"hf/olmo2", 4096, 3, false, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct qn_checkpoint *checkpoint;
        struct qn_spec spec;
        struct qn_plan plan;
        struct qn_limits of_case = limits;
        of_case.n_ctx = cases[i].n_ctx;
        of_case.n_threads = cases[i].n_threads;
        of_case.tapped = cases[i].tapped;
        open_spec(cases[i].name, &checkpoint, &spec);
        cr_assert_eq(qn_plan_new(&spec, &of_case, &plan, NULL), QN_OK);
        const size_t record = qn_attention_part_size(spec.hparams.head_size);
        const int group = spec.hparams.n_heads / spec.hparams.n_kv_heads;
        cr_expect_eq(plan.buffers[QN_BUFFER_PARTS].n_rows, cases[i].n_heads, "case %zu", i);
        cr_expect_eq(plan.buffers[QN_BUFFER_PARTS].row_size,
                     (size_t)(cases[i].n_spans * group) * record, "case %zu", i);
        if (!cases[i].tapped) check_steps(&plan, cases[i].name, 1);
        qn_plan_free(&plan);
        qn_spec_free(&spec);
        qn_checkpoint_close(checkpoint);
    }
}

static int barriers_of_layer(const char *name, int layer, int n_threads) {
    struct qn_checkpoint *checkpoint;
    struct qn_spec spec;
    struct qn_plan plan;
    struct qn_limits of_threads = limits;
    of_threads.n_threads = n_threads;
    open_spec(name, &checkpoint, &spec);
    cr_assert_eq(qn_plan_new(&spec, &of_threads, &plan, NULL), QN_OK);
    int barriers = 0;
    for (int s = 0; s < plan.n_steps; s++)
        barriers +=
            plan.steps[s].layer == layer && qn_step_has_decode_barrier(&plan, &plan.steps[s]);
    qn_plan_free(&plan);
    qn_spec_free(&spec);
    qn_checkpoint_close(checkpoint);
    return barriers;
}

/* Five; one less where each thread has whole KV heads whose rows are whole tiles of 16; two less
 * where attention and MLP stand side by side; one more for a router. */
Test(plan, barriers_of_a_layer) {
    static const struct {
        const char *name;
        int layer, n_threads, barriers;
    } cases[] = {
        {"models/llama-q4_1.gguf", 0, 1, 4},
        {"models/llama-q4_1.gguf", 0, 2, 4},
        {"models/llama-q4_1.gguf", 0, 3, 5},
        {"models/llama-q4_1.gguf", 0, 4, 5},
        {"models/gpt2-f32.gguf", 0, 2, 5},
        {"models/qwen3-f32.gguf", 0, 3, 5},
        {"models/gptneox-f32.gguf", 0, 2, 3},
        {"models/gptneox-f32.gguf", 0, 3, 2},
        {"hf/gpt_neox-serial", 0, 2, 5},
        {"hf/gemma2", 0, 2, 4},
        {"hf/gemma2", 1, 3, 5},
        {"hf/opt-postnorm", 0, 2, 5},
        {"hf/qwen3_moe", 0, 3, 5},
        {"hf/qwen3_moe", 1, 3, 6},
        {"hf/mixtral", 0, 2, 6},
        {"hf/olmo2", 0, 2, 5},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        cr_expect_eq(barriers_of_layer(cases[i].name, cases[i].layer, cases[i].n_threads),
                     cases[i].barriers, "%s, layer %d, %d threads: %d", cases[i].name,
                     cases[i].layer, cases[i].n_threads,
                     barriers_of_layer(cases[i].name, cases[i].layer, cases[i].n_threads));
}

Test(plan, refuses_limits) {
    struct qn_checkpoint *checkpoint;
    struct qn_spec spec;
    struct qn_plan plan;
    struct qn_error err;
    open_spec("models/llama-f32.gguf", &checkpoint, &spec);
    struct qn_limits bad[4] = {limits, limits, limits, limits};
    bad[0].n_ctx = 0;
    bad[1].n_ubatch = 1 << 20;
    bad[2].cache = QN_CACHE_F16_Q8_0; /* head size 16 */
    bad[3].n_sequences = -1;
    for (int i = 0; i < 4; i++) {
        err.message[0] = '\0';
        cr_assert_neq(qn_plan_new(&spec, &bad[i], &plan, &err), QN_OK, "case %d", i);
        cr_assert(err.message[0], "case %d", i);
    }
    qn_spec_free(&spec);
    qn_checkpoint_close(checkpoint);
}
