/* SPDX-License-Identifier: Apache-2.0
 *
 * Subcommands of profile and bench; argv[0] is the subcommand's name.
 */
#ifndef QUERN_TOOLS_PROFILE_COMMANDS_H
#define QUERN_TOOLS_PROFILE_COMMANDS_H

int command_profile_diff(int argc, char **argv);
int command_bench_compare(int argc, char **argv);
int command_bench_ab(int argc, char **argv);

#endif
