/* SPDX-License-Identifier: MIT
 *
 * See setid.h. When it is to be done is decided where the request is carried out (op_attr.c, op_file_open.c, handle_io.c).
 */
#include "setid.h"

#include <sys/stat.h>

#include "entry.h"

mode_t setid_mode(mode_t mode)
{
	mode_t strip = S_ISUID | (mode & S_IXGRP ? S_ISGID : 0);

	return S_ISDIR(mode) ? mode : mode & ~strip;
}

int setid_remove(struct fs *fs, struct request *q, uint64_t ino)
{
	struct change c = {.type = CHANGE_ATTR, .ino = ino, .attr_mask = ATTR_MODE};
	struct tree_attr attr;
	int r;

	r = entry_live_attr(fs, ino, &attr);
	if (r < 0 || setid_mode(attr.mode) == attr.mode)
		return r < 0 ? r : 0;
	c.mode = setid_mode(attr.mode) & 07777;
	r = engine_setattr(fs->engine, q, ino, &c, &attr);
	return r < 0 ? r : 1;
}
