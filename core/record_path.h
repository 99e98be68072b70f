/* SPDX-License-Identifier: MIT
 *
 * The session an event has when its record doesn't say one: that of the record's path (rule: record.h, bit 64 of an event). Encoder and
 * decoder must agree on it for ever, so it is written once, and does not ask layout.h.
 */
#ifndef MILESTONEFS_RECORD_PATH_H
#define MILESTONEFS_RECORD_PATH_H

#include <stddef.h>
#include <string.h>

#define RECORD_SESSION_BYTES_MAX 128

/** Where in @path its session is: *@ret_len bytes from the pointer returned; 0 bytes when there is none. */
static inline const char *record_path_session(const char *path, size_t *ret_len)
{
	static const char prefix[] = "state/sessions/";
	size_t len;

	*ret_len = 0;
	if (strncmp(path, prefix, sizeof(prefix) - 1) != 0)
		return "";
	path += sizeof(prefix) - 1;
	len = strcspn(path, "/");
	if (len <= RECORD_SESSION_BYTES_MAX)
		*ret_len = len;
	return path;
}

#endif
