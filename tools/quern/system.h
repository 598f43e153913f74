/* SPDX-License-Identifier: Apache-2.0
 *
 * What the operating system tells of this process and the machine while something runs.
 */
#ifndef QUERN_TOOLS_SYSTEM_H
#define QUERN_TOOLS_SYSTEM_H

#include <stddef.h>
#include <time.h>

/* Bytes of this process in memory, 0 when the system does not tell. */
size_t system_resident(void);

/* Seconds so far that the hypervisor gave to others while processors of this machine had work, all
 * processors together; NAN when the system does not tell. */
double system_stolen(void);
/* Processors that are online. */
int system_processors(void);

/* "2026-12-01T12:00:00Z", UTC as of ISO 8601. */
void system_time_text(time_t time, char *text, size_t size);

/* Name of the processor; "unknown". */
void system_cpu_name(char *text, size_t size);
/* How a processor's clock is governed; "" where the host or the firmware does it. */
void system_governor(int cpu, char *text, size_t size);
/* MHz of a processor now, as the system tells it (virtual machines: the nominal one); NAN when it
 * does not. */
double system_mhz(int cpu);

#endif
