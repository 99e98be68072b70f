/* SPDX-License-Identifier: MIT
 *
 * Mount options: what fstab may say, what is refused, and that a refused list changes nothing.
 */
#include "cmocka_all.h"

#include "../../fs/options.c"

static struct mount_options parsed(const char *text)
{
	struct reason why = {0};
	struct mount_options o;

	mount_options_init(&o);
	assert_int_equal(mount_options_parse(&o, text, &why), 0);
	return o;
}

static void refused(const char *text, const char *names)
{
	struct reason why = {0};
	struct mount_options o, before;

	mount_options_init(&o);
	before = o;
	assert_int_equal(mount_options_parse(&o, text, &why), -EINVAL);
	if (!strstr(why.text, names))
		fail_msg("\"%s\" does not name %s", why.text, names);
	assert_memory_equal(&o, &before, sizeof(o));
}

static void test_defaults(void **state)
{
	struct mount_options o = parsed("");

	(void)state;
	assert_false(o.read_only || o.allow_other || o.debug || o.foreground || o.noexec || o.noatime);
	assert_int_equal(o.sync_interval_ms, -1);
	assert_true(mount_options_threads(&o) >= THREADS_MIN && mount_options_threads(&o) <= SESSION_WORKERS_MAX);
}

static void test_ours(void **state)
{
	struct mount_options o = parsed("ro,allow_other,noexec,noatime,threads=7,sync=interval:250");

	(void)state;
	assert_true(o.read_only && o.allow_other && o.noexec && o.noatime);
	assert_int_equal(mount_options_threads(&o), 7);
	assert_int_equal(o.sync_interval_ms, 250);
	assert_int_equal(parsed("sync=commit").sync_interval_ms, 0);
	assert_int_equal(parsed("sync").sync_interval_ms, 0);
	assert_int_equal(parsed("sync=interval:1").sync_interval_ms, 1);
	assert_int_equal(parsed("sync=interval:60000").sync_interval_ms, 60000);
	o = parsed("debug");
	assert_true(o.debug && o.foreground);
}

static void test_last_word_wins(void **state)
{
	(void)state;
	assert_false(parsed("ro,rw").read_only);
	assert_true(parsed("rw,ro").read_only);
	assert_false(parsed("noexec,exec").noexec);
	assert_int_equal(parsed("sync=commit,sync=interval:9").sync_interval_ms, 9);
}

static void test_fstab_words_are_ignored(void **state)
{
	struct mount_options plain = parsed("");
	struct mount_options o = parsed("rw,noauto,user,_netdev,nofail,x-systemd.automount,X-mount.mkdir,comment=a,defaults,dev,suid,nodev,nosuid,"
					"default_permissions,relatime,fsname=x,subtype=y,,user=me");

	(void)state;
	assert_memory_equal(&o, &plain, sizeof(o));
}

static void test_refused(void **state)
{
	(void)state;
	refused("nonsense", "nonsense");
	refused("ro,nonsense=1", "nonsense=1");
	refused("allow_othe", "allow_othe");
	refused("sync=", "sync=");
	refused("sync=perhaps", "perhaps");
	refused("sync=interval:", "interval:");
	refused("sync=interval:0", "interval:0");
	refused("sync=interval:60001", "60001");
	refused("sync=interval:5s", "5s");
	refused("threads=1", "threads=1");
	refused("threads=513", "513");
	refused("threads=-2", "-2");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_ours),
		cmocka_unit_test(test_last_word_wins),
		cmocka_unit_test(test_fstab_words_are_ignored),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
