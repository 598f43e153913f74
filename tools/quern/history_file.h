/* SPDX-License-Identifier: Apache-2.0
 *
 * The history of chats, which several of them may write at a time.
 */
#ifndef QUERN_TOOLS_HISTORY_FILE_H
#define QUERN_TOOLS_HISTORY_FILE_H

#include <histedit.h>

/* $XDG_STATE_HOME/quern/history, its folder made; allocated, NULL when there is no home. */
char *history_file_path(void);

/* An empty one, as long as the file may be, which keeps a line that is repeated once; NULL without
 * memory. */
History *history_file_list(void);

/* Appends a line to what is in the file by then. 0, or errno. */
int history_file_append(const char *path, const char *line);

#endif
