# SPDX-License-Identifier: MIT
"""Rows of make bench about the state model: sessions, checkpoints, restore, heartbeats, replay, custom events, and the shell
functions all this replaces. See rows.py for what a row yields.
"""
import os
import statistics
import subprocess
import threading
import time

from lab import Skip, median, run
from results import OURS, Figures, Note, against, at_least, at_most


def timed(count, work):
    """@work(i) one after the other: rate and percentiles."""
    took = []
    for i in range(count):
        start = time.perf_counter()
        work(i)
        took.append(time.perf_counter() - start)
    took.sort()
    return {'ops': count, 'per_s': count / sum(took), 'p50_us': took[count // 2] * 1e6, 'p99_us': took[count * 99 // 100] * 1e6}


def fill(directory, count, text):
    for i in range(count):
        sub = directory / f'd{i // 1000}'
        if i % 1000 == 0:
            sub.mkdir(exist_ok=True)
        (sub / f'f{i}').write_text(f'{text} {i}\n', encoding='utf-8')


def write_control(path, line):
    """As echo does: the answer comes from the write."""
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, line.encode() + b'\n')
    finally:
        os.close(fd)


def row_sessions(lab):
    """making sessions, durable"""
    m, plain = lab.ours('sync=commit'), lab.fresh('plain')
    count = 20 if lab.quick else 100
    made = {OURS: 0, 'plain': 0}

    def sessions():
        made[OURS] += 1
        return lab.counted(m, lambda: timed(count, lambda i: (m.path / f'state/sessions/r{made[OURS]}-{i}').mkdir()))

    def directories():
        made['plain'] += 1
        return timed(count, lambda i: (plain / f'r{made["plain"]}-{i}').mkdir())

    results = lab.rotate({OURS: sessions, 'plain file system, one mkdir, not durable': directories})
    lab.stop(m)
    yield Figures(row_sessions.__doc__, results)
    yield at_most('journal syncs a session', median(results[OURS], 'syncs_per_op'), 1.0)


def git_commits(lab, files):
    """What git does for a checkpoint: add and commit, one file changed."""
    top = lab.fresh('git')
    if not os.access('/usr/bin/git', os.X_OK):
        raise Skip('git is not installed')
    git = ['git', '-C', top, '-c', 'user.name=bench', '-c', 'user.email=bench@localhost']
    run(*git, 'init', '-q')
    fill(top, files, 'a')
    run(*git, 'add', '-A')
    run(*git, 'commit', '-qm', 'first')

    def commit(i):
        (top / 'd0/f0').write_text(f'{i}\n', encoding='utf-8')
        run(*git, 'add', '-A')
        run(*git, 'commit', '-qm', f'{i}')
    return lambda: timed(5, commit)


def row_13(lab):
    """a checkpoint of 10, 1,000 and 100,000 files; restore of 1,000 changed files"""
    sizes = (10, 1000, 10000) if lab.quick else (10, 1000, 100000)
    m, number, contestants = lab.ours('sync=interval:1000'), [0], {}
    works = {}
    for size in sizes:
        works[size] = m.path / f'state/sessions/c{size}'
        works[size].mkdir()
        fill(works[size] / 'state', size, 'a')

    def checkpoints(size):
        def one(_):
            number[0] += 1
            (works[size] / f'checkpoints/bench{number[0]}').mkdir()
        return lab.counted(m, lambda: timed(20, one))

    lab.stop(m)
    m = lab.ours('sync=commit', m.project)
    for size in sizes:
        contestants[f'{OURS}, {size:,} files'] = lambda s=size: checkpoints(s)
    contestants['git add and commit, 1,000 files'] = git_commits(lab, 1000)
    results = lab.rotate(contestants)
    small, large = (f'{OURS}, {size:,} files' for size in (sizes[0], sizes[-1]))
    yield Figures(f'{row_13.__doc__.split(";", maxsplit=1)[0]}, durable', results)
    yield at_most('p50 of the largest / of the smallest', against(results, small, 'p50_us', large), 1.5)
    yield at_most('journal KiB a checkpoint of the largest', median(results[large], 'journal_kib_per_op'), 12)
    yield at_least('rate / git commit', against(results, 'git add and commit, 1,000 files', ours=large), 10)

    work, took = works[1000], []
    for i in range(lab.rounds):
        (work / f'checkpoints/before{i}').mkdir()
        fill(work / 'state', 1000, f'changed {i}')
        start = time.perf_counter()
        write_control(work / 'recovery/restore', f'before{i}')
        took.append({'seconds': time.perf_counter() - start})
    lab.stop(m)
    yield Figures('restore of 1,000 changed files, durable and validated', {OURS: took})
    yield at_most('ms', median(took, 'seconds') * 1000, 50)


def row_heartbeats(lab):
    """heartbeats of 1,000 agents"""
    m = lab.ours('sync=commit')
    count = 100 if lab.quick else 1000
    agents = m.path / 'state/sessions/bench/agents'
    start = time.perf_counter()
    for i in range(count):
        (agents / f'a{i}.yaml').touch()
    registered = count / (time.perf_counter() - start)
    head = m.counter('milestonefs_journal_frames_total')

    def beat():
        end, done = time.perf_counter() + lab.seconds, 0
        while time.perf_counter() < end:
            os.utime(agents / f'a{done % count}.yaml')
            done += 1
        return {'ops': done, 'per_s': done / lab.seconds}

    results = lab.rotate({OURS: lambda: lab.counted(m, beat)})
    frames = m.counter('milestonefs_journal_frames_total')
    lab.stop(m)
    beats = sum(r['ops'] for r in results[OURS])
    yield Figures(f'{row_heartbeats.__doc__.replace("1,000", f"{count:,}")}, one process', results)
    if head is not None and frames is not None:
        yield at_most('transactions a heartbeat', (frames - head) / beats, 0.01)
    yield Note(f'{registered:,.0f} agents registered a second, durable, one process')


def row_11(lab):
    """looking up replay/N in a long history"""
    import rows
    transactions = 10000 if lab.quick else 1000000
    m = lab.ours('sync=interval:1000', rows.make_store(lab, 10000, transactions))
    step = max(transactions // 997, 1)
    results = {OURS: [timed(min(500, transactions // step), lambda i, r=r: os.stat(m.path / f'replay/{1 + r + i * step}')) for r in range(lab.rounds)]}
    lab.stop(m)
    yield Figures(f'{row_11.__doc__}: {transactions:,} transactions, a number never asked before each time', results)
    yield at_most('p50 in µs (a stat with its path walk, from Python)', median(results[OURS], 'p50_us'), 20)


def row_events(lab):
    """custom events from 4 writers, sync=interval"""
    m = lab.ours('sync=interval:1000')
    log = m.path / 'state/sessions/bench/events/session.jsonl'
    line = b'{"event_type":"bench","data":{"step":1}}\n'

    def work():
        done, end = [0] * 4, time.perf_counter() + lab.seconds

        def writer(k):
            fd = os.open(log, os.O_WRONLY | os.O_APPEND)
            while time.perf_counter() < end:
                os.write(fd, line * 16)
                done[k] += 16
            os.close(fd)
        threads = [threading.Thread(target=writer, args=(k,)) for k in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        return {'ops': sum(done), 'per_s': sum(done) / lab.seconds}

    results = lab.rotate({OURS: lambda: lab.counted(m, work)})
    lab.stop(m)
    yield Figures(f'{row_events.__doc__}, 16 lines a write', results)
    yield at_least('events a second (row 12)', median(results[OURS], 'per_s'), 20000)


SHELL_SAVE = r'''
save() { # as shell functions did it: lock, back up, temporary file, rename, log a line, checksum
	while ! mkdir "$1.lock" 2>/dev/null; do sleep 0.01; done
	[ ! -f "$1" ] || cp "$1" "$1.backup"
	printf '%s\n' "$2" >"$1.tmp" && mv "$1.tmp" "$1"
	printf '{"timestamp":"%s","path":"%s","checksum":"%s"}\n' "$(date -u +%FT%TZ)" "$1" "$(md5sum "$1" | cut -d' ' -f1)" >>log.jsonl
	rmdir "$1.lock"
}
n=0; end=$(($(date +%s%N) + SECONDS_NS))
while [ "$(date +%s%N)" -lt $end ]; do save state.yaml "step: $n"; n=$((n + 1)); done
echo $n
'''


def row_15(lab):
    """a save as shell functions did it, and as a plain write here"""
    m, plain = lab.ours('sync=commit'), lab.fresh('shell')

    def shell():
        start = time.perf_counter()
        out = subprocess.run(['bash', '-c', SHELL_SAVE], cwd=plain, check=True, text=True, capture_output=True,
                             env=os.environ | {'SECONDS_NS': str(int(lab.seconds * 1e9))}).stdout
        return {'ops': int(out), 'per_s': int(out) / (time.perf_counter() - start)}

    results = lab.rotate({OURS: lambda: lab.counted(m, lambda: lab.files('save', m.work, BENCH_SUFFIX='.yaml')), 'shell functions, not durable': shell})
    lab.stop(m)
    yield Figures(row_15.__doc__, results)
    yield at_least('rate / shell functions', against(results, 'shell functions, not durable'), 40)


def row_17(lab):
    """the tail of durable saves while index snapshots are written"""
    quiet, busy = lab.ours('sync=commit'), lab.ours('sync=commit')
    config = busy.path / 'status/config.yaml'
    config.write_text('index: {every_transactions: 100}\n', encoding='utf-8')
    results = lab.rotate({OURS: lambda: lab.files('save', busy.work), f'{OURS}, quiet': lambda: lab.files('save', quiet.work),
                          f'{OURS}, 16 writers': lambda: lab.files('save', busy.work, 16),
                          f'{OURS}, quiet, 16 writers': lambda: lab.files('save', quiet.work, 16)})
    lab.stop(quiet)
    lab.stop(busy)
    yield Figures(f'{row_17.__doc__} (every 100 transactions)', results)
    yield at_most('p99 / quiet p99, 1 writer', against(results, f'{OURS}, quiet', 'p99_us'), 2)
    yield at_most('p99 / quiet p99, 16 writers', against(results, f'{OURS}, quiet, 16 writers', 'p99_us', f'{OURS}, 16 writers'), 2)
    yield Note(f'spread of the quiet p99: {statistics.pstdev(r["p99_us"] for r in results[f"{OURS}, quiet"]):,.0f} µs')


ROWS = {'11': row_11, '13': row_13, '15': row_15, '17': row_17, 'events': row_events, 'heartbeats': row_heartbeats, 'sessions': row_sessions}
