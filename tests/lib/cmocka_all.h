/* SPDX-License-Identifier: MIT
 *
 * cmocka with the headers it wants included before it.
 */
#ifndef MILESTONEFS_TEST_CMOCKA_ALL_H
#define MILESTONEFS_TEST_CMOCKA_ALL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#endif
