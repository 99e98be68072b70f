/* SPDX-License-Identifier: MIT
 *
 * A file system of one directory, in memory, that commits at the last close and nowhere else: to see the decisions
 * of fs/last_close.c alone, without the rest of milestonefs. Speaks the kernel's protocol itself, so it needs no library.
 *
 *   flush_probe mount DIR LOG THREADS      serve until unmounted (needs root)
 *   flush_probe bench FILE COUNT FDS       COUNT times open, write, close, with FDS other descriptors open
 *   flush_probe end FILE HOW THREADS       write "half", then end by HOW: exit0 exit3 return thread-exit0 thread-exit3 leader-first
 *                                          kill term segv abort wait (prints "ready" and waits to be killed) or writing
 *
 * LOG gets one line for each decision (FLUSH …) and publication (PUBLISH NAME BY TEXT), before the reply is sent.
 */
#include "../../core/util.c"
#include "../../fs/last_close.c"
#include "../../fs/proc_read.c"
#include "../../fs/process.c"
#include "../../fs/process_actor.c"
#include "../../fs/process_children.c"

#include <linux/fuse.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <time.h>

enum { FILES_MAX = 256, HANDLES_MAX = 256, PIDS_MAX = 32, DATA_MAX = 1 << 20, REQUEST_MAX = 1 << 18 };

struct data {
	char *bytes;
	size_t len;
};

struct file {
	char name[64];
	struct data live;
	bool removed;
};

struct handle {
	bool used, writable, truncated, written, dirty, closed, opener_killed, dead;
	uint32_t opener;
	int file;
	uint32_t writers[PIDS_MAX], holders[PIDS_MAX];
	size_t writer_count, holder_count;
	struct data draft;
};

struct probe {
	int fd;
	const char *dir;
	FILE *log;
	struct process_cache *cache;
	pthread_mutex_t lock;
	struct file files[FILES_MAX];
	struct handle handles[HANDLES_MAX];
	size_t file_count;
};

static const char *const VERDICTS[] = {"NO", "YES", "KILLED"};

static double now_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void data_write(struct data *d, const void *bytes, size_t len, size_t offset)
{
	size_t end = MIN(offset + len, (size_t)DATA_MAX);
	if (end > d->len) {
		d->bytes = realloc(d->bytes, end + 1);
		memset(d->bytes + d->len, 0, end - d->len);
		d->len = end;
	}
	if (offset < end)
		memcpy(d->bytes + offset, bytes, end - offset);
}

static void data_copy(struct data *to, const struct data *from)
{
	to->len = 0;
	data_write(to, from->bytes, from->len, 0);
}

static void pid_add(uint32_t *pids, size_t *count, uint32_t pid)
{
	if (!listed(pids, *count, pid) && *count < PIDS_MAX)
		pids[(*count)++] = pid;
}

static void publish(struct probe *pr, struct handle *h, const char *by)
{
	struct file *f = &pr->files[h->file];
	data_copy(&f->live, &h->draft);
	h->dirty = false;
	fprintf(pr->log, "PUBLISH %s %s ", f->name, by);
	for (size_t i = 0; i < MIN(f->live.len, (size_t)200); i++)
		fputc(f->live.bytes[i] == '\n' ? ',' : f->live.bytes[i], pr->log);
	fputc('\n', pr->log);
}

/* --- requests; all with the lock held unless said ------------------------------------------ */

static void attr_fill(struct probe *pr, uint64_t node, struct fuse_attr *a)
{
	memset(a, 0, sizeof(*a));
	a->ino = node;
	a->mode = node == FUSE_ROOT_ID ? S_IFDIR | 0777 : S_IFREG | 0666;
	a->nlink = 1;
	a->blksize = 4096;
	if (node != FUSE_ROOT_ID)
		a->size = pr->files[node - 1000].live.len;
}

static int file_find(struct probe *pr, const char *name)
{
	for (size_t i = 0; i < pr->file_count; i++)
		if (!pr->files[i].removed && !strcmp(pr->files[i].name, name))
			return (int)i;
	return -1;
}

static void entry_fill(struct probe *pr, int file, struct fuse_entry_out *e)
{
	memset(e, 0, sizeof(*e));
	e->nodeid = 1000 + (uint64_t)file;
	attr_fill(pr, e->nodeid, &e->attr);
}

