"""Certificates are replaced under load: every second, and then the CA itself in three steps. No call fails.

HTTP/1.1, HTTP/2, gRPC and TCP run meanwhile through two sidecars; each TCP session makes a TLS handshake of its own,
HTTP/1.1 on the wire reuses connections, HTTP/2 and gRPC keep a few long-lived ones.
"""
import contextlib
import os
import socket
import subprocess
import threading
import time

import harness
from harness import DOMAIN, PATIENCE, SANITIZER, Case, Client, Pki, find_tool, free_port, head, main, needs, run_outrigger

try:
    import grpc
    from test_grpc import SERVICE, server as grpc_server
except ImportError:
    harness.skip_file('python3-grpcio is not on this machine')

# A whole minute with OUTRIGGER_FULL; otherwise shorter.
SECONDS = 60 if os.environ.get('OUTRIGGER_FULL') else 6


def echo(connection):
    while data := connection.recv(65536):
        connection.sendall(data)


class Node:
    """One sidecar's files, in a folder of its own, replaced as an agent would: written to a temporary name, then renamed."""

    def __init__(self, directory, service, pki):
        self.directory, self.service = directory / f'{service}-files', service
        self.directory.mkdir()
        self.trust([pki])
        self.renew(pki)

    def put(self, name, content):
        beside = self.directory / f'.{name}.new'
        beside.write_bytes(content)
        os.replace(beside, self.directory / name)

    def renew(self, pki):
        """A new key and a new certificate for the same identity."""
        out = self.directory / 'issued'
        run_outrigger('cert', 'issue', '--ca', str(pki.directory), f'spiffe://{DOMAIN}/{self.service}', '--out', str(out), '--force', check=True)
        self.put('tls.crt', (out / 'tls.crt').read_bytes())
        self.put('tls.key', (out / 'tls.key').read_bytes())

    def trust(self, pkis):
        self.put('ca.crt', b''.join(pki.ca.read_bytes() for pki in pkis))

    def serial(self):
        said = subprocess.run(['openssl', 'x509', '-noout', '-serial', '-in', self.directory / 'tls.crt'], capture_output=True, text=True, check=True)
        return said.stdout.strip().partition('=')[2].lower()

    def identity(self):
        return (f'identity: {{trust_domain: {DOMAIN}, cert: {self.directory}/tls.crt, key: {self.directory}/tls.key,'
                f' ca: {self.directory}/ca.crt}}\n')


class Load:
    """Calls without a pause until it is stopped; every call that is not correct is recorded as a failure, with the reason."""

    def __init__(self, name, call, threads=1):
        self.name, self.call = name, call
        self.done, self.failures, self.stopping = 0, [], threading.Event()
        self.threads = [threading.Thread(target=self._run) for _ in range(threads)]
        for thread in self.threads:
            thread.start()

    def _run(self):
        while not self.stopping.is_set():
            try:
                wrong = self.call()
            except Exception as error:  # any client error is a failed call
                wrong = repr(error)
            self.done += 1
            if wrong:
                self.failures.append(wrong)

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join()


