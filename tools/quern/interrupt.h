/* SPDX-License-Identifier: Apache-2.0
 *
 * Ctrl-C while an answer is written: asks it to stop.
 */
#ifndef QUERN_TOOLS_INTERRUPT_H
#define QUERN_TOOLS_INTERRUPT_H

#include <stdbool.h>

/* From now until interrupt_release, SIGINT is noted. Where `once` is set the second one ends the
 * program as usual. */
void interrupt_catch(bool once);
void interrupt_release(void);
/* Has there been one since interrupt_catch? */
bool interrupt_seen(void);

#endif