static int handle_open(struct probe *pr, int file, uint32_t flags, uint32_t tgid, struct fuse_open_out *o)
{
	memset(o, 0, sizeof(*o));
	for (int i = 0; i < HANDLES_MAX; i++) {
		struct handle *h = &pr->handles[i];
		if (h->used)
			continue;
		memset(h, 0, sizeof(*h));
		h->used = true;
		h->file = file;
		h->opener = tgid;
		h->writable = (flags & O_ACCMODE) != O_RDONLY;
		h->truncated = h->writable && (flags & O_TRUNC);
		h->dirty = h->truncated;
		if (!h->truncated)
			data_copy(&h->draft, &pr->files[file].live);
		o->fh = (uint64_t)i;
		o->open_flags = FOPEN_DIRECT_IO;
		return sizeof(*o);
	}
	return -ENFILE;
}

/* Takes the lock itself: the decision is made without it, as in the real program. */
static int flush(struct probe *pr, const struct fuse_in_header *in, uint64_t fh)
{
	struct handle *h = &pr->handles[fh], copy;
	struct last_close_result r;
	uint32_t tgid = process_tgid_get(pr->cache, in->pid);
	pthread_mutex_lock(&pr->lock);
	copy = *h;
	uint32_t others = 0;
	for (int i = 0; i < HANDLES_MAX; i++) {
		const struct handle *o = &pr->handles[i];
		others += o != h && o->used && o->writable && !o->closed && o->opener == tgid && o->file == h->file;
	}
	pthread_mutex_unlock(&pr->lock);
	if (!copy.writable)
		return 0;

	struct last_close_query q = {.tid = in->pid,
		.opener = copy.opener,
		.writers = copy.writers,
		.writer_count = copy.writer_count,
		.holders = copy.holders,
		.holder_count = copy.holder_count,
		.written = copy.written,
		.opener_killed = copy.opener_killed,
		.ino = in->nodeid,
		.other_handles = others};
	double start = now_us();
	last_close_decide(pr->cache, &q, &r);
	double took = now_us() - start;

	pthread_mutex_lock(&pr->lock);
	struct proc_stat st = {.flags = 0};
	if (r.killed)
		proc_stat_read_pid(in->pid, &st);
	fprintf(pr->log, "FLUSH %s tid=%u tgid=%u opener=%u %s holder=%u killed=%d unwritten=%d unreadable=%d exit_code=%d us=%.1f\n", pr->files[h->file].name,
		in->pid, r.tgid, h->opener, VERDICTS[r.verdict], r.holder, r.killed, r.unwritten, r.unreadable, st.exit_code, took);
	if (r.holder)
		pid_add(h->holders, &h->holder_count, r.holder);
	if (r.killed && r.tgid == h->opener)
		h->opener_killed = true;
	h->closed = r.verdict != LAST_CLOSE_NO;
	h->dead |= r.verdict == LAST_CLOSE_KILLED;
	if (r.verdict == LAST_CLOSE_YES && !r.unwritten && h->dirty)
		publish(pr, h, "FLUSH");
	fflush(pr->log);
	pthread_mutex_unlock(&pr->lock);
	return 0;
}

static int release(struct probe *pr, uint64_t fh)
{
	struct handle *h = &pr->handles[fh];
	if (h->writable && h->dirty) {
		if (h->dead || h->opener_killed)
			fprintf(pr->log, "KEPT %s\n", pr->files[h->file].name);
		else
			publish(pr, h, "RELEASE");
	}
	fflush(pr->log);
	free(h->draft.bytes);
	h->used = false;
	h->draft.bytes = NULL;
	return 0;
}

static int create(struct probe *pr, const char *name, uint32_t flags, uint32_t tgid, char *out)
{
	int file = file_find(pr, name);
	if (file < 0 && pr->file_count == FILES_MAX)
		return -ENOSPC;
	if (file < 0) {
		file = (int)pr->file_count++;
		snprintf(pr->files[file].name, sizeof(pr->files[file].name), "%s", name);
	}
	entry_fill(pr, file, (void *)out);
	int n = handle_open(pr, file, flags | O_TRUNC, tgid, (void *)(out + sizeof(struct fuse_entry_out)));
	return n < 0 ? n : (int)sizeof(struct fuse_entry_out) + n;
}

static int handle_write(struct probe *pr, const struct fuse_write_in *w, const struct actor *who, char *out)
{
	struct handle *h = &pr->handles[w->fh];
	fprintf(pr->log, "WRITE %s %u %s agent=%s session=%s\n", pr->files[h->file].name, who->pid, who->comm, who->agent, who->session);
	pid_add(h->writers, &h->writer_count, who->pid);
	data_write(&h->draft, w + 1, w->size, w->offset);
	h->written = h->dirty = true;
	h->closed = false;
	((struct fuse_write_out *)out)->size = w->size;
	return sizeof(struct fuse_write_out);
}

