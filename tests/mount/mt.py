# SPDX-License-Identifier: MIT
"""Words the mount tests' Python pieces share."""
import errno
import os
import subprocess
import sys
import time

PATIENCE_S = float(os.environ.get("PATIENCE_S", "60")) * float(os.environ.get("MOUNT_TIME_FACTOR", "1"))


def die(text):
    """End the test with a reason."""
    print(text, file=sys.stderr)
    with open(os.environ["WHY"], "w") as f:
        f.write(text[:500])
    sys.exit(1)


def check(condition, text):
    if not condition:
        die(text)


def eq(want, got, what="value"):
    if want != got:
        die(f"{what}: want {want!r:.200}, got {got!r:.200}")


def put(path, data):
    """A plain save: truncating open, write, close, each error raised."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    write_all(fd, data)
    os.close(fd)


def write_all(fd, data):
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view):]


def get(path):
    with open(path, "rb", buffering=0) as f:
        return f.readall()


def others_see(path):
    """The bytes another process reads."""
    return subprocess.run(["cat", path], stdout=subprocess.PIPE, check=True).stdout


def others_size(path):
    return int(subprocess.run(["stat", "-c", "%s", path], stdout=subprocess.PIPE, check=True).stdout)


def refused(code, call, *args):
    """The call fails with this errno (or one of a tuple)."""
    codes = code if isinstance(code, tuple) else (code,)
    try:
        call(*args)
    except OSError as e:
        if e.errno not in codes:
            die(f"{call.__name__}: want errno {codes}, got {e.errno} ({e.strerror})")
        return e.errno
    die(f"{call.__name__}: should have failed with errno {[errno.errorcode[c] for c in codes]}")


def until(condition, text):
    """It comes true, however slow the machine is."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > end:
            die(text)
        time.sleep(0.03)


def stays(seconds, condition, text):
    """It holds all that time: for what must never happen."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not condition():
            die(text)
        time.sleep(0.1)


def child(code, *args):
    """Another Python process running the code; it has stdin and stdout pipes for keeping step."""
    return subprocess.Popen([sys.executable, "-u", "-c", "import os, sys, time\nfrom mt import *\n" + code, *args],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def expect(proc, word):
    line = proc.stdout.readline().strip()
    if line != word:
        die(f"the other process should say {word!r}, said {line!r}")


def tell(proc, word="go"):
    proc.stdin.write(word + "\n")
    proc.stdin.flush()
