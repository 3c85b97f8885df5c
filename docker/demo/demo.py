#!/usr/bin/env python3
"""A service calls others through two sidecars over mTLS, while one of the instances dies and comes back.

Everything runs on loopback in a folder of its own and ends with the program: nginx three times as
`orders`, a gRPC service, a Redis, a sidecar on either side, a development CA.
Usage: ./dev demo [--once]
"""
import argparse
import collections
import http.client
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / 'tests/e2e'))
from harness import BINARY, Pki, Process, family, find_tool, listening, wait_for  # noqa: E402

HERE = Path(__file__).resolve().parent
DOMAIN = 'demo.local'
ORDERS, GREETER, CACHE = 9001, 9002, 9003
WEB_ADMIN, ORDERS_ADMIN = 15000, 15100
INSTANCES = {'orders-1': 8081, 'orders-2': 8082, 'orders-3': 8083}
PORTS = [ORDERS, GREETER, CACHE, WEB_ADMIN, ORDERS_ADMIN, *INSTANCES.values(), 8084, 8085, *range(15006, 15011)]
WIRE = 15006


class Failed(Exception):
    pass


class Demo:
    def __init__(self, directory):
        self.directory = directory
        self.running = {}
        self.finished = False

    # --- the world -------------------------------------------------------------------------------

    def run(self, name, argv, port, env=None):
        self.running[name] = Process(argv, self.directory / f'{name}.log', env=env)
        try:
            wait_for(f'{name} on port {port}', lambda: not self.running[name].running() or listening(port))
        except AssertionError as error:
            raise Failed(str(error)) from None
        if not self.running[name].running():
            raise Failed(f'{name} did not start:\n{self.running[name].log}')

    def nginx(self, name):
        port = INSTANCES[name]
        folder = self.directory / name
        folder.mkdir(exist_ok=True)
        temporary = ' '.join(f'{kind}_temp_path {folder}/{kind};' for kind in ('client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'))
        config = folder / 'nginx.conf'
        config.write_text(f'''daemon off; worker_processes 1; pid {folder}/pid; error_log stderr;
events {{ worker_connections 256; }}
http {{ access_log off; {temporary}
  server {{ listen 127.0.0.1:{port}; location / {{ default_type text/plain; return 200 "{name}\\n"; }} }} }}
''')
        self.run(name, [find_tool('nginx'), '-e', 'stderr', '-c', config], port)

    def start(self):
        taken = [p for p in PORTS if listening(p)]
        if taken:
            raise Failed(f'the demo needs port {taken[0]} of 127.0.0.1, and something listens there already')
        pki = Pki(self.directory, DOMAIN)
        for service in ('web', 'orders', 'stranger'):
            pki.issue(service)
        for name in INSTANCES:
            self.nginx(name)
        self.run('greeter', [sys.executable, HERE / 'greeter.py', 8084], 8084)
        self.run('cache', [find_tool('redis-server'), '--bind', '127.0.0.1', '--port', '8085', '--save', '', '--dir', self.directory], 8085)
        environment = {'DEMO': str(self.directory)}
        for name, port in (('orders', ORDERS_ADMIN), ('web', WEB_ADMIN)):
            self.run(f'sidecar of {name}', [BINARY, 'run', '-c', ROOT / f'config/demo/{name}.yaml'], port, environment)
        for port in (WEB_ADMIN, ORDERS_ADMIN):
            wait_for('the sidecars', lambda p=port: status(p, '/ready') == 200)

    def stop(self):
        for process in reversed(self.running.values()):
            process.stop(seconds=5)

    # --- what happens ----------------------------------------------------------------------------

    def tell(self, what, how, result):
        print(f'  {what:<44} {how:<17} {result}', flush=True)

    def command(self, what, how, argv, check, present=None):
        done = subprocess.run([str(a) for a in argv], stdin=subprocess.DEVNULL, capture_output=True, text=True, errors='replace',
                              timeout=30)
        said = done.stdout.strip()
        if not check(done):
            raise Failed(f'{what}: exit code {done.returncode}, {said!r} {done.stderr.strip()!r}')
        self.tell(what, how, present(done) if present else said)

    def calls(self):
        curl = ('curl', '-sS', '--noproxy', '*', '--max-time', '10')
        said = collections.Counter(subprocess.run([*curl, f'http://127.0.0.1:{ORDERS}/'], capture_output=True, text=True).stdout.strip()
                                   for _ in range(9))
        if set(said) != set(INSTANCES):
            raise Failed(f'nine calls of orders were answered by {dict(said)}')
        self.tell('orders, HTTP/1.1, nine calls', 'curl', ', '.join(f'{n} × {k}' for k, n in sorted(said.items())))
        self.command('orders, HTTP/2', 'curl', [*curl, '--http2-prior-knowledge', f'http://127.0.0.1:{ORDERS}/', '-w', 'HTTP/%{http_version} %{http_code}'],
                     lambda d: d.stdout.endswith('HTTP/2 200'), lambda d: d.stdout.replace('\n', ', '))
        self.command('greeter, gRPC', 'python3-grpcio', [sys.executable, HERE / 'greeter.py', '--call', GREETER], lambda d: 'hello, web' in d.stdout)
        self.command('cache, TCP', 'redis-cli', [find_tool('redis-cli'), '-p', CACHE, 'set', 'greeting', 'hello'], lambda d: 'OK' in d.stdout,
                     lambda d: f'SET greeting: {d.stdout.strip()}')
        self.command('cache, TCP', 'redis-cli', [find_tool('redis-cli'), '-p', CACHE, 'get', 'greeting'], lambda d: 'hello' in d.stdout,
                     lambda d: f'GET greeting: {d.stdout.strip()}')

    def wire(self):
        d = self.directory
        hello = ['openssl', 's_client', '-connect', f'127.0.0.1:{WIRE}', '-CAfile', d / 'ca.crt', '-alpn', 'h2', '-verify_return_error']
        self.command('what is spoken between the sidecars', 'openssl', [*hello, '-cert', d / 'web/tls.crt', '-key', d / 'web/tls.key', '-brief'],
                     lambda r: 'TLSv1.3' in r.stderr, lambda r: f'TLSv1.3, {self.spiffe_id()}')
        curl = ('curl', '-sS', '--noproxy', '*', '--max-time', '5', '--cacert', d / 'ca.crt', '-k')
        self.command('a caller without a certificate', 'curl', [*curl, f'https://127.0.0.1:{WIRE}/'], lambda r: r.returncode != 0 and 'orders' not in r.stdout,
                     lambda r: 'refused in the handshake')
        self.command('a caller in clear text', 'curl', [*curl, f'http://127.0.0.1:{WIRE}/'], lambda r: 'orders' not in r.stdout, lambda r: 'refused')

    def spiffe_id(self):
        text = subprocess.run(['openssl', 'x509', '-in', self.directory / 'orders/tls.crt', '-noout', '-ext', 'subjectAltName'],
                              capture_output=True, text=True).stdout
        return next((w.strip() for w in text.replace(',', ' ').split() if w.startswith('URI:')), '').removeprefix('URI:')

    def failure(self):
        """Calls go on while orders-2 is killed and brought back; none of them may fail."""
        load = Load()
        time.sleep(1)
        before = load.snapshot()
        kill(self.running['orders-2'])
        killed = time.monotonic()
        time.sleep(2)
        during = load.snapshot() - before
        if during['orders-1'] == 0 or during['orders-3'] == 0:
            raise Failed(f'the others did not carry on: {dict(during)}')
        self.tell('orders-2 killed, calls go on', 'HTTP/1.1', f'{sum(during.values())} calls in 2 s, {load.failed} failed')
        self.nginx('orders-2')
        back = time.monotonic()
        seen = load.snapshot()['orders-2']
        try:
            wait_for('orders-2 to answer again', lambda: load.snapshot()['orders-2'] > seen, 60)
        except AssertionError as error:
            raise Failed(str(error)) from None
        self.tell('orders-2 brought back', 'HTTP/1.1', f'answers again after {time.monotonic() - back:.1f} s '
                                                       f'({back - killed:.1f} s away)')
        time.sleep(0.5)
        load.stop()
        total = sum(load.snapshot().values())
        self.tell('all of it', 'HTTP/1.1', f'{total} calls, {load.failed} failed')
        if load.failed:
            raise Failed(f'{load.failed} calls failed: {load.reasons[:3]}')

    def summary(self):
        print(f'\n  Admin of the caller\'s sidecar   http://127.0.0.1:{WEB_ADMIN}/\n'
              f'  Admin of the callee\'s sidecar   http://127.0.0.1:{ORDERS_ADMIN}/\n'
              f'  Call it yourself                curl http://127.0.0.1:{ORDERS}/\n'
              f'  Configurations                  config/demo/web.yaml, config/demo/orders.yaml\n'
              f'  Access logs                     {self.directory}/web-access.log, orders-access.log', flush=True)


