/* SPDX-License-Identifier: MIT
 *
 * FUSE node numbers (and st_ino). Stable, persistent for the live tree, never freed on FORGET.
 *
 *   0x0…               a live inode: its number (the root is 1, as FUSE wants it)
 *   bit 63             a virtual entry: index into the vnode table (stable while mounted; same path, same number)
 *   bit 62             an inode as seen in a view: bits 61..40 the view's slot, bits 39..0 the inode number
 */
#ifndef MILESTONEFS_NODE_ID_H
#define MILESTONEFS_NODE_ID_H

#include <stdbool.h>
#include <stdint.h>

#define NODE_ID_VIRTUAL (UINT64_C(1) << 63)
#define NODE_ID_VIEW (UINT64_C(1) << 62)

static inline bool node_id_is_virtual(uint64_t id)
{
	return id & NODE_ID_VIRTUAL;
}
static inline bool node_id_is_view(uint64_t id)
{
	return !(id & NODE_ID_VIRTUAL) && (id & NODE_ID_VIEW);
}
static inline bool node_id_is_live(uint64_t id)
{
	return !(id & (NODE_ID_VIRTUAL | NODE_ID_VIEW));
}
static inline uint64_t node_id_view(uint32_t slot, uint64_t ino)
{
	return NODE_ID_VIEW | (uint64_t)slot << 40 | ino;
}
static inline uint32_t node_id_view_slot(uint64_t id)
{
	return (uint32_t)(id >> 40) & ((1u << 22) - 1);
}
static inline uint64_t node_id_view_ino(uint64_t id)
{
	return id & ((UINT64_C(1) << 40) - 1);
}

#endif
