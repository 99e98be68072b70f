/* SPDX-License-Identifier: MIT
 *
 * The names of operations, from OPERATION_LIST.
 */
#include "record.h"

const char *operation_name(enum operation op)
{
	switch (op) {
#define X(id, name, text)      \
	case OPERATION_##name: \
		return text;
		OPERATION_LIST(X)
#undef X
	}
	return "unknown";
}
