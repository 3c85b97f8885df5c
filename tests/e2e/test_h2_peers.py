"""How well-behaved HTTP/2 libraries use a connection, played frame by frame over real sockets, since
they are not on every machine: none of it may be taken for abuse. The libraries themselves are driven by
tests/interop, where they are there.
"""
import raw_h2
from harness import PATIENCE, Case, Client, free_port, head, main
from raw_h2 import Peer

CALLS = 1000


class BandwidthEstimator:
    """What gRPC in Go does to measure bandwidth × delay: each DATA frame that comes is acknowledged by a
    WINDOW_UPDATE, and a PING goes with it unless the last one has not been answered yet."""

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
            # The answer to the PING is waited for, so that each call has one.
            self.assertTrue(peer.until(lambda: peer.count(raw_h2.PING) > call, PATIENCE), f'call {call}')
        self.assertEqual(estimator.pings, CALLS)
        self.assertEqual(daemon.metric('outrigger_http_floods_total'), 0)

    def test_a_server_that_measures_bandwidth_with_pings_takes_a_long_conversation(self):
        """One PING for each piece, which goes back before the next one comes."""
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


if __name__ == '__main__':
    main()
