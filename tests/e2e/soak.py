#!/usr/bin/env python3
"""A long mixed load through two sidecars over mTLS: HTTP/1, HTTP/2, gRPC and TCP at the same time, while
an origin's connections are closed now and then. It passes if no call failed that had to succeed, memory
stopped growing after the first tenth, and descriptors and gauges are back where they were. The result
goes to docs/evidence.

Usage: ./dev soak [--minutes N] [--no-evidence]
"""
import argparse
import collections
import contextlib
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import evidence
import harness
from harness import Client, Endpoint, HttpOrigin, Outrigger, Pki, free_port, head

import grpc
from test_grpc import SERVICE, server as grpc_server

BODY = os.urandom(200_000)


class World:
    """Two sidecars; behind the second one an HTTP origin, a gRPC server and a TCP echo."""

    def __init__(self, directory):
        self.directory = directory
        self.http = HttpOrigin(lambda request: (200, {'x-length': str(len(request.body))}, request.body or b'ok'), recording=False)
        self.echo = Endpoint(self._echo)
        grpc_port = free_port()
        self.grpc = grpc_server(grpc_port)
        pki = Pki(directory / 'pki')
        admins, wires, self.ports = [free_port(), free_port()], [free_port() for _ in range(3)], [free_port() for _ in range(3)]
        apps = (('http', self.http.port), ('grpc', grpc_port), ('tcp', self.echo.port))
        self.callee = Outrigger(directory, 'callee', head('orders', admins[0], pki.identity('orders'), workers=2) + 'inbound:\n' + ''.join(
            f'  - {{listen: "127.0.0.1:{wire}", app: "127.0.0.1:{port}", protocol: {protocol}}}\n' for wire, (protocol, port) in zip(wires, apps)), admins[0])
        names = ('web', 'greeter', 'echo')
        self.caller = Outrigger(directory, 'caller', head('web', admins[1], pki.identity('web'), workers=2) + 'outbound:\n' + ''.join(
            f'  - {{listen: "127.0.0.1:{port}", service: {name}}}\n' for port, name in zip(self.ports, names)) + 'services:\n' + ''.join(
            f'  {name}: {{endpoints: ["127.0.0.1:{wire}"], protocol: {protocol}, expect_ids: ["spiffe://{harness.DOMAIN}/orders"]}}\n'
            for name, wire, (protocol, _) in zip(names, wires, apps)), admins[1])
        self.daemons = (self.callee.wait_ready(), self.caller.wait_ready())

    @staticmethod
    def _echo(connection):
        while data := connection.recv(65536):
            connection.sendall(data)

    def rest(self):
        gauges = {}
        for daemon in self.daemons:
            for name, labels, value in daemon.series():
                if name.endswith(('_active', '_pending')) and value:
                    gauges[f'{daemon.name} {name} {sorted(labels.items())}'] = value
        return [d.fds() for d in self.daemons], gauges

    def stop(self):
        codes = [d.stop() for d in reversed(self.daemons)]
        self.grpc.stop(0).wait()
        for endpoint in (self.http, self.echo):
            endpoint.stop()
        return codes


