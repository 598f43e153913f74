/* SPDX-License-Identifier: Apache-2.0
 *
 * The one variable that a signal handler may set.
 */
#include "interrupt.h"

#include <signal.h>
#include <string.h>

static volatile sig_atomic_t seen;

static void note(int signal_number) {
    (void)signal_number;
    seen = 1;
}

void interrupt_catch(bool once) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = note;
    action.sa_flags = SA_RESTART | (once ? (int)SA_RESETHAND : 0);
    seen = 0;
    sigaction(SIGINT, &action, NULL);
}

void interrupt_release(void) {
    signal(SIGINT, SIG_DFL);
}

bool interrupt_seen(void) {
    return seen != 0;
}
