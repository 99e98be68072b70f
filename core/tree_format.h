/* SPDX-License-Identifier: MIT
 *
 * L4. Numbers of the index snapshot's format that its writer and reader share. The format is specified in tree_dump.c.
 */
#ifndef MILESTONEFS_TREE_FORMAT_H
#define MILESTONEFS_TREE_FORMAT_H

#define TREE_DUMP_MAGIC 0x3149544du /* "MTI1" */
#define TREE_DUMP_FORMAT 1
#define TREE_DUMP_HEADER_BYTES 32
#define TREE_DUMP_NODE_BYTES 20
#define TREE_DUMP_VERSION_BYTES_MIN 21
#define TREE_DUMP_NAME_BYTES_MIN 30
#define TREE_DUMP_EXTENT_BYTES 36

enum tree_dump_flags {
	TREE_DUMP_MTIME_SET = 1,
	TREE_DUMP_CTIME_SAME = 2,
	TREE_DUMP_ATTRS_SAME = 4,
	TREE_DUMP_SIZE64 = 8,
	TREE_DUMP_BLOCK = 16,
	TREE_DUMP_LOG = 32,
	TREE_DUMP_NEW_LOG = 64,
};

#endif
