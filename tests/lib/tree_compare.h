/* SPDX-License-Identifier: MIT
 *
 * Holds a tree against the naive model of it (tree_model.h), with everything that can be asked of either (cmocka).
 */
#ifndef MILESTONEFS_TEST_TREE_COMPARE_H
#define MILESTONEFS_TEST_TREE_COMPARE_H

#include "tree.h"
#include "tree_model.h"

/** Names that are looked up also where the model has none. */
#define TREE_COMPARE_NAMES 6
extern const char *const tree_compare_names[TREE_COMPARE_NAMES];

/** All of the model at @seq. @exact: the live view of the tree that saw everything, where also what is altered in place must be right. */
void tree_compare_view(struct tree *t, struct model_state *m, uint64_t seq, bool exact);
/** What the model does not have the tree does not show. */
void tree_compare_unborn(struct tree *t, struct model_state *m, uint64_t seq);
void tree_compare_stats(struct tree *t, struct model_state *m);

#endif
