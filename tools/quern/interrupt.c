/* SPDX-License-Identifier: Apache-2.0
 *
 * The one variable that a signal handler may set.
 */
#include "interrupt.h"

#include <signal.h>
#include <string.h>

static volatile sig_atomic_t seen; /* the signal's number, or 0 */

static const int ending[] = {SIGINT, SIGTERM, SIGHUP};

static void note(int signal_number) {
    seen = signal_number;
}

static void catch_one(int signal_number, bool once) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = note;
    action.sa_flags = SA_RESTART | (once ? (int)SA_RESETHAND : 0);
    sigaction(signal_number, &action, NULL);
}

void interrupt_catch(bool once) {
    seen = 0;
    catch_one(SIGINT, once);
}

void interrupt_catch_all(void) {
    seen = 0;
    for (size_t i = 0; i < sizeof ending / sizeof *ending; i++) {
        struct sigaction found;
        if (sigaction(ending[i], NULL, &found) == 0 && found.sa_handler != SIG_IGN)
            catch_one(ending[i], true);
    }
}

void interrupt_release(void) {
    for (size_t i = 0; i < sizeof ending / sizeof *ending; i++) {
        struct sigaction found;
        if (sigaction(ending[i], NULL, &found) == 0 && found.sa_handler == note)
            signal(ending[i], SIG_DFL);
    }
}

bool interrupt_seen(void) {
    return seen != 0;
}

void interrupt_obey(void) {
    if (seen == 0) return;
    signal(seen, SIG_DFL);
    raise(seen);
}
