/* SPDX-License-Identifier: MIT
 *
 * Arbitrary bytes as an index snapshot; what loads is then read in several views.
 */
#include "tree.h"
#include "tree_walk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tree *t = tree_new(0, 0, 0);

	if (t && !tree_load(t, data, size)) {
		walk_view(t, 0);
		walk_view(t, 5);
		walk_view(t, SEQ_LIVE);
	}
	tree_free(t);
	return 0;
}