class Load:
    """Two callers that never pause."""

    def __init__(self):
        self.answers, self.failed, self.reasons = collections.Counter(), 0, []
        self.lock, self.over = threading.Lock(), threading.Event()
        self.threads = [threading.Thread(target=self._run, daemon=True) for _ in range(2)]
        for thread in self.threads:
            thread.start()

    def _run(self):
        connection = None
        while not self.over.is_set():
            try:
                connection = connection or http.client.HTTPConnection('127.0.0.1', ORDERS, timeout=10)
                connection.request('GET', '/')
                answer = connection.getresponse()
                body = answer.read().decode().strip()
                with self.lock:
                    if answer.status == 200:
                        self.answers[body] += 1
                    else:
                        self.failed += 1
                        self.reasons.append(f'{answer.status} {body}')
            except (OSError, http.client.HTTPException) as error:
                with self.lock:
                    self.failed += 1
                    self.reasons.append(repr(error))
                connection = None
            time.sleep(0.002)

    def snapshot(self):
        with self.lock:
            return self.answers.copy()

    def stop(self):
        self.over.set()
        for thread in self.threads:
            thread.join()


def kill(process):
    """As a crash would: nothing is said, and nginx's worker does not outlive its master."""
    for pid in family(process.pid):
        os.kill(pid, signal.SIGKILL)
    process.process.wait()


def status(port, path):
    connection = http.client.HTTPConnection('127.0.0.1', port, timeout=5)
    try:
        connection.request('GET', path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def main():
    parser = argparse.ArgumentParser(prog='./dev demo', description=__doc__.split('\n\n')[0])
    parser.add_argument('--once', action='store_true', help='end when the tour is over')
    arguments = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix='outrigger-demo-'))
    directory.chmod(0o755)
    demo = Demo(directory)
    try:
        demo.start()
        print('web  ->  sidecar of web  ==mTLS==>  sidecar of orders  ->  orders, greeter, cache\n', flush=True)
        demo.calls()
        demo.wire()
        demo.failure()
        demo.summary()
        demo.finished = True
        if not arguments.once:
            print('\nCtrl-C ends it.', flush=True)
            signal.pause()
        return 0
    except KeyboardInterrupt:
        return 0 if demo.finished else 130
    except Failed as failure:
        print(f'demo: {failure}', file=sys.stderr)
        return 1
    finally:
        demo.stop()
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == '__main__':
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
