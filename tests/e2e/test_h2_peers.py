"""How well-behaved HTTP/2 libraries use a connection, replayed frame by frame over real sockets, since
not every machine has them: none of it may be taken for abuse. The libraries themselves are run by
tests/interop, where they are installed. And what happens to a peer that has gone silent.
"""
import signal
import threading

import raw_h2
from harness import PATIENCE, Case, Client, Pki, fetch, free_port, head, main
from raw_h2 import Peer

CALLS = 1000


class BandwidthEstimator:
    """How grpc-go measures the bandwidth-delay product: each DATA frame it receives is answered with a
    WINDOW_UPDATE, together with a PING unless the last one has not been acknowledged yet."""

    def __init__(self, peer):
        self.peer = peer
        self.seen = 0
        self.pings = 0

    def look(self):
        frames = self.peer.frames[self.seen:]
        self.seen += len(frames)
        answered = sum(f.type == raw_h2.PING and f.flags == raw_h2.ACK for f in self.peer.frames)
        for f in frames:
            if f.type == raw_h2.SETTINGS and not f.flags & raw_h2.ACK:
                self.peer.send(raw_h2.settings_ack())
            if f.type == raw_h2.PING and not f.flags & raw_h2.ACK:
                self.peer.send(raw_h2.ping(f.payload, raw_h2.ACK))
            if f.type == raw_h2.DATA and f.payload:
                out = raw_h2.window_update(0, len(f.payload))
                if not f.flags & raw_h2.END_STREAM:
                    out += raw_h2.window_update(f.stream, len(f.payload))
                if answered == self.pings:
                    self.pings += 1
                    out += raw_h2.ping(b'bdp-ping')
                self.peer.send(out)


class GrpcGoFrames(Case):
    def test_a_client_that_measures_bandwidth_with_pings_makes_a_thousand_calls(self):
        app = self.origin(lambda request: (200, {}, b'x' * 100))
        admin, port = free_port(), free_port()
        daemon = self.start('orders', head('orders', admin) + (
            f'inbound:\n  - {{listen: "127.0.0.1:{port}", app: "127.0.0.1:{app.port}", mtls: disabled}}\n'), admin)
        peer = raw_h2.connect(port, preface=False)
        self.addCleanup(peer.close)
        peer.send(raw_h2.MAGIC + raw_h2.settings())
        estimator = BandwidthEstimator(peer)

        def ended(stream):
            estimator.look()
            return any(f.stream == stream and f.flags & raw_h2.END_STREAM for f in peer.frames)
        for call in range(CALLS):
            stream = 1 + 2 * call
            peer.send(raw_h2.request(stream))
            self.assertTrue(peer.until(lambda: ended(stream), PATIENCE), f'call {call}: {peer.frames[-3:]}, {peer.over}')
            # Waits for the PING acknowledgement, so that each call has one.
            self.assertTrue(peer.until(lambda: peer.count(raw_h2.PING) > call, PATIENCE), f'call {call}')
        self.assertEqual(estimator.pings, CALLS)
        self.assertEqual(daemon.metric('outrigger_http_floods_total'), 0)

    def test_a_server_that_measures_bandwidth_with_pings_takes_a_long_conversation(self):
        """One PING for each piece, which is echoed before the next one is sent."""
        def serve(connection):
            peer = Peer(connection)
            estimator = BandwidthEstimator(peer)
            peer.send(raw_h2.settings())
            while peer.read(PATIENCE):
                frames = peer.frames[estimator.seen:]
                estimator.look()
                for f in frames:
                    if f.type == raw_h2.HEADERS:
                        peer.send(raw_h2.frame(raw_h2.HEADERS, raw_h2.END_HEADERS, 1, b'\x88'))
                    if f.type == raw_h2.DATA:
                        peer.send(raw_h2.frame(raw_h2.DATA, f.flags & raw_h2.END_STREAM, 1, f.payload))
        caller = self.plain([self.endpoint(serve)], options='protocol: grpc, wire: http2')
        with Client(caller.port) as client:
            client.send(b'POST / HTTP/1.1\r\nhost: orders\r\ntransfer-encoding: chunked\r\n\r\n')
            self.assertIn(b' 200 ', client.stream.until(b'\r\n\r\n'))
            for piece in range(CALLS):
                client.send(b'5\r\nhello\r\n')
                self.assertEqual(client.stream.until(b'\r\n'), b'5', f'piece {piece}')
                self.assertEqual(client.stream.exactly(7), b'hello\r\n')
            client.send(b'0\r\n\r\n')
            self.assertEqual(client.stream.chunked(), (b'', []))
        self.assertEqual(caller.metric('outrigger_http_floods_total'), 0)


