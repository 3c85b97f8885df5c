"""Real gRPC libraries as callers and apps, with and without sidecars between them: `./dev interop`.

    run.py [--case NAME …] [--keep]     --keep writes docs/evidence/DATE-interop.json

Not part of `./dev test`: it needs Go and, the first time, its modules. Where they are not to be had it says
so and exits 77; tests/e2e/test_h2_peers.py plays the frames that matter there.
"""
import argparse
import concurrent.futures
import os
import shutil
import subprocess
import sys
import time
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / 'tests/e2e'))
import evidence  # noqa: E402
from harness import PATIENCE, SANITIZER, SKIPPED, Case, Pki, free_port, head  # noqa: E402

SOURCE = Path(__file__).parent / 'grpc_go'
PROGRAM = ROOT / 'build/interop/grpc_go'
# What the server is told for some cases; by default it is as the library makes it.
SERVERS = {'calls_for_ten_seconds': ('-max-age', '1s'), 'keepalive_': ('-min-time', '5s')}
# These wait for time to pass and run beside the others.
QUIET = ('keepalive_', 'a_quiet_')
# The sidecars ask as often as they are allowed to.
PING = 'http2_ping: {after: 1s, timeout: 2s}'

chosen = []
results = {}


def build():
    """None when it is there, else why it is not."""
    if shutil.which('go') is None:
        return 'go is not on this machine'
    PROGRAM.parent.mkdir(parents=True, exist_ok=True)
    made = subprocess.run(['go', 'build', '-o', str(PROGRAM), '.'], cwd=SOURCE, capture_output=True, text=True,
                          env={**os.environ, 'GOFLAGS': '-buildvcs=false -mod=readonly'})
    return None if made.returncode == 0 else f'go build failed: {made.stderr.strip()}'


class Server:
    """One Go server; ends when its input does."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen([PROGRAM, 'server', *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline().rpartition(':')[2])

    def stop(self):
        self.process.stdin.close()
        self.process.wait(PATIENCE)
        self.process.stdout.close()


class GrpcGo(Case):
    def server(self, *arguments):
        server = Server(*arguments)
        self.addCleanup(server.stop)
        return server.port

    def run_case(self, name, port):
        begin = time.monotonic()
        done = subprocess.run([PROGRAM, 'client', '-target', f'127.0.0.1:{port}', '-case', name],
                              capture_output=True, text=True, timeout=300)
        return name, round(time.monotonic() - begin, 2), done.returncode == 0, done.stderr.strip()[-2000:]

    def run_all(self, way, through):
        """`through(port)` puts sidecars in front of a server and returns where to call."""
        names = chosen or subprocess.run([PROGRAM, 'cases'], capture_output=True, text=True, check=True).stdout.split()
        ports = {}

        def start(name):
            options = next((o for prefix, o in SERVERS.items() if name.startswith(prefix)), ())
            if options not in ports:
                ports[options] = through(self.server(*options))
            return ports[options]
        told = []
        with concurrent.futures.ThreadPoolExecutor(len(names)) as aside:
            waiting = [aside.submit(self.run_case, name, start(name)) for name in names if name.startswith(QUIET)]
            told += [self.run_case(name, start(name)) for name in names if not name.startswith(QUIET)]
            told += [quiet.result() for quiet in waiting]
        results[way] = {name: {'passed': passed, 'seconds': seconds, **({'why': why} if not passed else {})}
                        for name, seconds, passed, why in sorted(told)}
        for name, seconds, passed, why in sorted(told):
            with self.subTest(way=way, case=name):
                print(f'{way:24} {name:32} {"ok" if passed else "FAILED":6} {seconds:7.2f} s', flush=True)
                self.assertTrue(passed, why)

    def inbound(self, app):
        admin, port = free_port(), free_port()
        self.start('orders', head('orders', admin) + (
            f'inbound:\n  - {{listen: "127.0.0.1:{port}", app: "127.0.0.1:{app}", protocol: grpc, mtls: disabled, {PING}}}\n'), admin)
        return port

    def test_1_without_a_sidecar(self):
        self.run_all('no sidecar', lambda app: app)

    def test_2_through_the_callers_sidecar(self):
        self.run_all('caller sidecar', lambda app: self.plain([app], f'protocol: grpc, {PING}').port)

    def test_3_through_the_callees_sidecar(self):
        self.run_all('callee sidecar', self.inbound)

    def test_4_through_two_sidecars(self):
        self.run_all('two sidecars, mTLS', lambda app: self.pair(app, protocol='grpc', inbound='grpc', options=PING)[0].port)


def main():
    options = argparse.ArgumentParser(prog='./dev interop', description='gRPC in Go through sidecars')
    options.add_argument('--case', nargs='+', default=[], help='only these')
    options.add_argument('--keep', action='store_true', help='write the result to docs/evidence')
    asked = options.parse_args()
    chosen.extend(asked.case)
    if why := build():
        print(f'interop: {why}; skipped', file=sys.stderr)
        sys.exit(SKIPPED)
    passed = unittest.main(module='__main__', argv=['interop'], exit=False).result.wasSuccessful()
    if asked.keep:
        versions = subprocess.run(['go', 'list', '-m', '-f', '{{.Path}} {{.Version}}', 'google.golang.org/grpc'],
                                  cwd=SOURCE, capture_output=True, text=True).stdout.strip()
        go = subprocess.run(['go', 'env', 'GOVERSION'], capture_output=True, text=True).stdout.strip()
        print(evidence.write('interop', ' '.join(['./dev interop', *sys.argv[1:]]),
                             {'libraries': [versions, go], 'sanitizer': SANITIZER, 'cases': results}, passed))
    sys.exit(0 if passed else 1)


if __name__ == '__main__':
    main()