static int handle_read(struct probe *pr, const struct fuse_read_in *r, char *out)
{
	struct handle *h = &pr->handles[r->fh];
	const struct data *d = h->writable ? &h->draft : &pr->files[h->file].live;
	size_t n = r->offset < d->len ? MIN(MIN((size_t)r->size, d->len - r->offset), (size_t)65536) : 0;
	if (n)
		memcpy(out, d->bytes + r->offset, n);
	return (int)n;
}

static int init_reply(const struct fuse_init_in *in, struct fuse_init_out *o)
{
	memset(o, 0, sizeof(*o));
	o->major = FUSE_KERNEL_VERSION;
	o->minor = 31;
	o->max_readahead = in->max_readahead;
	o->flags = FUSE_ATOMIC_O_TRUNC | FUSE_BIG_WRITES | FUSE_ASYNC_READ;
	o->max_background = 1000;
	o->max_write = 65536;
	return sizeof(*o);
}

static int setattr(struct probe *pr, uint64_t node, const struct fuse_setattr_in *s, struct fuse_attr_out *o)
{
	if ((s->valid & FATTR_SIZE) && (s->valid & FATTR_FH)) {
		struct handle *h = &pr->handles[s->fh];
		h->draft.len = MIN(h->draft.len, s->size);
		h->dirty = true;
	}
	memset(o, 0, sizeof(*o));
	attr_fill(pr, node, &o->attr);
	return sizeof(*o);
}

/* Returns the length of the answer in @out, or -errno. */
static int answer(struct probe *pr, const struct fuse_in_header *in, const void *arg, char *out, const struct actor *who)
{
	int file;
	switch (in->opcode) {
	case FUSE_INIT:
		return init_reply(arg, (void *)out);
	case FUSE_LOOKUP:
		file = file_find(pr, arg);
		if (file < 0)
			return -ENOENT;
		entry_fill(pr, file, (void *)out);
		return sizeof(struct fuse_entry_out);
	case FUSE_GETATTR:
		memset(out, 0, sizeof(struct fuse_attr_out));
		attr_fill(pr, in->nodeid, &((struct fuse_attr_out *)out)->attr);
		return sizeof(struct fuse_attr_out);
	case FUSE_SETATTR:
		return setattr(pr, in->nodeid, arg, (void *)out);
	case FUSE_CREATE:
		return create(pr, (const char *)arg + sizeof(struct fuse_create_in), ((const struct fuse_create_in *)arg)->flags, who->pid, out);
	case FUSE_OPEN:
		return handle_open(pr, (int)(in->nodeid - 1000), ((const struct fuse_open_in *)arg)->flags, who->pid, (void *)out);
	case FUSE_READ:
		return handle_read(pr, arg, out);
	case FUSE_WRITE:
		return handle_write(pr, arg, who, out);
	case FUSE_RELEASE:
		return release(pr, ((const struct fuse_release_in *)arg)->fh);
	case FUSE_UNLINK:
		file = file_find(pr, arg);
		if (file >= 0)
			pr->files[file].removed = true;
		return file < 0 ? -ENOENT : 0;
	case FUSE_FLUSH:
		return 0; /* done before */
	default:
		return -ENOSYS;
	}
}

static void *serve(void *arg)
{
	struct probe *pr = arg;
	char *request = malloc(REQUEST_MAX), *out = malloc(REQUEST_MAX);
	for (;;) {
		ssize_t n = read(pr->fd, request, REQUEST_MAX);
		if (n < 0 && (errno == EINTR || errno == EAGAIN || errno == ENOENT))
			continue;
		if (n < (ssize_t)sizeof(struct fuse_in_header))
			break; /* unmounted */
		const struct fuse_in_header *in = (const void *)request;
		const void *body = in + 1;
		struct actor who = {.pid = 0};
		struct fuse_out_header *head = (void *)out;
		if (in->opcode == FUSE_FORGET || in->opcode == FUSE_BATCH_FORGET || in->opcode == FUSE_INTERRUPT)
			continue;
		if (in->opcode == FUSE_FLUSH)
			flush(pr, in, ((const struct fuse_flush_in *)body)->fh);
		else if (in->opcode == FUSE_CREATE || in->opcode == FUSE_OPEN || in->opcode == FUSE_WRITE)
			process_actor_fill(pr->cache, in->pid, in->uid, in->gid, &who);
		pthread_mutex_lock(&pr->lock);
		int r = answer(pr, in, body, out + sizeof(*head), &who);
		pthread_mutex_unlock(&pr->lock);
		*head = (struct fuse_out_header){.len = (uint32_t)(sizeof(*head) + (size_t)MAX(r, 0)), .error = MIN(r, 0), .unique = in->unique};
		if (write(pr->fd, out, head->len) < 0 && errno == ENODEV)
			break;
	}
	free(request);
	free(out);
	return NULL;
}