class Rotation(Case):
    def setUp(self):
        super().setUp()
        self.old = Pki(self.directory / 'old-ca')
        self.caller_files = Node(self.directory, 'web', self.old)
        self.callee_files = Node(self.directory, 'orders', self.old)
        http, tcp, rpc = self.origin(lambda r: (200, {}, r.body)), self.endpoint(echo), free_port()
        app = grpc_server(rpc)
        self.addCleanup(lambda: app.stop(0).wait())

        admin, inbound = free_port(), {'http': free_port(), 'rpc': free_port(), 'tcp': free_port()}
        self.callee_ = self.start('orders', head('orders', admin, self.callee_files.identity()) + f'''inbound:
  - {{listen: "127.0.0.1:{inbound['http']}", app: "127.0.0.1:{http.port}"}}
  - {{listen: "127.0.0.1:{inbound['rpc']}", app: "127.0.0.1:{rpc}", protocol: grpc}}
  - {{listen: "127.0.0.1:{inbound['tcp']}", app: "127.0.0.1:{tcp.port}", protocol: tcp}}
''', admin)
        admin, self.ports = free_port(), {name: free_port() for name in ('h1', 'h2', 'rpc', 'tcp')}
        expected = f'expect_ids: ["spiffe://{DOMAIN}/orders"]'
        listeners = ''.join(f'  - {{listen: "127.0.0.1:{port}", service: {name}}}\n' for name, port in self.ports.items())
        self.caller_ = self.start('web', head('web', admin, self.caller_files.identity()) + f'''outbound:
{listeners}services:
  h1: {{endpoints: ["127.0.0.1:{inbound['http']}"], wire: http1, {expected}}}
  h2: {{endpoints: ["127.0.0.1:{inbound['http']}"], {expected}}}
  rpc: {{endpoints: ["127.0.0.1:{inbound['rpc']}"], protocol: grpc, {expected}}}
  tcp: {{endpoints: ["127.0.0.1:{inbound['tcp']}"], protocol: tcp, {expected}}}
''', admin)

    def call_http(self, port):
        """A connection for ten calls, every other one a POST."""
        with Client(port) as client:
            for i in range(10):
                body = b'%d' % i
                answer = client.request('POST' if i % 2 else 'PUT', '/', body=body)
                if answer is None or (answer.status, answer.body) != (200, body):
                    return answer and f'{answer.status} {answer.text}' or 'closed'
        return None

    def call_tcp(self):
        with socket.create_connection(('127.0.0.1', self.ports['tcp']), PATIENCE) as session:
            session.sendall(b'hello')
            got = b''
            while len(got) < 5:
                more = session.recv(100)
                if not more:
                    return f'ended after {got!r}'
                got += more
        return None if got == b'hello' else f'{got!r}'

    def call_h2(self):
        """h2load on four connections of its own, ten streams each."""
        said = subprocess.run([find_tool('h2load'), '-n200', '-c4', '-m10', '-d', str(self.payload), f'http://127.0.0.1:{self.ports["h2"]}/'],
                              capture_output=True, text=True, timeout=60).stdout
        return None if '200 succeeded, 0 failed, 0 errored, 0 timeout' in said and '200 2xx' in said else said[-600:]

    @contextlib.contextmanager
    def load(self):
        self.payload = self.directory / 'payload'
        self.payload.write_bytes(b'x' * 100)
        channel = grpc.insecure_channel(f'127.0.0.1:{self.ports["rpc"]}', options=[('grpc.enable_http_proxy', 0), ('grpc.default_authority', 'rpc')])
        unary = channel.unary_unary(f'/{SERVICE}/Unary')
        stream = channel.stream_stream(f'/{SERVICE}/Bidi')
        loads = [Load('HTTP/1.1', lambda: self.call_http(self.ports['h1']), 2), Load('HTTP/1.1 over HTTP/2', lambda: self.call_http(self.ports['h2']), 2),
                 Load('HTTP/2', self.call_h2), Load('TCP', self.call_tcp, 2),
                 Load('gRPC', lambda: None if unary(b'a', timeout=PATIENCE) == b'a|' else 'wrong answer'),
                 Load('gRPC streams', lambda: None if list(stream(iter([b'a'] * 50), timeout=PATIENCE)) == [b'<a>'] * 50 else 'wrong answer')]
        try:
            yield
        finally:
            for one in loads:
                one.stop()
            channel.close()
        for one in loads:
            print(f'{one.name}: {one.done} done, {len(one.failures)} failed', flush=True)
            self.assertEqual(one.failures[:3], [], one.name)
            self.assertGreater(one.done, 5, one.name)

    def in_force(self, node, daemon, seconds=None):
        """Waits until the daemon presents the newest certificate."""
        serial = int(node.serial(), 16)
        self.eventually([serial], lambda: self.serials(daemon, 'cert_chain'), f'the new certificate of {node.service}', seconds)

    @needs('h2load')
    def test_a_certificate_every_second_fails_no_call(self):
        with self.load():
            end, rotations = time.monotonic() + SECONDS, 0
            while time.monotonic() < end:
                begun = time.monotonic()
                for node, daemon in ((self.caller_files, self.caller_), (self.callee_files, self.callee_)):
                    node.renew(self.old)
                    self.in_force(node, daemon)
                rotations += 1
                time.sleep(max(0, begun + 1 - time.monotonic()))  # the pace: once a second
        # One rotation per second if the load leaves the machine the time; six seconds are too short to require that.
        held = SECONDS == 60 and not SANITIZER
        self.assertGreaterEqual(rotations, SECONDS * 3 // 4 if held else SECONDS // 3)

    @needs('h2load')
    def test_a_new_ca_in_three_steps_fails_no_call(self):
        new = Pki(self.directory / 'new-ca')
        nodes = (self.caller_files, self.caller_), (self.callee_files, self.callee_)
        with self.load():
            for node, daemon in nodes:
                node.trust([self.old, new])
            for _, daemon in nodes:
                self.eventually(2, lambda: len(self.serials(daemon, 'ca_cert')), 'both CAs are trusted')
            for node, daemon in nodes:
                node.renew(new)
                self.in_force(node, daemon)
            for node, daemon in nodes:
                node.trust([new])
            for _, daemon in nodes:
                self.eventually(1, lambda: len(self.serials(daemon, 'ca_cert')), 'the old CA is trusted no more')
        # A caller with the old CA cannot connect any more.
        stranger = self.caller(f'  orders: {{endpoints: ["127.0.0.1:{self.callee_port()}"]}}\n', name='stranger', identity=self.old.identity('web'))
        self.assertEqual(harness.fetch(stranger.port).status, 503)

    def serials(self, daemon, kind):
        return [int(one['serial_number'].replace(':', ''), 16) for entry in daemon.json('/certs')['certificates'] for one in entry.get(kind, [])]

    def callee_port(self):
        return int(self.callee_.config_path.read_text().split('inbound:')[1].split('127.0.0.1:')[1].split('"')[0])


if __name__ == '__main__':
    main()
