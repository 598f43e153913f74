/* SPDX-License-Identifier: Apache-2.0
 *
 * What a model's chat template, a Jinja program, says of the system message. It is read, not run.
 */
#ifndef QUERN_TOOLS_CHAT_TEMPLATE_H
#define QUERN_TOOLS_CHAT_TEMPLATE_H

#include <stdbool.h>

/* The tokens around a message of ChatML: <|im_start|>role\ntext<|im_end|>\n */
#define CHATML_OPEN  "<|im_start|>"
#define CHATML_CLOSE "<|im_end|>"

/* The message that a conversation without one, without tools and documents, begins with: the text
 * between "<|im_start|>system\n" and "<|im_end|>". Allocated; NULL when the template has none, or,
 * *missed, one that it puts together. */
char *chat_template_system(const char *chat_template, bool *missed);

#endif