class Frozen(Case):
    """A stopped process keeps its connections: its kernel acknowledges what arrives, but there is no
    response."""
    PING = 'http2_ping: {after: 1s, timeout: 1s}'

    def two_callees(self, app):
        pki = Pki(self.directory / 'pki')
        callees = [self.callee(app.port, pki) for _ in range(2)]
        caller = self.caller('  orders: {endpoints: [%s], %s}\n' % (
            ', '.join(f'"127.0.0.1:{callee.port}"' for callee in callees), self.PING), identity=pki.identity('web'))
        return caller, callees

    def test_a_call_to_a_frozen_sidecar_goes_to_another_one(self):
        released = threading.Event()
        self.addCleanup(released.set)

        def answer(request):
            if request.target == '/slow' and len([r for r in app.requests if r.target == '/slow']) == 1:
                released.wait(PATIENCE)
            return 200, {}, request.target.encode()
        app = self.origin(answer)
        caller, callees = self.two_callees(app)
        for _ in range(10):
            self.assertEqual(fetch(caller.port).status, 200)  # connects to both
        client = self.client(caller.port)
        client.send(b'GET /slow HTTP/1.1\r\nhost: orders\r\n\r\n')
        self.eventually(1, lambda: sum(r.target == '/slow' for r in app.requests))
        frozen = next(c for c in callees if c.metric('outrigger_requests_active') == 1)
        frozen.send_signal(signal.SIGSTOP)
        try:
            self.assertEqual(client.read().body, b'/slow')
        finally:
            frozen.send_signal(signal.SIGCONT)
        self.assertEqual(caller.metric('outrigger_http_keepalive_timeouts_total', side='upstream'), 1)
        # Once it continues, it finds the connection reset and ends its own request.
        self.eventually(0, lambda: frozen.metric('outrigger_requests_active'))

    def test_the_call_of_a_frozen_sidecar_is_cancelled(self):
        released = threading.Event()
        self.addCleanup(released.set)
        app = self.origin(lambda request: (released.wait(PATIENCE), (200, {}, b'late'))[1])
        pki = Pki(self.directory / 'pki')
        callee = self.callee(app.port, pki, options=self.PING)
        caller = self.caller(f'  orders: {{endpoints: ["127.0.0.1:{callee.port}"]}}\n', identity=pki.identity('web'))
        client = self.client(caller.port)
        client.send(b'GET / HTTP/1.1\r\nhost: orders\r\n\r\n')
        self.eventually(1, lambda: callee.metric('outrigger_requests_active'))
        caller.send_signal(signal.SIGSTOP)
        try:
            self.eventually(0, lambda: callee.metric('outrigger_requests_active'))
            self.assertEqual(callee.metric('outrigger_http_keepalive_timeouts_total', side='downstream'), 1)
        finally:
            caller.send_signal(signal.SIGCONT)

    def test_a_quiet_call_between_healthy_sidecars_is_never_cut(self):
        released = threading.Event()
        self.addCleanup(released.set)
        app = self.origin(lambda request: (released.wait(PATIENCE), (200, {}, b'late'))[1])
        pki = Pki(self.directory / 'pki')
        callee = self.callee(app.port, pki, options=self.PING)
        caller = self.caller(f'  orders: {{endpoints: ["127.0.0.1:{callee.port}"], http2_ping: {{after: 1s, timeout: 1s, again: 1s}}}}\n',
                             identity=pki.identity('web'))
        client = self.client(caller.port)
        client.send(b'GET / HTTP/1.1\r\nhost: orders\r\n\r\n')
        self.eventually(True, lambda: caller.metric('outrigger_http_keepalive_pings_total', side='upstream') >= 3)
        self.eventually(True, lambda: callee.metric('outrigger_http_keepalive_pings_total', side='downstream') >= 1)
        released.set()
        self.assertEqual(client.read().body, b'late')
        self.assertEqual(caller.metric('outrigger_http_keepalive_timeouts_total'), 0)
        self.assertEqual(callee.metric('outrigger_http_keepalive_timeouts_total'), 0)


if __name__ == '__main__':
    main()
