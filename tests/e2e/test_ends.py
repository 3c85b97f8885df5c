"""Clients that do not read, disappear or send incomplete messages: what they may cost, and how soon they are disconnected."""
import os
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
import unittest

import raw_h2
from harness import Case, Pki, SANITIZER, Client, main

GET = b'GET / HTTP/1.1\r\nhost: orders\r\n\r\n'
NETWORK = 'OUTRIGGER_TEST_NETWORK'  # set inside the network namespace that the last test creates


def connect(port, receive_buffer=None):
    s = socket.socket()
    if receive_buffer:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    s.settimeout(20)
    s.connect(('127.0.0.1', port))
    return s


def pipeline(s, request, seconds):
    """Sends as fast as possible and reads nothing; returns how many bytes were sent."""
    s.setblocking(False)
    sent, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            sent += s.send(request * 500)
        except BlockingIOError:
            time.sleep(0.01)
    s.settimeout(20)
    return sent


class Ends(Case):
    def grown_by(self, daemon, request):
        before = daemon.rss()
        s = connect(daemon.port, 4096)
        self.addCleanup(s.close)
        pipeline(s, request, 3)
        return daemon.rss() - before, s

    def test_a_client_that_pipelines_and_never_reads_costs_little(self):
        app = self.origin(lambda request: (200, {}, b'x' * 15_000))
        daemon = self.plain([app], workers=1)
        grown, _ = self.grown_by(daemon, GET)
        self.assertLess(grown, (60 if SANITIZER else 8) * 1024, 'KiB for answers of an app')
        grown, _ = self.grown_by(daemon, GET.replace(b'orders', b'x' * 200 + b'.nowhere'))
        self.assertLess(grown, (60 if SANITIZER else 8) * 1024, 'KiB for our own answers')

    def test_a_client_that_pipelines_does_not_keep_its_worker_from_another(self):
        app = self.origin(lambda request: (200, {}, b'x'))
        daemon = self.plain([app], workers=1)
        script = ("import socket, sys, threading\n"
                  "s = socket.create_connection(('127.0.0.1', int(sys.argv[1])))\n"
                  "def read():\n    while s.recv(1 << 20): pass\n"
                  "threading.Thread(target=read, daemon=True).start()\n"
                  "print('on', flush=True)\n"
                  "while True: s.sendall(b'GET / HTTP/1.1\\r\\nhost: x.nowhere\\r\\n\\r\\n' * 2000)\n")
        flood = subprocess.Popen([sys.executable, '-c', script, str(daemon.port)], stdout=subprocess.PIPE)
        self.addCleanup(flood.stdout.close)
        self.addCleanup(flood.wait)
        self.addCleanup(flood.kill)
        flood.stdout.readline()
        slowest = 0
        with Client(daemon.port) as other:
            for _ in range(50):
                began = time.monotonic()
                self.assertEqual(other.request('GET', '/').status, 200)
                slowest = max(slowest, time.monotonic() - began)
        self.assertLess(slowest, 2 if SANITIZER else 0.5)

    def test_a_byte_that_begins_no_request_has_ten_seconds(self):
        app = self.origin(lambda request: (200, {}, b'x'))
        daemon = self.plain([app])
        for first in (b'', GET):
            s = connect(daemon.port)
            self.addCleanup(s.close)
            if first:
                s.sendall(first)
                self.assertIn(b'200', s.recv(10_000))
            s.sendall(b'\r')
            began = time.monotonic()
            answer = b''
            while data := s.recv(10_000):
                answer += data
            self.assertIn(b' 408 ', answer)
            self.assertTrue(9.5 < time.monotonic() - began < 13)

    def test_a_connection_of_a_client_that_has_proved_nothing_may_rest_for_a_minute(self):
        daemon = self.callee(self.origin().port, Pki(self.directory / 'pki'), options='mtls: disabled')
        s = connect(daemon.port)
        s.settimeout(90)
        self.addCleanup(s.close)
        s.sendall(GET)
        self.assertIn(b'200', s.recv(10_000))
        began = time.monotonic()
        self.assertEqual(s.recv(10_000), b'')
        self.assertTrue(59 < time.monotonic() - began < 75)

    def test_clear_text_on_a_permissive_port_ends_in_peace(self):
        app = self.origin(lambda request: (200, {}, b'x'))
        daemon = self.callee(app.port, Pki(self.directory / 'pki'), options='mtls: permissive')
        s = connect(daemon.port)
        self.addCleanup(s.close)
        s.sendall(GET)
        self.assertIn(b'200', s.recv(10_000))
        s.shutdown(socket.SHUT_WR)
        self.assertEqual(s.recv(10_000), b'', 'FIN, no reset')
        inbound = dict(direction='inbound')
        self.eventually(1, lambda: daemon.metric('outrigger_connections_closed_total', **inbound), 'connections closed')
        self.assertEqual(daemon.metric('outrigger_connections_closed_total', reason='peer_reset', **inbound), 0)

    def test_a_client_that_takes_nothing_is_closed(self):
        app = self.origin(lambda request: (200, {}, b'x' * 20_000_000))
        daemon = self.plain([app], runtime='write_timeout: 2s')
        s = connect(daemon.port, 4096)
        self.addCleanup(s.close)
        s.sendall(GET)
        began = time.monotonic()
        self.eventually(1, lambda: daemon.metric('outrigger_connections_closed_total', reason='write_stalled'), seconds=20)
        self.assertTrue(1.9 < time.monotonic() - began < (10 if SANITIZER else 5))

    def test_a_stream_whose_window_stays_shut_is_reset(self):
        app = self.origin(lambda request: (200, {}, b'x' * 1000))
        daemon = self.plain([app], runtime='write_timeout: 2s')
        peer = raw_h2.connect(daemon.port)
        self.addCleanup(peer.close)
        peer.send(raw_h2.settings((raw_h2.INITIAL_WINDOW_SIZE, 0)) + raw_h2.request(1))
        began = time.monotonic()
        self.assertTrue(peer.until(lambda: peer.count(raw_h2.RST_STREAM) == 1, 20))
        self.assertTrue(1.9 < time.monotonic() - began < (10 if SANITIZER else 5))
        self.assertEqual(daemon.metric('outrigger_http_stalled_streams_total', side='downstream'), 1)
        self.assertTrue(peer.alive(5), 'the connection stays')

    def test_less_waits_for_a_client_that_has_proved_nothing_than_for_one_with_a_certificate(self):
        app = self.origin(lambda request: (200, {}, b'x' * 20_000_000))
        pki = Pki(self.directory / 'pki')

        def held(mtls):
            daemon = self.callee(app.port, pki, options=f'mtls: {mtls}', workers=1)
            s = connect(daemon.port, 4096)
            if mtls == 'strict':
                context = raw_h2.client_context(pki, 'web')
                context.set_alpn_protocols(['http/1.1'])
                s = context.wrap_socket(s)
            self.addCleanup(s.close)
            s.sendall(GET)
            self.eventually(True, lambda: daemon.metric('outrigger_buffer_bytes') > 64 * 1024, 'bytes wait')
            last = -1
            while (now := daemon.metric('outrigger_buffer_bytes')) != last:  # until no more arrives
                last = now
                time.sleep(0.3)
            return now
        self.assertLess(held('disabled'), 400 * 1024)
        self.assertGreater(held('strict'), 900 * 1024)

    def test_a_reader_that_is_slow_is_not_taken_for_dead(self):
        """Its window is closed for longer than the kernel's limit, while its kernel keeps acknowledging."""
        app = self.origin(lambda request: (200, {}, b'x' * 20_000_000))
        daemon = self.plain([app], runtime='write_timeout: 0s, tcp_user_timeout: 2s')
        s = connect(daemon.port, 4096)
        self.addCleanup(s.close)
        s.sendall(GET)
        self.assertIn(b' 200 ', s.recv(1000))
        time.sleep(8)  # the time without a read is what is tested
        left = 0
        while data := s.recv(1 << 20):
            left += len(data)
            if left >= 19_999_000:
                break
        self.assertGreaterEqual(left, 19_999_000)
        self.assertEqual(daemon.metric('outrigger_connections_closed_total', reason='timed_out'), 0)

    def test_an_upload_whose_client_resets_frees_its_upstream(self):
        """The app does not read, so the client is not read either."""
        held, stop = [], threading.Event()

        def serve(connection):
            held.append(connection)
            stop.wait()
        self.addCleanup(stop.set)
        daemon = self.plain([self.endpoint(serve)])
        s = connect(daemon.port)
        s.sendall(b'POST / HTTP/1.1\r\nhost: orders\r\ncontent-length: 900000000\r\n\r\n')
        pipeline(s, b'x' * 100, 1)
        self.assertEqual(daemon.metric('outrigger_requests_active', direction='outbound'), 1)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        s.close()
        self.eventually(0, lambda: daemon.metric('outrigger_requests_active', direction='outbound'), seconds=5)


