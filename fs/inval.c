/* SPDX-License-Identifier: MIT
 *
 * Telling the kernel what changed. Attributes are made invalid at once: the kernel takes no inode lock for that. Entries and
 * pages wait in a queue for a thread of their own, because the kernel takes the directory's or the
 * pages' lock, which a request that is being served may hold until it is answered.
 *
 * Invariant: nobody calls the kernel with the queue's lock held, and no other lock of ours is held by any caller.
 *
 * Failure: without memory for a queue entry, or a kernel that does not know the node (ENOENT, the usual
 * case), nothing is to be done; what is cached ends with its timeout.
 */
#include "inval.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "handle.h"
#include "node_id.h"
#include "session.h"

struct inval_item {
	struct inval_item *next;
	uint64_t node_id; /* of the file, or the directory of an entry */
	char name[];	  /* "": the pages of the file */
};

struct fs_inval {
	struct fs *fs;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct inval_item *first, **end; /* under lock */
	bool stop;			 /* under lock */
};

static void inval_do(struct fs *fs, const struct inval_item *item)
{
	if (item->name[0])
		(void)fuse_lowlevel_notify_inval_entry(fs->session, item->node_id, item->name, strlen(item->name));
	else
		(void)fuse_lowlevel_notify_inval_inode(fs->session, item->node_id, 0, 0);
}

static void *inval_main(void *arg)
{
	struct fs_inval *i = arg;

	pthread_mutex_lock(&i->lock);
	while (!i->stop) {
		struct inval_item *item = i->first;

		if (!item) {
			pthread_cond_wait(&i->wake, &i->lock);
			continue;
		}
		i->first = item->next;
		if (!i->first)
			i->end = &i->first;
		pthread_mutex_unlock(&i->lock);
		inval_do(i->fs, item);
		free(item);
		pthread_mutex_lock(&i->lock);
	}
	pthread_mutex_unlock(&i->lock);
	return NULL;
}

struct fs_inval *fs_inval_start(struct fs *fs)
{
	struct fs_inval *i = calloc(1, sizeof(*i));

	if (!i)
		return NULL;
	i->fs = fs;
	i->end = &i->first;
	pthread_mutex_init(&i->lock, NULL);
	pthread_cond_init(&i->wake, NULL);
	if (pthread_create(&i->thread, NULL, inval_main, i) == 0)
		return i;
	pthread_cond_destroy(&i->wake);
	pthread_mutex_destroy(&i->lock);
	free(i);
	return NULL;
}

void fs_inval_stop(struct fs_inval *i)
{
	bool first;

	if (!i)
		return;
	pthread_mutex_lock(&i->lock);
	first = !i->stop;
	i->stop = true;
	pthread_cond_signal(&i->wake);
	pthread_mutex_unlock(&i->lock);
	if (first)
		pthread_join(i->thread, NULL);
}

void fs_inval_free(struct fs_inval *i)
{
	if (!i)
		return;
	fs_inval_stop(i);
	while (i->first) {
		struct inval_item *item = i->first;

		i->first = item->next;
		free(item);
	}
	pthread_cond_destroy(&i->wake);
	pthread_mutex_destroy(&i->lock);
	free(i);
}

static void inval_queue(struct fs_inval *i, uint64_t node_id, const char *name, size_t len)
{
	struct inval_item *item = i ? malloc(sizeof(*item) + len + 1) : NULL;

	if (!item)
		return;
	item->next = NULL;
	item->node_id = node_id;
	memcpy(item->name, name, len);
	item->name[len] = '\0';
	pthread_mutex_lock(&i->lock);
	if (!i->stop) {
		*i->end = item;
		i->end = &item->next;
		item = NULL;
		pthread_cond_signal(&i->wake);
	}
	pthread_mutex_unlock(&i->lock);
	free(item);
}

void fs_inval_attr(struct fs *fs, uint64_t node_id)
{
	if (fs->session)
		(void)fuse_lowlevel_notify_inval_inode(fs->session, node_id, -1, 0);
}

void fs_inval_data(struct fs *fs, uint64_t node_id)
{
	inval_queue(fs->inval, node_id, "", 0);
}

void fs_inval_entry(struct fs *fs, uint64_t parent_id, const char *name)
{
	inval_queue(fs->inval, parent_id, name, strlen(name));
}

/*
 * While a file is open for writing its attributes have no timeout (entry.h), so a commit of the file the
 * kernel's request is about needs nothing. Names a request changes the kernel knows of; those the daemon changes on its own it does not.
 */
void fs_observe(void *arg, uint64_t seq, const struct change *changes, size_t count)
{
	struct fs *fs = arg;
	uint64_t asked = fs_session_request_node();

	(void)seq;
	for (size_t i = 0; i < count; i++) {
		const struct change *c = &changes[i];

		if (c->type == CHANGE_CONTENT && handles_mapped(fs->handles, c->ino) && c->ino != asked)
			fs_inval_data(fs, c->ino);
		if ((c->type == CHANGE_CONTENT || c->type == CHANGE_ATTR || c->type == CHANGE_XATTR) && c->ino != asked)
			fs_inval_attr(fs, c->ino);
		else if (!asked && (c->type == CHANGE_CREATE || c->type == CHANGE_LINK || c->type == CHANGE_UNLINK)) {
			inval_queue(fs->inval, c->parent, c->name, c->name_len);
			fs_inval_attr(fs, c->parent);
		}
	}
}
