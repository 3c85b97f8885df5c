"""Processes as the benchmarks see them: pinned to a CPU, accounted for, ended by id."""
import concurrent.futures
import os
import platform
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / 'tests/e2e'))
from harness import family, find_tool, free_port, listening, rss_kib, tool_file  # noqa: E402, F401

# The proxy has a CPU of its own; the load and the origin share the other.
PROXY_CPU, LOAD_CPU = '1', '0'


def tool(name):
    found = find_tool(name)
    if not found:
        raise SystemExit(f'{name} is missing; ./dev bench fetches it')
    return found


def output(argv, **how):
    return subprocess.run([str(a) for a in argv], check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **how).stdout


def must_be_free(port):
    """Whatever listens there already would be measured in the place of what is started now. The one before may need a moment to
    close thousands of connections."""
    end = time.monotonic() + 15
    while listening(port):
        if time.monotonic() > end:
            raise RuntimeError(f'something listens on port {port} already')
        time.sleep(0.1)


class Pinned:
    """A program with all its children, on one CPU."""

    def __init__(self, argv, log, cpu=PROXY_CPU):
        self.argv = [str(a) for a in argv]
        self.log = log
        self.process = subprocess.Popen(['taskset', '-c', cpu, *self.argv], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                        start_new_session=True)

    def wait_port(self, port, seconds=10):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise RuntimeError(f'{" ".join(self.argv)} exited {self.process.returncode}; see {self.log.name}')
            with socket.socket() as probe:
                probe.settimeout(0.2)
                if probe.connect_ex(('127.0.0.1', port)) == 0:
                    return self
            time.sleep(0.03)
        raise RuntimeError(f'{" ".join(self.argv)} never listened on {port}')

    def pids(self):
        return family(self.process.pid)

    def stop(self):
        for number, patience in ((signal.SIGTERM, 3), (signal.SIGKILL, 10)):
            for pid in reversed(self.pids()):
                try:
                    os.kill(pid, number)
                except ProcessLookupError:
                    pass
            try:
                self.process.wait(patience)
                return
            except subprocess.TimeoutExpired:
                pass


def stop_all(running):
    """Together, so that one that takes its time does not hold up the others."""
    with concurrent.futures.ThreadPoolExecutor(max_workers=8) as pool:
        list(pool.map(lambda one: one.stop(), running))


def cpu_microseconds(pids):
    """Time on a CPU by the scheduler's own account, in nanoseconds there."""
    total = 0
    for pid in pids:
        try:
            for thread in os.listdir(f'/proc/{pid}/task'):
                total += int(Path(f'/proc/{pid}/task/{thread}/schedstat').read_text().split()[0])
        except FileNotFoundError:
            pass
    return total / 1000


def rss_of_all(pids):
    return sum(rss_kib(pid) for pid in pids)


def describe():
    """What the figures were measured on."""
    model = re.search(r'model name\s*:\s*(.*)', Path('/proc/cpuinfo').read_text())
    memory = int(re.search(r'MemTotal:\s+(\d+)', Path('/proc/meminfo').read_text()).group(1))
    return {'cpu': model.group(1) if model else platform.machine(), 'cores': os.cpu_count(), 'memory_gib': round(memory / (1 << 20)),
            'kernel': platform.release(), 'system': system_name()}


def system_name():
    found = re.search(r'PRETTY_NAME="(.*)"', Path('/etc/os-release').read_text())
    return found.group(1) if found else platform.system()


def git(*argv):
    try:
        return subprocess.run(['git', '-C', str(ROOT), *argv], capture_output=True, text=True).stdout.strip()
    except FileNotFoundError:
        return ''


def dirty():
    """The first of the files that differ from the commit; the page aside, which the bench itself writes."""
    return ', '.join(git('status', '--porcelain', '--', ':!docs/benchmarks.md').splitlines()[:3])


def commit():
    """What is checked out; -dirty when files differ from it."""
    return (git('describe', '--always') or 'unknown') + ('-dirty' if dirty() else '')


def version_of(argv, pattern):
    try:
        done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=10)
    except OSError:
        return 'unknown'
    found = re.search(pattern, done.stdout + done.stderr)
    return found.group(1) if found else 'unknown'