static int probe_mount(const char *dir, const char *log, int threads)
{
	static struct probe pr = {.lock = PTHREAD_MUTEX_INITIALIZER};
	pthread_t ids[64];
	char options[128];
	pr.dir = dir;
	pr.log = fopen(log, "ae");
	pr.fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", pr.fd);
	if (!pr.log || pr.fd < 0 || process_cache_new(NULL, &pr.cache) < 0 ||
		mount("flush_probe", dir, "fuse.flush_probe", MS_NOSUID | MS_NODEV, options) < 0) {
		perror("flush_probe");
		return 2;
	}
	threads = MAX(1, MIN(threads, 64));
	for (int i = 0; i < threads; i++)
		pthread_create(&ids[i], NULL, serve, &pr);
	for (int i = 0; i < threads; i++)
		pthread_join(ids[i], NULL);
	process_cache_free(pr.cache);
	fclose(pr.log);
	return 0;
}

/* --- processes to be watched --------------------------------------------------------------- */

static int bench(const char *path, int count, int fds)
{
	double *took = calloc((size_t)count, sizeof(*took)), sum = 0;
	/* 0, 1 and 2 are there, the file itself is one more; of the others each second one could be a writable regular file. */
	for (int i = 4; i < fds; i++) {
		char name[] = "/tmp/flush_probe.XXXXXX";
		if (i % 2) {
			if (open("/dev/null", O_RDWR) < 0)
				return 2;
		} else {
			if (mkstemp(name) < 0)
				return 2;
			unlink(name);
		}
	}
	for (int i = 0; i < count; i++) {
		double start = now_us();
		int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
		if (fd < 0 || write(fd, "text\n", 5) != 5)
			return 1;
		close(fd);
		took[i] = now_us() - start;
		sum += took[i];
	}
	printf("%.1f us for open, write, close\n", sum / count);
	free(took);
	return 0;
}

static void *idle(void *arg)
{
	for (;;)
		pause();
	return arg;
}

static void *thread_exit(void *arg)
{
	usleep(20000);
	exit((int)(intptr_t)arg);
}

static void *leader_first(void *arg)
{
	int fd = (int)(intptr_t)arg;
	usleep(50000);
	if (write(fd, "whole\n", 6) != 6)
		exit(1);
	exit(0);
}

static int end_by(const char *path, const char *how, int threads)
{
	pthread_t id;
	struct rlimit none = {0, 0};
	setrlimit(RLIMIT_CORE, &none);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0 || write(fd, "half\n", 5) != 5)
		return 1;
	for (int i = 0; i < threads; i++)
		pthread_create(&id, NULL, idle, NULL);
	usleep(20000);
	int code = strstr(how, "3") ? 3 : 0;
	if (!strncmp(how, "exit", 4))
		exit(code);
	if (!strncmp(how, "thread-exit", 11)) {
		pthread_create(&id, NULL, thread_exit, (void *)(intptr_t)code);
		pause();
	}
	if (!strcmp(how, "leader-first")) {
		pthread_create(&id, NULL, leader_first, (void *)(intptr_t)fd);
		pthread_exit(NULL);
	}
	int sig = !strcmp(how, "kill") ? SIGKILL : !strcmp(how, "term") ? SIGTERM : !strcmp(how, "segv") ? SIGSEGV : SIGABRT;
	if (!strcmp(how, "kill") || !strcmp(how, "term") || !strcmp(how, "segv") || !strcmp(how, "abort")) {
		signal(sig, SIG_DFL); /* a sanitizer's handler would make an exit of it */
		kill(getpid(), sig);
		pause();
	}
	if (!strcmp(how, "wait") || !strcmp(how, "writing")) {
		puts("ready");
		fflush(stdout);
		while (!strcmp(how, "writing"))
			if (pwrite(fd, "more and more\n", 14, 5) < 0)
				return 1;
		pause();
	}
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 5 && !strcmp(argv[1], "mount"))
		return probe_mount(argv[2], argv[3], atoi(argv[4]));
	if (argc == 5 && !strcmp(argv[1], "bench"))
		return bench(argv[2], atoi(argv[3]), atoi(argv[4]));
	if (argc == 5 && !strcmp(argv[1], "end"))
		return end_by(argv[2], argv[3], atoi(argv[4]));
	fprintf(stderr, "usage: flush_probe mount|bench|end ...\n");
	return 2;
}
