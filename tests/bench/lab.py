# SPDX-License-Identifier: MIT
"""The laboratory of make bench: directories on one disk, mounts, peers, counters, rotation.

A contestant is a name and a function that works for one slice and returns a dictionary of figures. rotate() lets all contestants of a
row work in turn, several rounds, so that a drift of the machine meets all of them; ratios are medians of the ratios within a round.
Only daemons started here are ended, by pid; everything lies below one directory, which is removed at the end.
"""
import json
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import time

EXAMPLES = pathlib.Path('/usr/share/doc/libfuse3-dev/examples')


class Skip(Exception):
    """A row or a peer that can't be measured here; the text says why."""


def run(*command, **options):
    return subprocess.run([str(c) for c in command], check=True, text=True, capture_output=True, **options).stdout


def failure(error):
    """What an OSError or a CalledProcessError says, in short."""
    if not isinstance(error, subprocess.CalledProcessError):
        return str(error)
    return f'{" ".join(str(c) for c in error.cmd[:2])} failed: {(error.stderr or "").strip()[-300:] or f"status {error.returncode}"}'


class Mount:
    """A daemon serving a directory: milestonefs (PROJECT/.milestones), passthrough_ll or the floor."""

    def __init__(self, command, path, log):
        self.path, self.name, self.log = path, command[0], log
        with open(log, 'a', encoding='utf-8') as out:
            self.process = subprocess.Popen([str(c) for c in command], stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        try:
            self.wait_mounted()
        except BaseException:  # Ctrl-C, too: nobody else knows of the process yet
            self.stop()
            raise

    def wait_mounted(self):
        deadline = time.monotonic() + 60
        while not os.path.ismount(self.path):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise Skip(f'{self.name} did not mount: {pathlib.Path(self.log).read_text()[-300:]}')
            time.sleep(0.005)

    @property
    def pid(self):
        return self.process.pid

    def stop(self):
        subprocess.run(['fusermount3', '-u', '-z', str(self.path)], stderr=subprocess.DEVNULL, check=False)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def cpu_us(self):
        """Processor time of all threads, those that ended included."""
        fields = pathlib.Path(f'/proc/{self.pid}/stat').read_text().rsplit(')', 1)[1].split()
        return (int(fields[11]) + int(fields[12])) * 1e6 / os.sysconf('SC_CLK_TCK')

    def cpu_fine_us(self):
        """The same to the nanosecond, of the threads that live."""
        try:
            return sum(int(p.read_text().split()[0]) for p in pathlib.Path(f'/proc/{self.pid}/task').glob('*/schedstat')) / 1e3
        except OSError:
            return self.cpu_us()

    def memory(self):
        """Anonymous memory in bytes: what is not a cache of files."""
        for line in pathlib.Path(f'/proc/{self.pid}/status').read_text().splitlines():
            if line.startswith('RssAnon:'):
                return int(line.split()[1]) * 1024
        raise Skip('no RssAnon in /proc/PID/status')

    def counter(self, name):
        """A counter of status/metrics, None when it is not there."""
        for line in (self.path / 'status/metrics').read_text().splitlines():
            word = line.split()
            if len(word) == 2 and word[0].split('{')[0] == name:
                return float(word[1])
        return None


class Absent:
    """Stands for a mount that could not be made: a contestant that needs it is skipped, and the text says why."""

    def __init__(self, why):
        self.why = why

    def __getattr__(self, name):
        raise Skip(self.why)


class Lab:
    def __init__(self, directory, build, program, seconds, rounds, quick):
        self.top = pathlib.Path(directory).resolve()
        self.build = pathlib.Path(build)
        self.program = pathlib.Path(program)
        self.seconds, self.rounds, self.quick = seconds, rounds, quick
        self.mounts = []
        self.skipped = {}
        self.number = 0
        self.top.mkdir(parents=True)
        self.device, self.file_system = device_of(self.top)

    def unmount(self):
        """End whatever is mounted: what a row left that failed, or was interrupted while it mounted or unmounted."""
        self.stop(*reversed(self.mounts))
        for path in mounted_below(self.top):
            subprocess.run(['fusermount3', '-u', '-z', path], stderr=subprocess.DEVNULL, check=False)

    def close(self):
        self.unmount()
        shutil.rmtree(self.top, ignore_errors=True)

    def fresh(self, name):
        self.number += 1
        path = self.top / f'{name}-{self.number}'
        path.mkdir()
        return path

    # --- programs ---

    def tool(self, name):
        return self.build / 'tests/bench' / name

    def files(self, operation, directory, writers=1, size=1024, seconds=None, **environment):
        out = run(self.tool('load_files'), operation, directory, writers, self.seconds if seconds is None else seconds, size,
                  env=os.environ | environment)
        return json.loads(out)

    def names(self, operation, directory, count):
        return json.loads(run(self.tool('load_files'), operation, directory, count))

    def raw(self, threads=1, size=1024):
        what = ['group' if threads > 1 else 'single', self.top / 'raw', self.seconds, size] + ([threads] if threads > 1 else [])
        return json.loads(run(self.tool('load_raw'), *what))

    def sqlite(self, how, threads):
        out = subprocess.run([str(a) for a in (self.tool('load_sqlite'), how, self.top / f'sqlite-{how}', self.seconds, 1024, threads)],
                             text=True, capture_output=True, check=False)
        if out.returncode:
            raise Skip(out.stderr.strip())
        return json.loads(out.stdout)

    # --- mounts ---

    def ours(self, options, project=None):
        """Mount a project (a fresh one) and return the mount; .work is a directory of its own in a session."""
        if not os.access(self.program, os.X_OK):
            raise Skip(f'{self.program} is not built')
        project = project or self.fresh('project')
        (project / '.milestones').mkdir(exist_ok=True)
        m = Mount([self.program, 'mount', '-f', '-o', options, project], project / '.milestones', self.top / 'log')
        self.mounts.append(m)
        m.project, m.options = project, options
        session = m.path / 'state/sessions/bench'
        if not session.exists():
            session.mkdir()
        m.work = session / 'state'
        return m

    def peer(self, make, *arguments):
        """The mount of a peer, or what stands for it: the row goes on without."""
        try:
            return make(*arguments)
        except Skip as why:
            return Absent(str(why))
        except (OSError, subprocess.CalledProcessError) as e:
            return Absent(failure(e))

    def floor(self, log):
        """The least that a FUSE file system with (or without) a write-ahead log can be: tests/bench/floor_fs.c."""
        if not self.tool('floor_fs').exists():
            raise Skip('floor_fs is not built')
        where = self.fresh('mount')
        m = Mount([self.tool('floor_fs')] + (['--log', self.fresh('floor') / 'log'] if log else []) + [where], where, self.top / 'log')
        self.mounts.append(m)
        m.work = m.path
        return m

    def floor_anew(self, m):
        """The same files on a fresh mount of the same daemon."""
        m.process.send_signal(signal.SIGUSR1)
        run('fusermount3', '-u', '-z', m.path)
        m.wait_mounted()
        return m

    def passthrough(self, cache, source=None):
        """libfuse's example, from the source that libfuse3-dev brings."""
        source_c = EXAMPLES / 'passthrough_ll.c'
        program = self.build / 'tests/bench/passthrough_ll'
        if not source_c.exists():
            raise Skip(f'passthrough_ll: {source_c} is not installed')
        if not program.exists():
            flags = run('pkg-config', '--cflags', '--libs', 'fuse3').split()
            run(os.environ.get('CC', 'cc'), '-O2', '-D_FILE_OFFSET_BITS=64', '-o', program, source_c, *flags)
        source = source or self.fresh('passthrough')
        where = self.fresh('mount')
        m = Mount([program, '-f', '-o', f'source={source},cache={cache}', where], where, self.top / 'log')
        self.mounts.append(m)
        m.work, m.source = m.path, source
        return m

    def stop(self, *mounts):
        for m in mounts:
            if m in self.mounts:
                m.stop()
                self.mounts.remove(m)

    # --- measuring ---

    def with_cpu(self, mount, function):
        """Run a slice and add the processor time it cost the daemon, an operation."""
        cpu = mount.cpu_fine_us()
        result = function()
        result['cpu_us_per_op'] = (mount.cpu_fine_us() - cpu) / result['ops']
        return result

    def counted(self, mount, function):
        """Run a slice and add what it cost our daemon, an operation: processor time, syncs and bytes of the journal."""
        names = ('milestonefs_journal_syncs_total', 'milestonefs_journal_written_bytes_total')
        before = [mount.counter(n) for n in names]
        result = self.with_cpu(mount, function)
        for name, key, b in zip(names, ('syncs_per_op', 'journal_kib_per_op'), before):
            if b is not None:
                result[key] = (mount.counter(name) - b) / result['ops'] / (1024 if 'kib' in key else 1)
        return result

    def on_device(self, function):
        """Run a slice and add what the whole device saw, an operation: bytes written and flushes, somebody else's included."""
        before = device_counters(self.device)
        result = function()
        after = device_counters(self.device)
        if before and after and result.get('ops'):
            result['kib_per_op'] = (after['bytes'] - before['bytes']) / 1024 / result['ops']
            result['flushes_per_op'] = (after['flushes'] - before['flushes']) / result['ops']
        return result

    def rotate(self, contestants):
        """{name: function} -> {name: [result of each round]}; whoever can't take part or fails is named and left with no results."""
        results = {name: [] for name in contestants}
        out_because = {}
        for _ in range(self.rounds):
            for name in [n for n in contestants if n not in out_because]:
                try:
                    results[name].append(self.on_device(contestants[name]))
                except Skip as why:
                    out_because[name] = str(why)
                except subprocess.CalledProcessError as e:
                    out_because[name] = failure(e)
                if name in out_because:
                    results[name] = []
        self.skipped |= out_because
        return results


def device_of(path):
    """Name of the block device below a path, and type of its file system."""
    mount = run('findmnt', '-n', '-o', 'SOURCE,FSTYPE', '-T', path).split()
    name = os.path.basename(os.path.realpath(mount[0]))
    return name, mount[1]


def mounted_below(top):
    """Deepest first. Spaces and the like in a path are octal in mountinfo."""
    paths = [line.split()[4].encode().decode('unicode_escape').encode('latin-1').decode() for line in open('/proc/self/mountinfo', encoding='utf-8')]
    return sorted((p for p in paths if p.startswith(f'{top}/')), key=len, reverse=True)


def device_counters(name):
    try:
        f = pathlib.Path(f'/sys/class/block/{name}/stat').read_text().split()
    except OSError:
        return None
    return {'bytes': int(f[6]) * 512, 'flushes': int(f[15]) if len(f) > 15 else 0}


def median(results, key):
    values = [r[key] for r in results if key in r]
    return statistics.median(values) if values else None


def ratio(results, peers, key='per_s'):
    """Median over the rounds of ours / peer within the round."""
    pairs = [(a[key], b[key]) for a, b in zip(results, peers) if b.get(key)]
    return statistics.median(a / b for a, b in pairs) if pairs else None
