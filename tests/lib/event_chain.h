/* SPDX-License-Identifier: MIT
 *
 * Verifies the text of an event log by the recipe of event.h, from the text alone: no code of core/event*.c.
 */
#ifndef MILESTONEFS_TEST_EVENT_CHAIN_H
#define MILESTONEFS_TEST_EVENT_CHAIN_H

#include <stdbool.h>
#include <stddef.h>

/** Every line of a global log: both chains and all numbers. Prints what is wrong with which line. */
bool event_chain_holds(const char *text, size_t len);

#endif
