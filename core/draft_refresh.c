/* SPDX-License-Identifier: MIT
 *
 * A reader's step forward: what a draft shows below its own bytes becomes the newest version, as long as it has none of its own.
 * Needed when a process obtains a lock on a file it opened earlier: read-modify-write under a lock must not
 * begin with what the file was at open.
 */
#include <stdlib.h>

#include "engine_internal.h"

void draft_refresh(struct draft *d)
{
	pthread_mutex_lock(&d->lock);
	if (!d->dirty && !d->refused && d->node) {
		engine_lock(d->e);
		d->base = d->node->newest;
		engine_unlock(d->e);
		free(d->base_text);
		d->base_text = NULL;
	}
	pthread_mutex_unlock(&d->lock);
}
