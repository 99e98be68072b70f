/* SPDX-License-Identifier: MIT
 *
 * The tree from bytes (format: tree_dump.c). Two passes: nodes and versions as they come, collecting the names;
 * then the names, dead ones in order of death and live ones in order of creation, so that directories list as they did.
 *
 * The bytes are not trusted: every length is checked against what is left before memory is taken for it, so
 * memory is bounded by the input; every reference and every order that other code relies on is checked. What passes may still
 * be nonsense, but no reader or change can crash or hang on it. Failure leaves a tree that can only be freed.
 */
#include "tree_internal.h"

#include <errno.h>
#include <stdlib.h>

#include "tree_format.h"

/* A bounded reader: once something was missing, `bad` stays and everything reads as zero. */
struct reader {
	const uint8_t *at;
	size_t left;
	bool bad;
};

struct loaded_name {
	uint64_t key;
	struct dentry *dentry;
	const uint8_t *text; /* length byte and name, in the input */
};

struct name_list {
	struct loaded_name *items;
	size_t count, capacity;
};

struct loader {
	struct tree *tree;
	struct reader in;
	uint64_t seq;
	struct name_list live, dead;
};

static const uint8_t *get_bytes(struct reader *r, size_t len)
{
	static const uint8_t zeros[64];
	const uint8_t *at = r->at;

	if (len > r->left) {
		r->bad = true;
		r->left = 0;
		return len <= sizeof(zeros) ? zeros : NULL;
	}
	r->at += len;
	r->left -= len;
	return at;
}

static uint8_t get_u8(struct reader *r)
{
	return *get_bytes(r, 1);
}
static uint16_t get_u16(struct reader *r)
{
	return get_le16(get_bytes(r, 2));
}
static uint32_t get_u32(struct reader *r)
{
	return get_le32(get_bytes(r, 4));
}
static uint64_t get_u64(struct reader *r)
{
	return get_le64(get_bytes(r, 8));
}

/* ---- attributes ---- */

static int load_xattrs(struct loader *l, struct attrs *a)
{
	struct reader *in = &l->in;
	uint32_t count = get_u16(in);

	for (uint32_t i = 0; i < count && !in->bad; i++) {
		struct change c = {.type = CHANGE_XATTR};

		c.name_len = get_u8(in);
		c.value_len = get_u32(in);
		c.name = (const char *)get_bytes(in, c.name_len);
		c.value = (const char *)get_bytes(in, c.value_len);
		if (in->bad || !tree_xattr_fits(&c, a))
			return -EBADMSG;
		if (bump_reserve(&l->tree->text, tree_xattr_bytes(c.name_len, c.value_len, i)) || tree_blobs_reserve(l->tree, 2))
			return -ENOMEM;
		a->xattrs = tree_xattrs_with(l->tree, a->xattrs, c.name, c.name_len, c.value, c.value_len);
	}
	return 0;
}

static int load_attrs(struct loader *l, mode_t type, struct attrs *ret)
{
	struct reader *in = &l->in;
	struct attrs a = {0};
	int r;

	a.mode = type | (get_u32(in) & 07777);
	a.uid = get_u32(in);
	a.gid = get_u32(in);
	a.atime_set = get_u8(in) != 0;
	if (a.atime_set)
		a.atime_ns = (int64_t)get_u64(in);
	r = load_xattrs(l, &a);
	if (r || in->bad)
		return r ? r : -EBADMSG;
	*ret = a;
	return 0;
}

/* ---- versions ---- */

static int load_log(struct loader *l, struct version *v, bool is_new)
{
	const struct version *o = v->older;
	struct reader *in = &l->in;
	uint32_t appends_from = is_new ? get_u32(in) : 0, had = 0, count;
	struct content *c;

	if (is_new) {
		if (pool_reserve(&l->tree->contents, 1))
			return -ENOMEM;
		c = tree_content_new(l->tree);
	} else if (o && o->has_log) {
		c = o->content;
		appends_from = c->appends_from;
		had = c->count;
	} else {
		return -EBADMSG;
	}
	count = get_u32(in);
	if (in->bad || !count || count < had || (count - had) > in->left / TREE_DUMP_EXTENT_BYTES)
		return -EBADMSG;
	if (tree_content_reserve(l->tree, c, count - had))
		return -ENOMEM;
	for (uint32_t i = had; i < count; i++) {
		const uint8_t *b = get_bytes(in, TREE_DUMP_EXTENT_BYTES);
		struct extent e = {get_le64(b), get_le64(b + 8), get_le64(b + 16), get_le32(b + 24), get_le32(b + 28), get_le32(b + 32)};

		if (!tree_extent_ok(&e, INT64_MAX))
			return -EBADMSG;
		tree_content_append(c, &e, 0);
	}
	/* What lay beyond the dumped part is forgotten; a number that pointed there means "nothing is known". */
	c->appends_from = appends_from;
	v->has_log = 1;
	v->content = c;
	v->log_count = count;
	return 0;
}

