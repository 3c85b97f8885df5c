"""What hostile peers do to HTTP/2, over real sockets: one bounded drill for each known attack (20,000
frames or 8 s). Each says how the daemon ended it, and asserts what it cost: the memory one connection
may take, and that others are served at once, meanwhile and afterwards.

The drills come on a port in clear text, whose peers have proved nothing; tests/unit/http/h2_abuse_test.cc
knows the exact limits.
"""
import time

import raw_h2
from harness import PATIENCE, SANITIZER, Case, Pki, fetch, free_port, head, main
from raw_h2 import Peer

FRAMES = 20_000
SECONDS = 8
# Heap that one connection may add. A sanitizer keeps freed memory, so that nothing is learnt there.
GROWTH_KIB = 2048
AT_ONCE = 5 if SANITIZER else 1
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
        # What every connection takes once, and what the allocator keeps ready, is there before.
        for _ in range(3):
            for _ in range(20):
                self.serve_somebody_else()
            self.requests_on(raw_h2.connect(self.port), 50)
        self.app.requests.clear()
        self.rss_before = self.rss_peak = self.sidecar.rss()
        self.slowest = 0.0

    def requests_on(self, peer, count):
        for i in range(count):
            peer.send(raw_h2.request(1 + 2 * i))
            peer.until(lambda: peer.count(raw_h2.DATA) > i, PATIENCE)
        self.assertEqual(peer.count(raw_h2.HEADERS), count)
        peer.close()

    def serve_somebody_else(self):
        start = time.monotonic()
        self.assertEqual(fetch(self.port).body, b'ok')
        return time.monotonic() - start

    def look(self):
        self.rss_peak = max(self.rss_peak, self.sidecar.rss())
        self.slowest = max(self.slowest, self.serve_somebody_else())

    def flood(self, peer, make, frames_each=1, batch=500, reading=True):
        """Sends make(i) until it is enough or the daemon has ended it. Returns how many there were."""
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
        self.assertLess(self.slowest, AT_ONCE, 'others are served at once')
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
        peer = raw_h2.connect(self.port)
        self.flood(peer, lambda i: raw_h2.ping())
        self.expect_ended(peer)

    def test_ping_flood_whose_answers_nobody_reads(self):
        peer = raw_h2.connect(self.port)
        self.flood(peer, lambda i: raw_h2.ping(), reading=False)
        self.expect_ended(peer)

    def test_settings_flood(self):
        peer = raw_h2.connect(self.port)
        self.flood(peer, lambda i: raw_h2.settings((raw_h2.INITIAL_WINDOW_SIZE, i % 1000)))
        self.expect_ended(peer)

    def test_priority_flood(self):
        peer = raw_h2.connect(self.port)
        self.flood(peer, lambda i: raw_h2.frame(raw_h2.PRIORITY, 0, 1 + 2 * (i % 1000), b'\0\0\0\0\x0f'))
        self.expect_ended(peer)

    def test_window_update_churn(self):
        peer = raw_h2.connect(self.port)
        peer.send(raw_h2.request(1, flags=raw_h2.END_HEADERS))
        self.flood(peer, lambda i: raw_h2.window_update(i % 2, 1))
        self.expect_ended(peer)

    # --- streams that are opened to be reset: CVE-2019-9514, CVE-2023-44487, CVE-2025-8671

    def test_rapid_reset(self):
        peer = raw_h2.connect(self.port)
        count = self.flood(peer, lambda i: raw_h2.request(1 + 2 * i) + raw_h2.rst_stream(1 + 2 * i), frames_each=2, batch=100)
        self.expect_ended(peer)
        self.assertLess(count, FRAMES / 2)
        # The app sees those who asked meanwhile, and of the flood less than one in a hundred.
        self.assertLess(len(self.app.requests), 100 + count / 100)

    def test_made_you_reset(self):
        peer = raw_h2.connect(self.port)
        self.flood(peer, lambda i: raw_h2.request(1 + 2 * i) + raw_h2.window_update(1 + 2 * i, 0x7fffffff), frames_each=2, batch=50)
        self.expect_ended(peer)
        # All but the last few had been reset one by one before that.
        self.assertGreater(peer.count(raw_h2.RST_STREAM), 150)

    def test_malformed_requests_without_end(self):
        peer = raw_h2.connect(self.port)
        block = raw_h2.request_block(more=raw_h2.literal(b'', b'no name'))
        self.flood(peer, lambda i: raw_h2.request(1 + 2 * i, block), batch=50)
        self.expect_ended(peer)
        self.assertGreater(peer.count(raw_h2.RST_STREAM), 150)
        self.assertEqual({r.header('no name') for r in self.app.requests}, {None})

    # --- heads: CVE-2024-28182, CVE-2016-6581, CVE-2026-47774

    def test_continuation_flood(self):
        peer = raw_h2.connect(self.port)
        peer.send(raw_h2.request(1, flags=raw_h2.END_STREAM))
        # The tenth is one too many, wherever the writes are cut.
        for i in range(10):
            peer.send(raw_h2.frame(raw_h2.CONTINUATION, 0, 1, raw_h2.literal(b'x%d' % i, b'1')))
        self.expect_ended(peer)

    def test_hpack_bomb(self):
        """One large entry in the table and thousands of one-byte references, on many streams that
        cannot be answered since there is no window."""
        peer = raw_h2.connect(self.port)
        peer.send(raw_h2.settings((raw_h2.INITIAL_WINDOW_SIZE, 0)))
        bomb = raw_h2.request_block(more=raw_h2.literal(b'bomb', b'b' * 3800, added=True) + b'\xbe' * 12000)
        again = raw_h2.request_block(more=b'\xbe' * 16000)
        self.flood(peer, lambda i: raw_h2.request(1 + 2 * i, again if i else bomb), batch=10)
        self.look()
        # 60 MB a stream were not stored: the first ones are refused with 431, all together end it.
        self.assertEqual(raw_h2.status_of(peer.find(raw_h2.HEADERS).payload), 431)
        self.expect_ended(peer)
        self.assertEqual([r for r in self.app.requests if r.header('bomb')], [])

    # --- frames of nothing: CVE-2019-9518

    def test_empty_data_frames(self):
        peer = raw_h2.connect(self.port)
        peer.send(raw_h2.request(1, raw_h2.request_block(b'POST'), raw_h2.END_HEADERS))
        self.flood(peer, lambda i: raw_h2.frame(raw_h2.DATA, 0, 1))
        self.expect_ended(peer)

    def test_frames_of_padding_only(self):
        peer = raw_h2.connect(self.port)
        peer.send(raw_h2.request(1, raw_h2.request_block(b'POST'), raw_h2.END_HEADERS))
        self.flood(peer, lambda i: raw_h2.frame(raw_h2.DATA, 0x8, 1, b'\x03\0\0\0'))
        self.expect_ended(peer)

    # --- answers that nobody takes: CVE-2019-9511, 9517

    def ask_for_much(self, peer, streams=100):
        block = raw_h2.request_block(path=b'/big')
        for i in range(streams):
            peer.send(raw_h2.request(1 + 2 * i, block), reading=False)
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline and len([r for r in self.app.requests if r.target == '/big']) < streams:
            self.look()

    def expect_given_up(self, peer):
        """Its going is enough to stop all the work that was done for it."""
        self.expect_bounded()
        self.assertIsNone(peer.goaway_code())
        self.assertEqual(self.sidecar.metric('outrigger_requests_active'), 100)
        peer.close()
        self.eventually(0, lambda: self.sidecar.metric('outrigger_requests_active'), seconds=AT_ONCE)
        self.expect_bounded()

    def test_a_hundred_answers_into_a_window_of_nothing(self):
        peer = raw_h2.connect(self.port)
        peer.send(raw_h2.settings((raw_h2.INITIAL_WINDOW_SIZE, 0)))
        self.ask_for_much(peer)
        peer.until(lambda: peer.count(raw_h2.HEADERS) == 100, SECONDS)
        self.assertEqual((peer.count(raw_h2.HEADERS), peer.count(raw_h2.DATA)), (100, 0))
        self.assertTrue(peer.alive(AT_ONCE))
        self.expect_given_up(peer)

    def test_a_hundred_answers_for_a_client_that_does_not_read(self):
        peer = raw_h2.connect(self.port)
        peer.send(raw_h2.settings((raw_h2.INITIAL_WINDOW_SIZE, 0x7fffffff)) + raw_h2.window_update(0, 0x7fff0000))
        self.ask_for_much(peer)
        self.expect_given_up(peer)


