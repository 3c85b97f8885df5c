"""A daemon under callgrind, and what its worker did between two marks.

A mark is a question to the admin port which makes the worker do something: the function it does it in
makes callgrind write out what it has counted for this thread, and begin anew. So only what the worker
does between two marks is counted, and nothing needs to attach to the process. Every mark costs the
same; the difference of two intervals is free of it.
"""
import os
import re
import subprocess
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

MARK, MARK_PAGE = 'outrigger::server::Worker::tell_latencies()', '/clusters'
# What hands out memory; what gives it back follows from that.
ALLOCATOR = re.compile(r"^(operator new.*|(__libc_)?(malloc|calloc|realloc|reallocarray|memalign|aligned_alloc|posix_memalign|valloc))('\d+)?$")

# glibc and OpenSSL choose code by the CPU they meet. What is left to choose from here exists on every
# x86-64-v2 machine with AES instructions (valgrind itself shows programs no AVX-512).
SAME_CODE = {
    'GLIBC_TUNABLES': 'glibc.cpu.hwcaps=-AVX_Fast_Unaligned_Load,-AVX,-AVX2,-BMI1,-BMI2,-LZCNT,-MOVBE,-ERMS,-FSRM,-RTM,-SSSE3',
    'OPENSSL_ia32cap': '~0x1000080000000000:0',  # no AVX, no XOP of the first word; no AVX2, BMI, ADX, SHA of the second
}


@dataclass
class Profile:
    instructions: int = 0
    functions: dict = field(default_factory=dict)    # function: its own instructions
    allocations: dict = field(default_factory=dict)  # (caller, allocator): calls

    def __sub__(self, other):
        def minus(a, b):
            return {k: d for k in a.keys() | b.keys() if (d := a.get(k, 0) - b.get(k, 0))}
        return Profile(self.instructions - other.instructions, minus(self.functions, other.functions), minus(self.allocations, other.allocations))


class Daemon:
    def __init__(self, valgrind, binary, config, admin, directory, name, log):
        self.admin, self.name = admin, name
        self.out = directory / f'{name}.callgrind'
        argv = [valgrind, '--tool=callgrind', '--separate-threads=yes', f'--dump-before={MARK}', f'--callgrind-out-file={self.out}',
                binary, 'run', '-c', config]
        self.process = subprocess.Popen([str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                        env={**os.environ, **SAME_CODE})
        self.pid = self.process.pid
        self.marks = 0

    def ask(self, path):
        # No proxy of the environment between us.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f'http://127.0.0.1:{self.admin}{path}', timeout=60) as answer:
            return answer.read()

    def wait_ready(self, seconds=120):
        end = time.monotonic() + seconds
        while True:
            if self.process.poll() is not None:
                raise RuntimeError(f'{self.name} exited {self.process.returncode}')
            try:
                self.ask('/ready')
                return
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)

    def mark(self):
        """Returns when callgrind has written, so that nothing done later falls before the mark."""
        self.ask(MARK_PAGE)
        self.marks += 1
        end = time.monotonic() + 30
        while not self._written(self.marks):
            if time.monotonic() > end:
                raise RuntimeError(f'callgrind wrote nothing at mark {self.marks}: does a GET of {MARK_PAGE} still call {MARK}?')
            time.sleep(0.01)

    def _written(self, mark):
        """The whole files of a mark: they end with their totals."""
        return [path for path in self.out.parent.glob(f'{self.out.name}.{mark}-*') if b'\ntotals: ' in path.read_bytes()[-4096:]]

    def before(self, mark):
        """What the worker did between this mark, counted from 1, and the one before it."""
        return read_profile(self._written(mark)[0])

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


NAMED = re.compile(r'^(c?)(fn|ob)=\((\d+)\)(?: (.*))?$')


def read_profile(path):
    """Callgrind's own format: cost lines below `fn=`, calls as `cfn=`, `calls=`, and a line of inclusive cost."""
    profile = Profile()
    names = {'fn': {}, 'ob': {}}
    now = {'fn': '', 'ob': '', 'cfn': '', 'cob': ''}
    inclusive = False
    with open(path) as lines:
        for line in lines:
            if found := NAMED.match(line):
                callee, kind, number, name = found.groups()
                name = names[kind].setdefault(number, name)
                if kind == 'fn' and name.startswith('0x'):  # a library without symbols: its name says most
                    name = f'({Path(now[callee + "ob"] or now["ob"]).name})'
                now[callee + kind] = name
            elif line.startswith('calls='):
                inclusive = True
                caller, callee = now['fn'], now['cfn']
                if ALLOCATOR.match(callee) and not ALLOCATOR.match(caller):
                    key = (caller, callee)
                    profile.allocations[key] = profile.allocations.get(key, 0) + int(line[6:].split()[0])
                now['cob'] = ''
            elif line[0].isdigit() or line[0] in '+-*':
                if not inclusive:
                    cost = int(line.split()[1])
                    profile.functions[now['fn']] = profile.functions.get(now['fn'], 0) + cost
                    profile.instructions += cost
                inclusive = False
    return profile
