/* SPDX-License-Identifier: MIT
 *
 * Comment-preserving edits.
 */
#include "yaml_edit.h"

#include <errno.h>

int yaml_edit(const char *text, size_t len, const struct yaml_edit *edits, size_t count, struct reason *reason, struct buf *out)
{
	(void)text; (void)len; (void)edits; (void)count; (void)reason; (void)out;
	return -ENOSYS;
}
