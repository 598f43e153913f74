/* SPDX-License-Identifier: Apache-2.0
 *
 * How many processors' time, and how much memory, the control groups of this process allow, in
 * versions 1 and 2. A group's own limit may be loose and that of a group above it tight, so all are
 * looked at.
 */
#ifndef QN_HOST_LIMITS_H
#define QN_HOST_LIMITS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

/* "150000 100000" -> 1.5, "max 100000" -> 0 (no limit), nonsense -> 0. */
double qn_limits_parse_cpu_max(const char *text);
/* cpu.cfs_quota_us and cpu.cfs_period_us: "150000", "100000" -> 1.5; "-1" -> 0. */
double qn_limits_parse_cfs(const char *quota, const char *period);

/* Path of this process in the hierarchy that limits processors, from the text of
 * /proc/self/cgroup: version 2 ("0::/a/b") or the version 1 hierarchy of `cpu`
 * ("4:cpu,cpuacct:/a/b"). False when there is none. */
bool qn_limits_find_path(const char *cgroup, bool v2, char *path, size_t size);
/* Where that hierarchy is mounted, and which of its folders the mount shows, from the text of
 * /proc/self/mountinfo. */
bool qn_limits_find_mount(const char *mountinfo, bool v2, char *mount, char *root, size_t size);

/* The folder of this process's group in version 2, where it is shown. */
bool qn_limits_folder(char *folder, size_t size);

/* Processors: the tightest limit on the way from the process's group to the top; 0 when nothing
 * limits. */
double qn_limits_quota(void);
/* The same from the files under a folder in place of "/": root/proc/self/cgroup and so on. */
double qn_limits_quota_under(const char *root);
/* Bytes of memory that the control groups allow, found in the same way; 0 when nothing limits. */
double qn_limits_memory_under(const char *root);

/* Bytes that this process may have at the most: the machine's memory, or what the control groups
 * allow where that is less (*limited). The same from run to run, unlike what is free. 0: the system
 * does not tell. */
double qn_limits_memory(const char *root, bool *limited);
/* QN_NO_MEMORY where so many bytes are more than that: they could be mapped, but whoever touches
 * them all is killed. */
enum qn_status qn_limits_check_memory(const char *root, size_t size, struct qn_error *err);

#endif