class HostileServer(Case):
    """The same from the other side: an endpoint that floods its client, the sidecar."""

    def drill(self, flood):
        """One request to an endpoint that answers with a flood, and one to the same when it is good."""
        ends = []

        def serve(connection):
            peer = Peer(connection)
            peer.send(raw_h2.settings() + raw_h2.settings_ack())
            if not peer.until(lambda: peer.find(raw_h2.HEADERS), PATIENCE):
                return
            if ends:
                peer.send(raw_h2.frame(raw_h2.HEADERS, raw_h2.END_HEADERS, 1, b'\x88') +
                          raw_h2.frame(raw_h2.DATA, raw_h2.END_STREAM, 1, b'good'))
            else:
                ends.append(peer)
                for _ in range(FRAMES // 100):
                    if not peer.send(flood * 100, SECONDS):
                        break
            peer.finished(SECONDS)
        endpoint = self.endpoint(serve)
        sidecar = self.plain([endpoint], 'wire: http2, retry: 0')
        before = sidecar.rss()
        answer = fetch(sidecar.port)
        self.assertIn(answer.status, (502, 503))
        self.eventually(CALM, ends[0].goaway_code, 'how it ended')
        self.assertEqual(fetch(sidecar.port).body, b'good')
        if not SANITIZER:
            self.assertLessEqual(sidecar.rss() - before, 2 * GROWTH_KIB)

    def test_ping_flood(self):
        self.drill(raw_h2.ping())

    def test_settings_flood(self):
        self.drill(raw_h2.settings((raw_h2.INITIAL_WINDOW_SIZE, 1000)))

    def test_window_update_churn(self):
        self.drill(raw_h2.window_update(1, 1))

    def test_empty_data_frames(self):
        self.drill(raw_h2.frame(raw_h2.DATA, 0, 1))


if __name__ == '__main__':
    main()
