/* SPDX-License-Identifier: Apache-2.0
 *
 * Ctrl-C while an answer is written: asks it to stop. And signals that end the program, where it
 * has to clean up first.
 */
#ifndef QUERN_TOOLS_INTERRUPT_H
#define QUERN_TOOLS_INTERRUPT_H

#include <stdbool.h>

/* From now until interrupt_release, SIGINT is noted. Where `once` is set the second one ends the
 * program as usual. */
void interrupt_catch(bool once);
/* The same of SIGINT, SIGTERM and SIGHUP, but for those that are ignored; the second one of each
 * ends the program as usual. */
void interrupt_catch_all(void);
void interrupt_release(void);
/* Has there been one since they were caught? */
bool interrupt_seen(void);
/* Ends the program by the signal that was seen, if there was one. */
void interrupt_obey(void);

#endif