static int load_version(struct loader *l, struct node *n, mode_t type)
{
	struct reader *in = &l->in;
	struct version *o = n->newest, *v;
	const uint8_t *b = get_bytes(in, 17);
	uint8_t flags = b[0];
	uint64_t born = get_le64(b + 1);
	int64_t mtime_ns = (int64_t)get_le64(b + 9);
	struct attrs a = {0};
	int r = 0;

	if (in->bad || flags > 127 || born > l->seq || (o && born <= o->born))
		return -EBADMSG;
	v = tree_version_push(l->tree, n, born);
	v->ctime_ns = flags & TREE_DUMP_CTIME_SAME ? mtime_ns : (int64_t)get_u64(in);
	if (!(flags & TREE_DUMP_ATTRS_SAME))
		r = load_attrs(l, type, &a);
	else if (o)
		a = *o->attrs;
	else
		r = -EBADMSG;
	if (r)
		return r;
	if (tree_attrs_reserve(l->tree, 1))
		return -ENOMEM;
	tree_attrs_set_mtime(&a, mtime_ns, v->ctime_ns, flags & TREE_DUMP_MTIME_SET);
	v->attrs = tree_attrs_intern(l->tree, &a);
	v->size = flags & TREE_DUMP_SIZE64 ? get_u64(in) : get_u32(in);
	if (v->size > INT64_MAX || (type == S_IFLNK ? v->size != strlen(n->symlink) : type != S_IFREG && v->size))
		return -EBADMSG;
	if (!(flags & (TREE_DUMP_BLOCK | TREE_DUMP_LOG | TREE_DUMP_NEW_LOG)))
		return in->bad ? -EBADMSG : 0;
	if (type != S_IFREG)
		return -EBADMSG;
	if (flags & TREE_DUMP_LOG)
		return flags & TREE_DUMP_BLOCK ? -EBADMSG : load_log(l, v, flags & TREE_DUMP_NEW_LOG);
	v->position = get_u64(in);
	v->stored_len = get_u32(in);
	return in->bad || !v->position || !v->size || !v->stored_len || v->stored_len > v->size || v->size > UINT32_MAX ? -EBADMSG : 0;
}

/* ---- names ---- */

static int load_name(struct loader *l, struct node *n, struct dentry ***tail, uint64_t *newer_born)
{
	struct reader *in = &l->in;
	const uint8_t *b = get_bytes(in, TREE_DUMP_NAME_BYTES_MIN - 1), *text;
	struct name_list *list;
	struct dentry *d;

	if (in->bad || !b[28] || b[28] > in->left)
		return -EBADMSG;
	text = b + 28;
	(void)get_bytes(in, *text);
	d = pool_get(&l->tree->dentries);
	d->born = get_le64(b + 8);
	d->died = get_le64(b + 16);
	d->order = get_le32(b + 24);
	d->node = n;
	if (d->born > l->seq || d->born > *newer_born || d->died <= d->born || (d->died > l->seq && d->died != SEQ_NEVER))
		return -EBADMSG;
	if (node_is_dir(n) && *newer_born != SEQ_NEVER && d->died > *newer_born)
		return -EBADMSG; /* a directory with two names at once */
	*newer_born = d->born;
	**tail = d;
	*tail = &d->names_next;
	l->tree->stats.dentries++;
	list = d->died == SEQ_NEVER ? &l->live : &l->dead;
	if (array_reserve(&list->items, &list->capacity, list->count + 1, sizeof(*list->items)))
		return -ENOMEM;
	/* The parent may be further on in the input: its number is looked up when all are there. */
	list->items[list->count++] = (struct loaded_name){.key = get_le64(b), .dentry = d, .text = text};
	return 0;
}

