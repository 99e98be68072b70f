/* SPDX-License-Identifier: MIT
 *
 * See prop_world.h: the engine's tree, now and as it was, is the model's.
 */
#include <sys/stat.h>

#include "event_chain.h"
#include "prop_world.h"

static void compare_xattrs(struct prop_world *w, const struct fs_file *f, const struct version *v)
{
	for (size_t i = 0; i < FS_MODEL_XATTRS; i++) {
		const char *value;
		size_t value_len;
		char name[16];
		int size = snprintf(name, sizeof(name), "user.%zu", i);
		int r = tree_xattr_get(v->attrs, name, (size_t)size, &value, &value_len);

		prop_check(w, (r == 0) == f->xattrs[i].set);
		prop_check(w, r || (value_len == strlen(f->xattrs[i].value) && !memcmp(value, f->xattrs[i].value, value_len)));
	}
}

static void compare_file(struct prop_world *w, struct fs_model *m, const char *path, struct node *n, uint64_t seq)
{
	struct fs_entry *entry = fs_model_find(m, path);
	struct tree_attr attr;
	struct fs_file *f;
	char *text = NULL;
	size_t len = strlen(w->what);
	char *end = w->what + len;

	snprintf(end, sizeof(w->what) - len, ", at %lld: %s", seq == SEQ_LIVE ? -1LL : (long long)seq, path);
	prop_check(w, entry);
	f = &m->files[entry->file];
	prop_check(w, !tree_attr_at(engine_tree(w->e), n, seq, INT64_MAX, &attr));
	prop_check(w, attr.mode == f->mode);
	prop_check(w, attr.uid == f->uid);
	prop_check(w, attr.gid == f->gid);
	prop_check(w, !f->mtime_known || attr.mtime_ns == f->mtime_ns);
	prop_check(w, !S_ISLNK(f->mode) || !strcmp(n->symlink, f->content->data));
	compare_xattrs(w, f, tree_version_at(n, seq));
	if (seq == SEQ_LIVE && !S_ISDIR(f->mode))
		prop_check(w, attr.nlink == fs_model_names(m, entry->file));
	if (S_ISREG(f->mode)) {
		prop_check(w, attr.size == fs_model_size(f));
		prop_check(w, !fixture_read(w->e, path, seq, &text, &len));
		prop_check(w, len == fs_model_size(f) && (!len || !memcmp(text, f->content->data, len)));
		free(text);
	}
	*end = '\0';
}

static size_t compare_dir(struct prop_world *w, struct fs_model *m, const char *path, uint64_t seq)
{
	struct node *dir = tree_resolve(engine_tree(w->e), path, seq);
	struct dentry **list;
	size_t count, found = 1;
	char child[FS_MODEL_PATH];

	prop_check(w, dir);
	prop_check(w, !tree_list(engine_tree(w->e), dir, seq, &list, &count));
	for (size_t i = 0; i < count; i++) {
		int n = snprintf(child, sizeof(child), "%s/%s", path, list[i]->name->text);

		prop_check(w, n < FS_MODEL_PATH);
		compare_file(w, m, child, list[i]->node, seq);
		if (S_ISDIR(list[i]->node->newest->attrs->mode))
			found += compare_dir(w, m, child, seq);
		else
			found++;
	}
	free(list);
	return found;
}

void prop_compare(struct prop_world *w, struct fs_model *m, uint64_t seq)
{
	size_t found = compare_dir(w, m, prop_bases[0], seq) + compare_dir(w, m, prop_bases[1], seq);

	prop_check(w, found + 3 == fs_model_count(m)); /* the model also has state, sessions, s0 */
}

void prop_save_state(struct prop_world *w)
{
	size_t i = (size_t)rng_below(&w->rng, PROP_SAVED);

	fs_model_free(w->saved[i].m);
	w->saved[i].m = fs_model_copy(w->m);
	w->saved[i].seq = engine_head_seq(w->e);
}

void prop_compare_history(struct prop_world *w, int count)
{
	while (count--) {
		size_t i = (size_t)rng_below(&w->rng, PROP_SAVED);

		if (w->saved[i].m)
			prop_compare(w, w->saved[i].m, w->saved[i].seq);
	}
}

void prop_compare_events(struct prop_world *w)
{
	size_t len;
	char *text = fixture_events(w->e, &len);

	prop_check(w, event_chain_holds(text, len));
	free(text);
}