class Load:
    """Several callers of each kind, until told to stop."""

    def __init__(self, world, seed):
        self.world, self.random = world, random.Random(seed)
        self.done, self.failed, self.reasons = collections.Counter(), collections.Counter(), []
        self.over, self.cut = threading.Event(), threading.Event()
        kinds = [self.http1, self.http1, self.http2, self.grpc_calls, self.grpc_calls, self.tcp, self.tcp, self.short_lived]
        self.threads = [threading.Thread(target=self._run, args=(kind,), daemon=True) for kind in kinds]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join(60)

    def _run(self, kind):
        name = kind.__name__
        while not self.over.is_set():
            try:
                self.done[name] += kind()
            except Exception as error:
                # Only calls in progress when an origin's connections were closed may fail.
                if not self.cut.is_set():
                    self.failed[name] += 1
                    self.reasons.append(f'{name}: {error!r}'[:300])

    def http1(self):
        with Client(self.world.ports[0]) as client:
            for _ in range(100):
                body = BODY[:self.random.choice((0, 1, 100, 10_000, 200_000))]
                answer = client.request('PUT', '/', body=body)
                assert answer.status == 200 and answer.body == (body or b'ok'), answer.status
        return 100

    def short_lived(self):
        with Client(self.world.ports[0]) as client:
            assert client.request('GET', '/', {'connection': 'close'}).status == 200
        return 1

    def http2(self):
        said = subprocess.run([harness.find_tool('h2load'), '-n50', '-c1', '-m50', f'http://127.0.0.1:{self.world.ports[0]}/'],
                              capture_output=True, text=True, timeout=60).stdout
        assert 'status codes: 50 2xx' in said, said
        return 50

    def grpc_calls(self):
        with grpc.insecure_channel(f'127.0.0.1:{self.world.ports[1]}', options=[('grpc.enable_http_proxy', 0), ('grpc.use_local_subchannel_pool', 1)]) as channel:
            for _ in range(20):
                assert channel.unary_unary(f'/{SERVICE}/Unary')(b'x', timeout=20) == b'x|'
            assert len(list(channel.unary_stream(f'/{SERVICE}/ServerStream')(b'200', timeout=20))) == 200
            assert len(list(channel.stream_stream(f'/{SERVICE}/Bidi')(iter([b'y'] * 50), timeout=20))) == 50
        return 22

    def tcp(self):
        with socket.create_connection(('127.0.0.1', self.world.ports[2]), 20) as connection:
            for _ in range(20):
                data = BODY[:self.random.randrange(1, 50_000)]
                connection.sendall(data)
                got = b''
                while len(got) < len(data):
                    piece = connection.recv(65536)
                    assert piece, 'ended early'
                    got += piece
                assert got == data
        return 20


def no_more(after, before):
    """No more descriptors and nothing more active than a few calls had left; idle connections may have closed since."""
    return all(a <= b for a, b in zip(after[0], before[0])) and all(value <= before[1].get(name, 0) for name, value in after[1].items())


def soak(world, minutes, seed):
    for kind in ('http1', 'http2', 'grpc_calls', 'tcp'):  # one of each, so that what stays open is open
        getattr(Load(world, seed), kind)()
    world.http.drop_connections()
    time.sleep(2)
    before = world.rest()
    rss, end = [], time.monotonic() + minutes * 60
    chaos = random.Random(seed)
    with Load(world, seed) as load:
        next_cut = time.monotonic() + 10
        while time.monotonic() < end and all(d.running() for d in world.daemons):
            time.sleep(1)
            rss.append([d.rss() for d in world.daemons])
            if time.monotonic() > next_cut:
                load.cut.set()
                chaos.choice((world.http, world.echo)).drop_connections()
                time.sleep(1)
                load.cut.clear()
                next_cut = time.monotonic() + chaos.uniform(5, 20)
    after = None
    with contextlib.suppress(AssertionError):
        def settled():
            nonlocal after
            world.http.drop_connections()
            after = world.rest()
            return no_more(after, before)
        harness.wait_for('descriptors and gauges', settled, 90)
    warm = rss[len(rss) // 10]
    growth = [round(100 * (last - first) / first, 2) for first, last in zip(warm, rss[-1])]
    return {'minutes': minutes, 'seed': seed, 'calls': dict(load.done), 'failed': dict(load.failed), 'reasons': load.reasons[:20],
            'rss_kib_by_tenths': rss[::max(1, len(rss) // 10)], 'growth_percent_after_the_first_tenth': growth,
            'descriptors_and_gauges_back': after is not None and no_more(after, before), 'before': before, 'after': after}


def main():
    parser = argparse.ArgumentParser(prog='./dev soak')
    parser.add_argument('--minutes', type=float, default=30)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--no-evidence', action='store_true')
    arguments = parser.parse_args()
    harness.raise_fd_limit()
    directory = Path(tempfile.mkdtemp(prefix='outrigger-soak-'))
    world = World(directory)
    try:
        result = soak(world, arguments.minutes, arguments.seed)
    finally:
        codes = world.stop()
    passed = (codes == [0, 0] and not result['failed'] and result['descriptors_and_gauges_back']
              and all(g < 5 for g in result['growth_percent_after_the_first_tenth']))
    for daemon in world.daemons:
        if not passed:
            print(f'--- {daemon.name}\n{daemon.log[-4000:]}', file=sys.stderr)
    shutil.rmtree(directory, ignore_errors=True)
    print('\n'.join(f'{key}: {value}' for key, value in result.items()))
    print('passed' if passed else 'FAILED')
    if not arguments.no_evidence:
        print(evidence.write('soak', f'./dev soak --minutes {arguments.minutes:g} --seed {arguments.seed}', result, passed))
    sys.exit(0 if passed else 1)


if __name__ == '__main__':
    main()
