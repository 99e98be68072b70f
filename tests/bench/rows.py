# SPDX-License-Identifier: MIT
"""The rows of make bench about saving, reading and mounting. Each function measures one row in a Lab and yields what it found (results.py).

The numbers of the rows and the targets are those of the project's list of performance targets, the references of the floor (lab.py) likewise.
"""
import json
import os
import shutil
import subprocess
import time

from lab import median, run
from results import FLOOR, FLOOR_LOG, OURS, Figures, Note, against, at_least, at_most, beside_floor

MIB = 1 << 20
EXT4 = 'plain file system'


def least_kib(results):
    """What the device wrote an operation in the quietest round: writes of others only add."""
    return min((r['kib_per_op'] for r in results if 'kib_per_op' in r), default=None)


def durable_peers(lab, threads):
    plain = lab.fresh('plain')
    peers = {
        'raw': lambda: lab.raw(threads),
        f'{EXT4}, fsync': lambda: lab.files('save-fsync', plain, threads),
        f'{EXT4}, tmp+fsync+rename+dirsync': lambda: lab.files('atomic-fsync', plain, threads),
    }
    if threads > 1:
        peers['SQLite WAL FULL, grouped'] = lambda: lab.sqlite('group', threads)
    peers['SQLite WAL FULL'] = lambda: lab.sqlite('shared', threads)
    return peers


def row_1(lab):
    """durable save of 1 KiB, 1 writer"""
    m, floor = lab.ours('sync=commit'), lab.peer(lab.floor, True)
    contestants = {OURS: lambda: lab.counted(m, lambda: lab.files('save', m.work)),
                   f'{OURS}, .yaml': lambda: lab.counted(m, lambda: lab.files('save', m.work, BENCH_SUFFIX='.yaml')),
                   FLOOR_LOG: lambda: lab.with_cpu(floor, lambda: lab.files('save', floor.work))}
    results = lab.rotate(contestants | durable_peers(lab, 1))
    lab.stop(m, floor)
    ours = results[OURS]
    yield Figures(row_1.__doc__, results)
    yield at_most('p50 / raw', against(results, 'raw', 'p50_us'), 1.4)
    yield at_least('rate / raw', against(results, 'raw'), 0.65)
    yield from beside_floor(results, FLOOR_LOG, 'raw', 0.69, 0.65)
    yield at_least('rate / plain atomic save', against(results, f'{EXT4}, tmp+fsync+rename+dirsync'), 2.5)
    yield at_most('KiB on the device an operation (row 14)', least_kib(ours), 5.3)
    yield at_most('journal syncs an operation', median(ours, 'syncs_per_op'), 1.0)


def row_2(lab):
    """durable save of 1 KiB, 16 writers"""
    m, floor = lab.ours('sync=commit'), lab.peer(lab.floor, True)
    contestants = {OURS: lambda: lab.counted(m, lambda: lab.files('save', m.work, 16)),
                   f'{OURS}, threads of one process': lambda: lab.counted(m, lambda: lab.files('save', m.work, 16, BENCH_THREADS='1')),
                   f'{OURS}, 4 writers': lambda: lab.counted(m, lambda: lab.files('save', m.work, 4)),
                   FLOOR_LOG: lambda: lab.with_cpu(floor, lambda: lab.files('save', floor.work, 16))}
    results = lab.rotate(contestants | durable_peers(lab, 16))
    lab.stop(m, floor)
    ours = results[OURS]
    yield Figures(row_2.__doc__, results)
    yield at_least('rate / raw group commit', against(results, 'raw'), 0.62)
    yield from beside_floor(results, FLOOR_LOG, 'raw', 0.68, 0.62)
    for peer in results:
        if not peer.startswith((OURS, FLOOR_LOG, 'raw')):
            yield at_least(f'rate / {peer}', against(results, peer), 1.0)
    yield at_most('journal syncs an operation', median(ours, 'syncs_per_op'), 0.17)
    yield at_most('daemon CPU µs an operation', median(ours, 'cpu_us_per_op'), 60)
    yield at_most('KiB on the device an operation (row 14)', least_kib(ours), 1.8)