class BlackHole(Case):
    """In a network namespace of its own, whose only link is taken down."""

    @unittest.skipUnless(os.geteuid() == 0 and shutil.which('unshare') and shutil.which('ip'), 'needs root, unshare and ip')
    @unittest.skipIf(os.environ.get(NETWORK), 'is inside')
    def test_a_peer_whose_host_is_gone_is_found_out(self):
        run = subprocess.run(
            ['unshare', '-n', sys.executable, __file__, 'BlackHole.inside'], env=dict(os.environ, **{NETWORK: '1'}),
            capture_output=True, text=True, timeout=120)
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)

    def inside(self):
        subprocess.run(['ip', 'link', 'set', 'lo', 'up'], check=True)
        hold = []

        def serve(connection):
            hold.append(connection)
            while connection.recv(1000):
                pass
        app = self.endpoint(serve)
        daemon = self.plain([app], 'protocol: tcp', runtime='tcp_user_timeout: 3s')
        s = connect(daemon.port)
        self.addCleanup(s.close)
        s.sendall(b'hello')
        self.eventually(1, lambda: len(hold))
        resting = self.plain([self.origin()], runtime='tcp_user_timeout: 3s')
        self.assertEqual(self.client(resting.port).request('GET', '/').status, 200)
        subprocess.run(['ip', 'link', 'set', 'lo', 'down'], check=True)
        self.addCleanup(subprocess.run, ['ip', 'link', 'set', 'lo', 'up'])
        time.sleep(8)  # nothing can be queried while the link is down
        subprocess.run(['ip', 'link', 'set', 'lo', 'up'], check=True)
        self.eventually(0, lambda: daemon.metric('outrigger_connections_active', service='orders'), seconds=10)
        # Both sides of the session use the link; whichever times out first ends the other.
        self.assertGreaterEqual(daemon.metric('outrigger_connections_closed_total', reason='timed_out'), 1)
        # An idle client on the same link times out by itself.
        self.eventually(1, lambda: resting.metric('outrigger_connections_closed_total', reason='timed_out', service=''), 'clients', 10)


if __name__ == '__main__':
    main()
