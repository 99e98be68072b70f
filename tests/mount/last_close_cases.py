# SPDX-License-Identifier: MIT
"""Processes that hand a file around: last_close_cases.py CASE FILE LOG.

Each case asserts itself what must (not) be published at which moment; LOG is
flush_probe's, whose lines are written before a close is answered.
"""
import os
import socket
import subprocess
import sys
import threading

case, path, log = sys.argv[1:4]
name = os.path.basename(path)


def published():
    with open(log) as lines:
        return [l.split(" ", 3)[2:] for l in lines if l.startswith(f"PUBLISH {name} ")]


def expect(*texts):
    """Published so far, all of it by a FLUSH."""
    got = [(by, text.rstrip("\n")) for by, text in published()]
    want = [("FLUSH", text) for text in texts]
    if got != want:
        sys.exit(f"line {sys._getframe(1).f_lineno}: want {want}, got {got}")


def child(f, script):
    """`read _` in its script waits for go()."""
    return subprocess.Popen(["sh", "-c", script], stdout=f, stdin=subprocess.PIPE)


def go(p):
    p.stdin.close()
    p.wait()


def popen_closed_first():
    f = open(path, "w")
    p = child(f, "read _; echo body")
    f.close()
    expect()
    go(p)
    expect("body,")


def popen_after_header():
    f = open(path, "w")
    f.write("header\n")
    f.flush()
    p = child(f, "read _; echo body")
    f.close()
    expect()
    go(p)
    expect("header,body,")


def popen_silent_child():
    f = open(path, "w")
    f.write("header\n")
    f.flush()
    p = child(f, "read _")
    f.close()
    expect()
    go(p)
    expect("header,")


def popen_two_children():
    f = open(path, "w")
    a = child(f, "echo a")
    b = child(f, "read _; echo b")
    f.close()
    a.wait()
    expect()
    go(b)
    expect("a,b,")


def popen_parent_closes_last():
    f = open(path, "w")
    child(f, "echo a").wait()
    child(f, "echo b").wait()
    expect()
    f.close()
    expect("a,b,")


def popen_from_thread():
    f = open(path, "w")
    children = []
    started, over = threading.Event(), threading.Event()
    t = threading.Thread(target=lambda: (children.append(child(f, "read _; echo body")), started.set(), over.wait()))
    t.start()
    started.wait()
    f.close()
    expect()
    go(children[0])
    expect("body,")
    over.set()
    t.join()


def dup():
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    other = os.dup(fd)
    os.write(fd, b"a\n")
    os.close(fd)
    expect()
    os.write(other, b"b\n")
    os.close(other)
    expect("a,b,")


def dup_often():
    """The same with kept fdinfo descriptors, and numbers that change their meaning."""
    whole = []
    for i in range(12):
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        other = os.dup2(fd, 20 + i % 3)
        os.write(fd, b"a\n")
        os.close(fd)
        expect(*whole)
        decoy = os.open("/dev/null", os.O_WRONLY)
        os.write(other, b"b\n")
        os.close(other)
        whole.append("a,b,")
        expect(*whole)
        os.close(decoy)


def reader_is_no_holder():
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    reader = os.open(path, os.O_RDONLY)
    os.write(fd, b"a\n")
    os.close(fd)
    expect("a,")
    os.close(reader)
    expect("a,")


def two_handles():
    one = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    two = os.open(path, os.O_WRONLY | os.O_TRUNC)
    os.write(one, b"one\n")
    os.write(two, b"two\n")
    os.close(one)
    expect("one,")
    os.close(two)
    expect("one,", "two,")


def threads():
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)

    def part(text, last):
        os.write(fd, text)
        if last:
            os.close(fd)

    for text, last in ((b"a\n", False), (b"b\n", True)):
        t = threading.Thread(target=part, args=(text, last))
        t.start()
        t.join()
        expect(*(["a,b,"] if last else []))


def fork_child_first():
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.write(fd, b"parent\n")
    pid = os.fork()
    if pid == 0:
        os.write(fd, b"child\n")
        os._exit(0)
    os.waitpid(pid, 0)
    expect()
    os.write(fd, b"parent\n")
    os.close(fd)
    expect("parent,child,parent,")


def fork_silent_child_first():
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.write(fd, b"a\n")
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    expect()
    os.write(fd, b"b\n")
    os.close(fd)
    expect("a,b,")


def socket_to_child():
    """The child has received the descriptor when the opener closes its own."""
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        ours.close()
        fds = socket.recv_fds(theirs, 1, 1)[1]
        theirs.send(b"got")
        if not theirs.recv(1):
            os._exit(1)  # the parent has failed
        os.write(fds[0], b"body\n")
        os.close(fds[0])
        os._exit(0)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.write(fd, b"header\n")
    socket.send_fds(ours, [b"x"], [fd])
    ours.recv(3)
    os.close(fd)
    expect()
    ours.send(b"x")
    os.waitpid(pid, 0)
    expect("header,body,")


def socket_to_parent():
    """To a process that doesn't descend from the opener, and before anything is written."""
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        socket.send_fds(theirs, [b"x"], [fd])
        os.close(fd)
        os._exit(0)
    os.waitpid(pid, 0)
    fds = socket.recv_fds(ours, 1, 1)[1]
    expect()
    os.write(fds[0], b"late\n")
    os.close(fds[0])
    expect("late,")


def exec_keeps_file():
    """One process, two programs, one file."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.set_inheritable(fd, True)
    os.write(fd, b"a\n")
    os.execve("/bin/sh", ["sh", "-c", f"echo b >&{fd}"], {"MILESTONES_AGENT": "second", "MILESTONES_SESSION": "s2"})


def exec_closes_file():
    """The exec itself closes the file: while it waits for that, most of its /proc can't be read."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    os.write(fd, b"a\n")
    os.execv("/bin/true", ["true"])


def exec_closes_all():
    """As above, and no descriptor is left."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    os.write(fd, b"a\n")
    for other in range(256):
        if other != fd:
            try:
                os.close(other)
            except OSError:
                pass
    os.execv("/bin/true", ["true"])


globals()[case]()