def row_3(lab):
    """save of 1 KiB, sync=interval"""
    m, plain = lab.ours('sync=interval:1000'), lab.fresh('plain')
    through, floor = lab.peer(lab.passthrough, 'always'), lab.peer(lab.floor, False)
    for threads, reference in ((1, 5.2), (16, None)):
        results = lab.rotate({
            OURS: lambda t=threads: lab.counted(m, lambda: lab.files('save', m.work, t)),
            FLOOR: lambda t=threads: lab.with_cpu(floor, lambda: lab.files('save', floor.work, t)),
            'passthrough_ll always': lambda t=threads: lab.files('save', through.work, t),
            EXT4: lambda t=threads: lab.files('save', plain, t),
        } | ({'round trip': lambda: lab.files('round-trip', m.work)} if threads == 1 else {}))
        yield Figures(f'{row_3.__doc__}, {threads} writer{"s" * (threads > 1)}', results)
        yield at_least('rate / passthrough_ll', against(results, 'passthrough_ll always'), 3.5)
        yield from beside_floor(results, FLOOR, 'passthrough_ll always', reference, 3.5)
        yield at_least('rate / plain, no sync', against(results, EXT4), 2.5)
        if threads == 1:
            yield at_most('p50 in round trips', against(results, 'round trip', 'p50_us'), 5)
    lab.stop(m, through, floor)


def row_4(lab):
    """temporary file and rename, durable"""
    m, plain, floor = lab.ours('sync=commit'), lab.fresh('plain'), lab.peer(lab.floor, True)
    atomic = f'{EXT4}, fsync+dirsync'
    for threads, target, reference in ((1, 0.4, 0.32), (16, 0.3, None)):
        results = lab.rotate({
            OURS: lambda t=threads: lab.counted(m, lambda: lab.files('atomic', m.work, t)),
            FLOOR_LOG: lambda t=threads: lab.with_cpu(floor, lambda: lab.files('atomic', floor.work, t)),
            'raw': lambda t=threads: lab.raw(t),
            atomic: lambda t=threads: lab.files('atomic-fsync', plain, t),
        })
        yield Figures(f'{row_4.__doc__}, {threads} writer{"s in 16 directories" if threads > 1 else ""}', results)
        yield at_least('rate / raw', against(results, 'raw'), target)
        yield from beside_floor(results, FLOOR_LOG, 'raw', reference, target)
        yield at_least('rate / plain atomic save', against(results, atomic), 1.0)
        yield at_most('journal syncs an operation', median(results[OURS], 'syncs_per_op'), 2.0)
    lab.stop(m, floor)


def row_5(lab):
    """append of 200 bytes, durable"""
    m, plain = lab.ours('sync=commit'), lab.fresh('plain')
    contestants = {'raw': lambda: lab.raw(1, 200)}
    sizes = {'empty': 0, '64 MiB': 64 * MIB} | ({} if lab.quick else {'1 GiB': 1024 * MIB})
    for name, size in sizes.items():
        ours, theirs = m.work / name.replace(' ', ''), plain / name.replace(' ', '')
        for directory in (ours, theirs):
            directory.mkdir()
            if size:
                lab.files('fill', directory, 1, size, seconds=0)
        contestants |= {
            f'{OURS}, {name}': lambda d=ours: lab.counted(m, lambda: lab.files('append', d, 1, 200)),
            f'{OURS}, {name}, fd+fdatasync': lambda d=ours: lab.counted(m, lambda: lab.files('append-fd', d, 1, 200)),
            f'{EXT4}, {name}, fd+fdatasync': lambda d=theirs: lab.files('append-fd', d, 1, 200),
        }
    results = lab.rotate(contestants)
    lab.stop(m)
    yield Figures(row_5.__doc__, results)
    for name in sizes:
        for how in ('', ', fd+fdatasync'):
            ours = f'{OURS}, {name}{how}'
            yield at_least(f'{name}{how}: rate / raw', against(results, 'raw', ours=ours), 0.65)
            yield at_most(f'{name}{how}: KiB on the device an operation', least_kib(results[ours]), 6)
            if name != 'empty':
                yield at_most(f'{name}{how}: p50 / empty', against(results, f'{OURS}, empty{how}', 'p50_us', ours), 1.1)