static int load_names(struct loader *l, struct node *n, uint32_t count)
{
	struct dentry **tail = &n->names;
	uint64_t newer_born = SEQ_NEVER;
	int r = 0;

	if (count > l->in.left / TREE_DUMP_NAME_BYTES_MIN || (count && n->ino == TREE_ROOT_INO))
		return -EBADMSG;
	if (pool_reserve(&l->tree->dentries, count))
		return -ENOMEM;
	for (uint32_t i = 0; !r && i < count; i++)
		r = load_name(l, n, &tail, &newer_born);
	return r;
}

/* Sort by key, stable: least significant digits first; digits that are all the same cost one look. */
static int sort_by_key(struct name_list *list)
{
	struct loaded_name *from = list->items, *to;
	size_t i = 1;

	while (i < list->count && from[i - 1].key <= from[i].key)
		i++;
	if (i >= list->count)
		return 0;
	to = malloc(list->count * sizeof(*to));
	if (!to)
		return -ENOMEM;
	for (unsigned shift = 0; shift < 64; shift += 11) {
		size_t starts[2049] = {0};
		bool same = false;

		for (i = 0; i < list->count; i++)
			starts[(from[i].key >> shift & 2047) + 1]++;
		for (i = 1; i <= 2048; i++) {
			same |= starts[i] == list->count;
			starts[i] += starts[i - 1];
		}
		if (same)
			continue;
		for (i = 0; i < list->count; i++)
			to[starts[from[i].key >> shift & 2047]++] = from[i];
		list->items = to;
		to = from;
		from = list->items;
	}
	list->capacity = list->count;
	free(to);
	return 0;
}

static int resolve_parents(struct loader *l, struct name_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		struct node *parent = tree_node(l->tree, list->items[i].key);

		if (!parent || !node_is_dir(parent))
			return -EBADMSG;
		list->items[i].dentry->parent = parent;
		list->items[i].key = list->items[i].dentry->order;
	}
	return 0;
}

/* Names in @list go to their directories. Text is shared with earlier entries of the same name. */
static int insert_names(struct loader *l, struct name_list *list, void (*insert)(struct tree *, struct dentry *))
{
	struct tree *t = l->tree;

	for (size_t i = 0; i < list->count; i++) {
		struct dentry *d = list->items[i].dentry, *tomb;
		const char *text = (const char *)list->items[i].text + 1;
		size_t len = list->items[i].text[0];

		if (!tree_name_ok(text, len) || tree_live_find(t, d->parent, text, len))
			return -EBADMSG;
		tomb = tree_tomb_find(t, d->parent, text, len);
		if (tomb && tomb->died > d->born)
			return -EBADMSG;
		if (!tomb && bump_reserve(&t->text, sizeof(struct name) + len + 1 + BUMP_ALIGN_MAX))
			return -ENOMEM;
		d->name = tomb ? tomb->name : tree_name_new(t, text, len);
		insert(t, d);
	}
	return 0;
}

static int place_names(struct loader *l)
{
	int r;

	if ((r = resolve_parents(l, &l->dead)) || (r = resolve_parents(l, &l->live)))
		return r;
	if (tree_live_reserve(l->tree, l->live.count) || tree_tombs_reserve(l->tree, l->dead.count))
		return -ENOMEM;
	for (size_t i = 0; i < l->dead.count; i++)
		l->dead.items[i].key = l->dead.items[i].dentry->died;
	if (sort_by_key(&l->dead) || sort_by_key(&l->live)) /* the live ones by order … */
		return -ENOMEM;
	for (size_t i = 0; i < l->live.count; i++)
		l->live.items[i].key = l->live.items[i].dentry->born;
	if (sort_by_key(&l->live)) /* … within birth */
		return -ENOMEM;
	r = insert_names(l, &l->dead, tree_entry_insert_dead);
	return r ? r : insert_names(l, &l->live, tree_entry_insert_live);
}

/* ---- nodes ---- */

