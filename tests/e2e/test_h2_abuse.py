"""Attacks by hostile HTTP/2 peers, over real sockets: one bounded test for each known attack (20,000
frames or 8 s). Each reports how the daemon ended it, and asserts what it cost: the memory that one
connection may take, and that others are served at once, meanwhile and afterwards.

The attacks use a clear-text port, whose peers are unauthenticated; tests/unit/http/h2_abuse_test.cc
checks the exact limits.
"""
import contextlib
import socket
import time

import raw_h2
from harness import PATIENCE, SANITIZER, Case, Pki, fetch, free_port, head, main
from raw_h2 import Peer

FRAMES = 20_000
SECONDS = 8
# Heap that one connection may add. A sanitizer keeps freed memory, so this is not checked there.
GROWTH_KIB = 2048
AT_ONCE = 10 if SANITIZER else 2
# Seconds that another client waits for a response meanwhile, nine times out of ten; more only where it took long before, too.
OTHERS_WAIT = 1 if SANITIZER else 0.1
CALM = raw_h2.ENHANCE_YOUR_CALM


class Abuse(Case):
    BIG = b'x' * (1 << 20)

    def setUp(self):
        super().setUp()
        self.app = self.origin(lambda request: (200, {}, self.BIG if request.target == '/big' else b'ok'))
        admin, self.port = free_port(), free_port()
        pki = Pki(self.directory / 'pki')
        self.sidecar = self.start('orders', head('orders', admin, pki.identity('orders')) + (
            f'inbound:\n  - {{listen: "127.0.0.1:{self.port}", app: "127.0.0.1:{self.app.port}", mtls: disabled}}\n'), admin)
        # What the worker keeps for reuse is created first: a hundred idle connections to the app, and the
        # memory of as many small exchanges.
        quiet = []
        for _ in range(3):
            quiet += [self.serve_somebody_else() for _ in range(20)]
            self.a_hundred_at_once(self.open())
            self.sidecar.metric('outrigger_requests_active')
        self.app.requests.clear()
        self.rss_before = self.rss_peak = self.sidecar.rss()
        self.waits = []
        self.wait_max = max(OTHERS_WAIT, 3 * sorted(quiet)[len(quiet) * 9 // 10])

    def open(self):
        peer = raw_h2.connect(self.port)
        self.addCleanup(peer.close)
        return peer

    def a_hundred_at_once(self, peer):
        peer.send(raw_h2.settings((raw_h2.INITIAL_WINDOW_SIZE, 0)))
        peer.send(b''.join(raw_h2.request(1 + 2 * i) for i in range(100)))
        self.assertTrue(peer.until(lambda: peer.count(raw_h2.HEADERS) == 100, PATIENCE))
        peer.close()
        self.eventually(0, lambda: self.sidecar.metric('outrigger_requests_active'))

    def serve_somebody_else(self):
        start = time.monotonic()
        self.assertEqual(fetch(self.port).body, b'ok')
        return time.monotonic() - start

    def look(self):
        self.rss_peak = max(self.rss_peak, self.sidecar.rss())
        self.waits.append(self.serve_somebody_else())

    def flood(self, peer, make, frames_each=1, batch=500, reading=True):
        """Sends make(i) until there are enough or the daemon has ended the connection. Returns how many were sent."""
        end = time.monotonic() + SECONDS
        sent = 0
        while sent * frames_each < FRAMES and time.monotonic() < end and not peer.over:
            taken = peer.send(b''.join(make(sent + i) for i in range(batch)), 1, reading)
            sent += batch
            while reading and peer.read(0):
                pass
            self.look()
            if not taken and not peer.over:
                break  # it no longer reads
        return sent

    def expect_bounded(self):
        self.look()
        self.waits.sort()
        self.assertLess(self.waits[len(self.waits) * 9 // 10], self.wait_max, 'others are served meanwhile')
        self.assertLess(self.waits[-1], AT_ONCE, 'others are served meanwhile')
        if not SANITIZER:
            self.assertLessEqual(self.rss_peak - self.rss_before, GROWTH_KIB, f'KiB more than {self.rss_before}')

    def expect_ended(self, peer, code=CALM):
        self.assertTrue(peer.finished(AT_ONCE), 'the connection ends')
        self.assertEqual(peer.goaway_code(), code, 'and says why')
        self.expect_bounded()
        peer.close()
        self.eventually(0, lambda: self.sidecar.metric('outrigger_requests_active'), 'nothing is left of its requests')

    # --- floods of control frames: CVE-2019-9512, 9515, 9513

    def test_ping_flood(self):
        peer = self.open()
        self.flood(peer, lambda i: raw_h2.ping())
        self.expect_ended(peer)

    def test_ping_flood_whose_answers_nobody_reads(self):
        peer = self.open()
        self.flood(peer, lambda i: raw_h2.ping(), reading=False)
        self.expect_ended(peer)

    def test_settings_flood(self):
        peer = self.open()
        self.flood(peer, lambda i: raw_h2.settings((raw_h2.INITIAL_WINDOW_SIZE, i % 1000)))
        self.expect_ended(peer)

    def test_priority_flood(self):
        peer = self.open()
        self.flood(peer, lambda i: raw_h2.frame(raw_h2.PRIORITY, 0, 1 + 2 * (i % 1000), b'\0\0\0\0\x0f'))
        self.expect_ended(peer)

    def test_window_update_churn(self):
        peer = self.open()
        peer.send(raw_h2.request(1, flags=raw_h2.END_HEADERS))
        self.flood(peer, lambda i: raw_h2.window_update(i % 2, 1))
        self.expect_ended(peer)

    # --- streams opened only to be reset: CVE-2019-9514, CVE-2023-44487, CVE-2025-8671

    def test_rapid_reset(self):
        peer = self.open()
        block = raw_h2.request_block(path=b'/flood')
        count = self.flood(peer, lambda i: raw_h2.request(1 + 2 * i, block) + raw_h2.rst_stream(1 + 2 * i),
                           frames_each=2, batch=100)
        self.expect_ended(peer)
        self.assertLess(count, FRAMES / 2)
        # The app's idle connections carry one each; of the rest it sees at most one in a hundred.
        seen = sum(request.target == '/flood' for request in self.app.requests)
        self.assertLessEqual(seen, 100 + count / 100)

    def test_made_you_reset(self):
        peer = self.open()
        self.flood(peer, lambda i: raw_h2.request(1 + 2 * i) + raw_h2.window_update(1 + 2 * i, 0x7fffffff),
                   frames_each=2, batch=50)
        self.expect_ended(peer)
        # All but the last few had been reset one by one before that.
        self.assertGreater(peer.count(raw_h2.RST_STREAM), 150)

    def test_malformed_requests_without_end(self):
        peer = self.open()
        block = raw_h2.request_block(more=raw_h2.literal(b'', b'no name'))
        self.flood(peer, lambda i: raw_h2.request(1 + 2 * i, block), batch=50)
        self.expect_ended(peer)
        self.assertGreater(peer.count(raw_h2.RST_STREAM), 150)
        self.assertEqual({r.header('no name') for r in self.app.requests}, {None})

    # --- heads: CVE-2024-28182, CVE-2016-6581, CVE-2026-47774

    def test_continuation_flood(self):
        peer = self.open()
        peer.send(raw_h2.request(1, flags=raw_h2.END_STREAM))
        # The tenth is one too many, wherever the writes are split.
        for i in range(10):
            peer.send(raw_h2.frame(raw_h2.CONTINUATION, 0, 1, raw_h2.literal(b'x%d' % i, b'1')))
        self.expect_ended(peer)

    def test_hpack_bomb(self):
        """One large entry in the table, and thousands of one-byte references to it: 46 MB per block."""
        peer = self.open()
        bomb = raw_h2.request_block(more=raw_h2.literal(b'bomb', b'b' * 3800, added=True) + b'\xbe' * 12000)
        self.flood(peer, lambda i: raw_h2.request(1 + 2 * i, bomb), batch=10)
        self.expect_ended(peer)
        self.assertEqual([r for r in self.app.requests if r.header('bomb')], [])

    def test_hpack_bombs_that_are_too_large_by_little(self):
        """Twenty references are 76 KB, which gets a 431, stream after stream."""
        peer = self.open()
        peer.send(raw_h2.settings((raw_h2.INITIAL_WINDOW_SIZE, 0)))
        large = raw_h2.literal(b'bomb', b'b' * 3800, added=True)
        peer.send(raw_h2.request(1, raw_h2.request_block(more=large)))
        block = raw_h2.request_block(more=b'\xbe' * 20)
        self.flood(peer, lambda i: raw_h2.request(3 + 2 * i, block), batch=50)
        self.expect_bounded()
        statuses = {raw_h2.status_of(f.payload) for f in peer.frames if f.type == raw_h2.HEADERS}
        self.assertIn(431, statuses)
        self.assertLessEqual(statuses, {200, 431, None})
        peer.close()
        self.assertLessEqual(len([r for r in self.app.requests if r.header('bomb')]), 1)

    def test_hpack_bombs_just_within_the_limits(self):
        """A hundred heads of 53 KB each, for as many bytes as a small request takes."""
        peer = self.open()
        peer.send(raw_h2.settings((raw_h2.INITIAL_WINDOW_SIZE, 0)))
        large = raw_h2.literal(b'bomb', b'b' * 3800, added=True)
        peer.send(raw_h2.request(1, raw_h2.request_block(more=large)))
        block = raw_h2.request_block(more=b'\xbe' * 14)
        peer.send(b''.join(raw_h2.request(3 + 2 * i, block) for i in range(99)))
        self.assertTrue(peer.until(lambda: peer.count(raw_h2.HEADERS) + peer.count(raw_h2.RST_STREAM) >= 100, SECONDS))
        self.expect_bounded()
        peer.close()

    # --- empty frames: CVE-2019-9518

    def test_empty_data_frames(self):
        peer = self.open()
        peer.send(raw_h2.request(1, raw_h2.request_block(b'POST'), raw_h2.END_HEADERS))
        self.flood(peer, lambda i: raw_h2.frame(raw_h2.DATA, 0, 1))
        self.expect_ended(peer)

    def test_frames_of_padding_only(self):
        peer = self.open()
        peer.send(raw_h2.request(1, raw_h2.request_block(b'POST'), raw_h2.END_HEADERS))
        self.flood(peer, lambda i: raw_h2.frame(raw_h2.DATA, 0x8, 1, b'\x03\0\0\0'))
        self.expect_ended(peer)

    # --- responses that are not read: CVE-2019-9511, 9517

    def ask_for_much(self, peer, streams=100):
        block = raw_h2.request_block(path=b'/big')
        for i in range(streams):
            peer.send(raw_h2.request(1 + 2 * i, block), reading=False)
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline and len([r for r in self.app.requests if r.target == '/big']) < streams:
            self.look()

    def expect_given_up(self, peer):
        """When it closes, all work for it stops."""
        self.expect_bounded()
        self.assertIsNone(peer.goaway_code())
        peer.close()
        self.eventually(0, lambda: self.sidecar.metric('outrigger_requests_active'), seconds=AT_ONCE)
        self.expect_bounded()

    def test_a_hundred_answers_into_a_window_of_nothing(self):
        peer = self.open()
        peer.send(raw_h2.settings((raw_h2.INITIAL_WINDOW_SIZE, 0)))
        self.ask_for_much(peer)
        peer.until(lambda: peer.count(raw_h2.HEADERS) == 100, SECONDS)
        self.assertEqual((peer.count(raw_h2.HEADERS), peer.count(raw_h2.DATA)), (100, 0))
        self.assertTrue(peer.alive(AT_ONCE))
        self.assertEqual(self.sidecar.metric('outrigger_requests_active'), 100)
        self.expect_given_up(peer)

    def test_a_hundred_answers_for_a_client_that_does_not_read(self):
        peer = self.open()
        peer.send(raw_h2.settings((raw_h2.INITIAL_WINDOW_SIZE, 0x7fffffff)) + raw_h2.window_update(0, 0x7fff0000))
        self.ask_for_much(peer)
        # A few responses are complete, in the kernel's buffers; the others wait.
        self.assertGreater(self.sidecar.metric('outrigger_requests_active'), 80)
        self.expect_given_up(peer)


class Parked(Case):
    """A hundred uploads of 64 KB each, from an unauthenticated client, that are not read: 6.4 MB that must not be held.
    1 MB is kept for another try, and 1 MB waits in the streams."""

    def upload(self, app, most):
        """`most`: KiB of memory, buffers and the requests themselves."""
        admin, port = free_port(), free_port()
        daemon = self.start('orders', head('orders', admin) + (
            f'inbound:\n  - {{listen: "127.0.0.1:{port}", app: "127.0.0.1:{app}", mtls: disabled}}\n'), admin)
        before = daemon.rss()
        peer = raw_h2.connect(port)
        self.addCleanup(peer.close)
        for i in range(100):
            peer.send(raw_h2.request(1 + 2 * i, raw_h2.request_block(b'POST'), raw_h2.END_HEADERS))
        sent = 0
        for i in range(400):
            # Exceeding the connection's window would end it.
            if not peer.until(lambda: raw_h2.connection_window(peer) - sent >= 16_000, 0.2):
                break
            peer.send(raw_h2.frame(raw_h2.DATA, 0, 1 + 2 * (i % 100), b'x' * 16_000))
            sent += 16_000
        self.assertGreater(sent, 1_000_000)
        self.assertTrue(peer.alive(PATIENCE))
        self.assertEqual(daemon.metric('outrigger_requests_active'), 100, 'all of them wait')
        if not SANITIZER:
            self.assertLess(daemon.rss() - before, most)

    def listen(self, backlog):
        listener = socket.create_server(('127.0.0.1', 0), backlog=backlog)
        self.addCleanup(listener.close)
        return listener.getsockname()[1]

    def test_an_app_that_accepts_no_connection(self):
        port = self.listen(0)
        for _ in range(4):  # its queue is full
            one = socket.socket()
            self.addCleanup(one.close)
            one.setblocking(False)
            one.connect_ex(('127.0.0.1', port))
        self.upload(port, 3 * 1024)

    def test_an_app_that_reads_nothing(self):
        # Its kernel accepts them all, over a hundred connections.
        self.upload(self.listen(1024), 5 * 1024)


class HostileServer(Case):
    """The reverse: an endpoint that floods its client, the sidecar."""

    def drill(self, flood, answering=False):
        """One request to an endpoint that floods, and one to the same endpoint when it behaves."""
        ends = []
        head = raw_h2.frame(raw_h2.HEADERS, raw_h2.END_HEADERS, 1, b'\x88')

        def serve(connection):
            peer = Peer(connection)
            peer.send(raw_h2.settings() + raw_h2.settings_ack())
            if not peer.until(lambda: peer.find(raw_h2.HEADERS), PATIENCE):
                return
            if ends:
                peer.send(head + raw_h2.frame(raw_h2.DATA, raw_h2.END_STREAM, 1, b'good'))
            else:
                ends.append(peer)
                peer.send(head if answering else b'')
                for _ in range(FRAMES // 100):
                    if not peer.send(flood * 100, SECONDS):
                        break
            peer.finished(SECONDS)
        endpoint = self.endpoint(serve)
        sidecar = self.plain([endpoint], 'wire: http2, retry: 0')
        before = sidecar.rss()
        if answering:
            with self.client(sidecar.port) as client:
                client.send(b'GET / HTTP/1.1\r\nhost: orders\r\n\r\n')
                self.assertNotIn(b'\r\n0\r\n', self.all_of(client), 'the answer is cut short')
        else:
            self.assertIn(fetch(sidecar.port).status, (502, 503))
        self.eventually(CALM, ends[0].goaway_code, 'how it ended')
        self.assertEqual(fetch(sidecar.port).body, b'good')
        if not SANITIZER:
            self.assertLessEqual(sidecar.rss() - before, 2 * GROWTH_KIB)

    @staticmethod
    def all_of(client):
        with contextlib.suppress(ConnectionResetError):
            client.stream.rest()
        return client.stream.pending

    def test_ping_flood(self):
        self.drill(raw_h2.ping())

    def test_settings_flood(self):
        self.drill(raw_h2.settings((raw_h2.INITIAL_WINDOW_SIZE, 1000)))

    def test_window_update_churn(self):
        self.drill(raw_h2.window_update(1, 1))

    def test_empty_data_frames(self):
        self.drill(raw_h2.frame(raw_h2.DATA, 0, 1), answering=True)


if __name__ == '__main__':
    main()