def row_6(lab):
    """hot read of 4 KiB: open, read, close"""
    m, plain = lab.ours('sync=interval:1000'), lab.fresh('plain')
    always, auto, floor = lab.peer(lab.passthrough, 'always'), lab.peer(lab.passthrough, 'auto'), lab.peer(lab.floor, False)
    results = lab.rotate({
        OURS: lambda: lab.counted(m, lambda: lab.files('read', m.work, 1, 4096)),
        FLOOR: lambda: lab.with_cpu(floor, lambda: lab.files('read', floor.work, 1, 4096)),
        'passthrough_ll always': lambda: lab.files('read', always.work, 1, 4096),
        'passthrough_ll auto': lambda: lab.files('read', auto.work, 1, 4096),
        EXT4: lambda: lab.files('read', plain, 1, 4096),
    })
    lab.stop(m, always, auto, floor)
    yield Figures(row_6.__doc__, results)
    yield at_least('rate / passthrough_ll always', against(results, 'passthrough_ll always'), 1.7)
    yield from beside_floor(results, FLOOR, 'passthrough_ll always', 2.0, 1.7)


def row_7(lab):
    """sequential 64 MiB, sync=interval"""
    m, plain, through = lab.ours('sync=interval:1000'), lab.fresh('plain'), lab.peer(lab.passthrough, 'always')
    for operation, target in (('write-big', 1.0), ('read-big', 1.3)):
        results = lab.rotate({
            OURS: lambda o=operation: lab.files(o, m.work, 1, 64 * MIB),
            'passthrough_ll always': lambda o=operation: lab.files(o, through.work, 1, 64 * MIB),
            EXT4: lambda o=operation: lab.files(o, plain, 1, 64 * MIB),
        })
        for each in results.values():
            for r in each:
                r['mb_per_s'] = r['per_s'] * 64 * MIB / 1e6
        yield Figures(f'{row_7.__doc__}: {operation.split("-")[0]}', results)
        yield at_least('rate / passthrough_ll', against(results, 'passthrough_ll always'), target)
    lab.stop(m, through)


def names_round(lab, count, mount, remount):
    """create; then, on a fresh mount so that nothing is cached by the kernel, stat, readdir, unlink."""
    lab.number += 1
    name = f'names{lab.number}'
    (mount.work / name).mkdir()
    found = {}
    for what in ('create', 'stat', 'readdir', 'unlink'):
        found[what] = lab.with_cpu(mount, lambda w=what: lab.names(w, mount.work / name, count))
        if what == 'create':
            mount = remount(mount)
    return mount, found


def row_8(lab):
    """10,000 names, sync=interval"""
    count = 2000 if lab.quick else 10000
    mounts = {OURS: lab.ours('sync=interval:1000'), FLOOR: lab.peer(lab.floor, False), 'passthrough_ll always': lab.peer(lab.passthrough, 'always')}

    def again_ours(m):
        lab.stop(m)
        return lab.ours(m.options, m.project)

    def again_through(m):
        lab.stop(m)
        return lab.passthrough('always', m.source)

    def slice_of(name, remount):
        mounts[name], found = names_round(lab, count, mounts[name], remount)
        return found

    found = lab.rotate({OURS: lambda: slice_of(OURS, again_ours),
                        FLOOR: lambda: slice_of(FLOOR, lab.floor_anew),
                        'passthrough_ll always': lambda: slice_of('passthrough_ll always', again_through)})
    lab.stop(*mounts.values())
    for what, target, reference in (('create', 4.0, 4.5), ('stat', 2.0, 4.4), ('readdir', 2.0, 2.8), ('unlink', 1.5, None)):
        results = {name: [r[what] for r in rounds] for name, rounds in found.items()}
        yield Figures(f'{what}, {count} names, sync=interval', results)
        yield at_least('rate / passthrough_ll', against(results, 'passthrough_ll always'), target)
        yield from beside_floor(results, FLOOR, 'passthrough_ll always', reference, target)


# --- big stores ---

def make_store(lab, files, transactions):
    project = lab.fresh('store')
    (project / '.milestones').mkdir()
    run(lab.tool('make_store'), project / '.milestones', files, transactions, 100)
    return project


def mount_seconds(lab, project):
    """The time of `milestonefs mount`, which returns when the mount serves."""
    start = time.monotonic()
    try:
        run(lab.program, 'mount', project)
    except BaseException:  # it would go on without us
        subprocess.run([lab.program, 'umount', project], capture_output=True, check=False)
        raise
    seconds = time.monotonic() - start
    run(lab.program, 'umount', project)
    deadline = time.monotonic() + 60
    while os.path.ismount(project / '.milestones') and time.monotonic() < deadline:
        time.sleep(0.01)
    return seconds


