/* SPDX-License-Identifier: MIT
 *
 * What the records under transactions/ share.
 *
 * A transaction's id is "tx-YYYYMMDDTHHMMSS.uuuuuuZ-NNNNNNNNNN": its commit time and its sequence number, so ids sort by time and a name leads
 * straight to its record. An open draft's is "tx-…Z-dN": when it began, and its number.
 */
#ifndef MILESTONEFS_VFILE_TRANSACTIONS_H
#define MILESTONEFS_VFILE_TRANSACTIONS_H

#include "vfile.h"

#define TX_ID_BYTES 64

void tx_id_format(int64_t time_ns, uint64_t seq, char out[TX_ID_BYTES]);
void tx_draft_id_format(int64_t time_ns, uint64_t draft_id, char out[TX_ID_BYTES]);
/** The number at the end of "tx-…Z-NNN" + @suffix, or of "tx-…Z-dN" when @draft. 0 when it is no such name. The time is the caller's to compare. */
uint64_t tx_name_number(const char *name, const char *suffix, bool draft);

/** "  key: value" lines; NULL or "" is null. */
void tx_put_text(struct buf *out, const char *key, const char *value);
void tx_put_time(struct buf *out, const char *key, int64_t time_ns);
void tx_put_actor(struct buf *out, const struct actor *a);
/** The whole `backup:` mapping; @sha NULL: null. */
void tx_put_backup(struct buf *out, const char *path, bool created, const struct sha256 *sha);

#endif
