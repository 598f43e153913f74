/* SPDX-License-Identifier: Apache-2.0
 *
 * Entry points of the subcommands: argv[0] is the subcommand's name; they return the program's
 * exit status.
 */
#ifndef QUERN_TOOLS_COMMANDS_H
#define QUERN_TOOLS_COMMANDS_H

int command_run(int argc, char **argv);
int command_tokenize(int argc, char **argv);
int command_logits(int argc, char **argv);
int command_bench(int argc, char **argv);
int command_plan(int argc, char **argv);
int command_inspect(int argc, char **argv);
int command_verify(int argc, char **argv);
int command_doctor(int argc, char **argv);
int command_profile(int argc, char **argv);
int command_kbench(int argc, char **argv);
int command_tune(int argc, char **argv);

#endif