def drop_index(project):
    index = project / '.milestones/index'
    for name in os.listdir(index):
        os.unlink(index / name)


def row_9(lab):
    """mount of a long history"""
    files, sizes = (10000, (10000, 100000)) if lab.quick else (100000, (100000, 1000000))
    for transactions in sizes:
        project = make_store(lab, files, transactions)
        results = {'with index': [], 'without index': []}
        for _ in range(min(lab.rounds, 3)):
            results['with index'].append({'seconds': mount_seconds(lab, project)})
            drop_index(project)
            results['without index'].append({'seconds': mount_seconds(lab, project)})
        yield Figures(f'{row_9.__doc__}: {files} files, {transactions} transactions', results)
        if transactions == 1000000:
            yield at_most('s with index', median(results['with index'], 'seconds'), 0.3)
            yield at_most('s without index', median(results['without index'], 'seconds'), 2.0)
        shutil.rmtree(project)
    yield Note('the store is in the page cache')


def memory_of(lab, project):
    """Anonymous memory after mounting with an index, and after a replay."""
    found = []
    for _ in range(2):
        m = lab.ours('sync=interval:1000', project)
        found.append(m.memory())
        lab.stop(m)
        drop_index(project)
    return found


def row_10(lab):
    """memory of the daemon"""
    files, transactions = (10000, 110000) if lab.quick else (100000, 1100000)
    empty = memory_of(lab, lab.fresh('project'))
    small = memory_of(lab, make_store(lab, files, 0))
    large = memory_of(lab, make_store(lab, files, transactions))
    versions = transactions - files - files // 100
    results = {'empty': [{'rss_bytes': b} for b in empty], f'{files} files': [{'rss_bytes': b} for b in small],
               f'{files} files, {versions} more versions': [{'rss_bytes': b} for b in large]}
    yield Figures(row_10.__doc__, results)
    for i, how in enumerate(('index loaded', 'replayed')):
        yield at_most(f'bytes a file ({how})', (small[i] - empty[i]) / files, 256)
        yield at_most(f'bytes a retained version ({how}), its transaction and event included', (large[i] - small[i]) / versions, 96)


def row_12(lab):
    """reading the event log"""
    project = make_store(lab, 10000, 100000 if lab.quick else 1000000)
    m = lab.ours('sync=interval:1000', project)
    log = m.path / 'state/events/all.jsonl'
    size, results = os.stat(log).st_size, []
    for _ in range(lab.rounds):
        start, done = time.monotonic(), 0
        fd = os.open(log, os.O_RDONLY)
        while done < 256 * MIB and (n := len(os.read(fd, MIB))):
            done += n
        os.close(fd)
        results.append({'mb_per_s': done / 1e6 / (time.monotonic() - start)})
    lab.stop(m)
    yield Figures(f'{row_12.__doc__}: all.jsonl of {size / 1e6:.0f} MB', {OURS: results})
    yield at_least('MB/s', median(results, 'mb_per_s'), 300)


def row_16(lab):
    """idle, 100 agents registered"""
    m = lab.ours('sync=commit')
    for i in range(100):
        path = m.path / f'state/sessions/bench/agents/a{i}.yaml'
        path.write_text(f'agent_id: a{i}\nrole: worker\n', encoding='utf-8')
    time.sleep(2)
    seconds = 3 if lab.quick else 10
    before = m.cpu_fine_us()
    time.sleep(seconds)
    share = (m.cpu_fine_us() - before) / 1e6 / seconds * 100
    lab.stop(m)
    yield Figures(row_16.__doc__, {OURS: [{'cpu_percent': share}]})
    yield at_most('% of one processor', share, 0.1)


def row_core(lab):
    """the core without FUSE"""
    out = run(lab.tool('bench_engine'), lab.fresh('engine'), lab.seconds).splitlines()
    lines = [json.loads(line) for line in out]
    yield Figures(row_core.__doc__, {a['what']: [b | c] for a, b, c in zip(lines[::3], lines[1::3], lines[2::3])})


ROWS = {'1': row_1, '2': row_2, '3': row_3, '4': row_4, '5': row_5, '6': row_6, '7': row_7, '8': row_8, '9': row_9,
        '10': row_10, '12': row_12, '16': row_16, 'core': row_core}