static int load_symlink(struct loader *l, struct node *n)
{
	size_t len = get_u16(&l->in);
	const uint8_t *text = get_bytes(&l->in, len);
	char *copy;

	if (l->in.bad || !len || len > TREE_SYMLINK_MAX || memchr(text, '\0', len))
		return -EBADMSG;
	if (bump_reserve(&l->tree->text, len + 1 + BUMP_ALIGN_MAX))
		return -ENOMEM;
	copy = bump_get(&l->tree->text, len + 1, 1);
	memcpy(copy, text, len);
	copy[len] = '\0';
	n->symlink = copy;
	return 0;
}

static int load_kind(struct loader *l, struct node *n, mode_t type)
{
	switch (type) {
	case S_IFDIR:
		if (n->dir)
			return 0;
		if (pool_reserve(&l->tree->directories, 1))
			return -ENOMEM;
		n->dir = pool_get(&l->tree->directories);
		return 0;
	case S_IFLNK:
		return load_symlink(l, n);
	case S_IFCHR:
	case S_IFBLK:
		n->rdev = get_u64(&l->in);
		return 0;
	case S_IFREG:
	case S_IFIFO:
	case S_IFSOCK:
		return 0;
	default:
		return -EBADMSG;
	}
}

static int load_node(struct loader *l, uint64_t ino)
{
	const uint8_t *b = get_bytes(&l->in, TREE_DUMP_NODE_BYTES - 8);
	mode_t type = get_le32(b);
	uint32_t versions = get_le32(b + 4), names = get_le32(b + 8);
	struct tree *t = l->tree;
	struct node *n;
	int r;

	if (l->in.bad || !versions || versions > l->in.left / TREE_DUMP_VERSION_BYTES_MIN || (ino == TREE_ROOT_INO && type != S_IFDIR))
		return -EBADMSG;
	if (tree_node_reserve(t, ino) || tree_versions_reserve(t, versions, versions / TREE_FAR_STRIDE))
		return -ENOMEM;
	n = tree_node_slot(t, ino);
	n->ino = ino;
	if (ino == TREE_ROOT_INO) { /* the dumped root takes the place of the new tree's */
		n->newest = NULL;
		t->stats.nodes--;
		t->stats.versions--;
	}
	r = load_kind(l, n, type);
	for (uint32_t i = 0; !r && i < versions; i++)
		r = load_version(l, n, type);
	return r ? r : load_names(l, n, names);
}

static int load_header(struct loader *l)
{
	const uint8_t *b = get_bytes(&l->in, TREE_DUMP_HEADER_BYTES);
	uint64_t next_ino = get_le64(b + 16);

	l->seq = get_le64(b + 8);
	if (l->in.bad || get_le32(b) != TREE_DUMP_MAGIC || get_le32(b + 4) != TREE_DUMP_FORMAT || l->seq >= SEQ_NEWBORN || next_ino <= TREE_ROOT_INO ||
		next_ino > TREE_INO_MAX + 1)
		return -EBADMSG;
	l->tree->last_seq = l->seq;
	l->tree->next_ino = next_ino;
	l->tree->next_order = get_le32(b + 24);
	return 0;
}

/* Room for a name a node: untouched memory costs nothing, while lists that grow leave holes between the slabs. */
static int expect_names(struct loader *l)
{
	size_t count = l->in.left / (TREE_DUMP_NODE_BYTES + TREE_DUMP_VERSION_BYTES_MIN + TREE_DUMP_NAME_BYTES_MIN);
	int r = array_reserve(&l->live.items, &l->live.capacity, count, sizeof(*l->live.items));

	return r ? r : array_reserve(&l->dead.items, &l->dead.capacity, count, sizeof(*l->dead.items));
}

int tree_load(struct tree *t, const uint8_t *data, size_t len)
{
	struct loader l = {.tree = t, .in = {.at = data, .left = len}};
	uint64_t ino, last = 0;
	int r = load_header(&l);

	if (!r)
		r = expect_names(&l);

	while (!r) {
		ino = get_u64(&l.in);
		if (!ino)
			break;
		r = ino <= last || ino >= t->next_ino || (!last && ino != TREE_ROOT_INO) ? -EBADMSG : load_node(&l, ino);
		last = ino;
	}
	if (!r && (l.in.bad || l.in.left || !last))
		r = -EBADMSG;
	if (!r)
		r = place_names(&l);
	free(l.live.items);
	free(l.dead.items);
	return r;
}
