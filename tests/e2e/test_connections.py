"""Very many connections: 8,000 at a time, 100,000 one after another; afterwards every descriptor and
every gauge is where it was."""
import os
import re
import selectors
import socket
import time

import harness
from harness import SANITIZER, Case, Client, Endpoint, main

# OUTRIGGER_FULL=1 asks for the whole count under a sanitizer too.
SMALL = bool(SANITIZER) and not os.environ.get('OUTRIGGER_FULL')
AT_ONCE = 2_000 if SMALL else 8_000
IN_TURN = 10_000 if SMALL else 100_000
GET = b'GET / HTTP/1.1\r\nhost: orders\r\n\r\n'
GAUGE = re.compile(r'_(active|pending)$')


def source(i):
    """Several loopback addresses, so that ports waiting out TIME_WAIT are not missed."""
    return f'127.0.0.{2 + i % 20}', 0


class Connections(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        limit = harness.raise_fd_limit()
        if limit < 2 * AT_ONCE + 1000:
            raise RuntimeError(f'{limit} descriptors are too few for {AT_ONCE} connections')

    def rest(self, *daemons):
        """Descriptors and gauges when nothing is going on."""
        return [(d.fds(), {(n, tuple(sorted(l.items()))): v for n, l, v in d.series() if GAUGE.search(n) and v}) for d in daemons]

    def quiet(self, *daemons):
        """The same once what was closed before is gone."""
        last = None
        while (now := self.rest(*daemons)) != last:
            last = now
            time.sleep(1)
        return now

    def settle(self, before, *daemons, upstream=None):
        def now():
            if upstream:
                upstream.drop_connections()
            return self.rest(*daemons)
        # The admin connection that asks is itself counted in each of the two.
        self.eventually(before, now, 'descriptors and gauges', seconds=60)

    def http_burst(self, port, count):
        """Opens `count` connections, a request on each (64 in flight), and keeps all of them open."""
        selector, open_, answered, made, failed = selectors.EpollSelector(), [], 0, 0, 0
        while answered < count and not failed:
            while made < count and made - answered < 64:
                s = socket.create_connection(('127.0.0.1', port), 30, source_address=source(made))
                s.sendall(GET)
                selector.register(s, selectors.EVENT_READ, bytearray())
                open_.append(s)
                made += 1
            for key, _ in selector.select(30):
                data = key.fileobj.recv(4096)
                key.data.extend(data)
                if key.data.endswith(b'ok'):
                    self.assertTrue(key.data.startswith(b'HTTP/1.1 200 '), bytes(key.data))
                    selector.unregister(key.fileobj)
                    answered += 1
                elif not data:
                    failed += 1
        selector.close()
        self.assertEqual(failed, 0)
        return open_

    def simultaneous_http(self, upstream, port, *daemons):
        for s in self.http_burst(port, 50):
            s.close()
        upstream.drop_connections()
        before = self.quiet(*daemons)
        begun = time.monotonic()
        open_ = self.http_burst(port, AT_ONCE)
        self.assertGreaterEqual(daemons[0].fds(), AT_ONCE)
        self.assertGreaterEqual(daemons[0].metric('outrigger_connections_active', direction='outbound'), AT_ONCE)
        print(f'{AT_ONCE} connections in {time.monotonic() - begun:.1f} s, RSS {daemons[0].rss()} KiB', flush=True)
        # All of them still work.
        for s in open_[::37]:
            s.sendall(GET)
        for s in open_[::37]:
            self.assertIn(b' 200 ', s.recv(4096))
        for s in open_:
            s.close()
        self.settle(before, *daemons, upstream=upstream)

    def test_simultaneous_http(self):
        upstream = self.origin()
        sidecar = self.plain([upstream], workers=2)
        self.simultaneous_http(upstream, sidecar.port, sidecar)

    def test_simultaneous_http_over_mtls(self):
        upstream = self.origin()
        caller, callee = self.pair(upstream.port, workers=2)
        for s in self.http_burst(caller.port, 200):
            s.close()
        before = self.quiet(caller)
        for s in self.http_burst(caller.port, AT_ONCE):
            s.close()
        self.settle(before, caller)

    def test_simultaneous_tcp(self):
        upstream = EpollEcho()
        self.addCleanup(upstream.stop)
        sidecar = self.plain([upstream.port], 'protocol: tcp, breaker: {connections: 20000, pending: 20000}', workers=2)
        before = self.rest(sidecar)
        open_ = []
        for i in range(AT_ONCE):
            s = socket.create_connection(('127.0.0.1', sidecar.port), 30, source_address=source(i))
            s.sendall(b'%08d' % i)
            open_.append(s)
        for i, s in enumerate(open_):
            self.assertEqual(s.recv(8), b'%08d' % i)
        self.assertGreaterEqual(sidecar.fds(), 2 * AT_ONCE)
        for s in open_:
            s.close()
        self.settle(before, sidecar)

    def test_sequential(self):
        upstream = self.origin()
        sidecar = self.plain([upstream], workers=2)
        with Client(sidecar.port) as client:
            client.request('GET', '/')
        upstream.drop_connections()
        before, rss = self.quiet(sidecar), []
        failures = []
        begun = time.monotonic()

        def run(part):
            for i in range(part, IN_TURN, 4):
                s = socket.create_connection(('127.0.0.1', sidecar.port), 30, source_address=source(i))
                s.sendall(GET)
                data = s.recv(4096)
                while data and not data.endswith(b'ok'):
                    more = s.recv(4096)
                    if not more:
                        break
                    data += more
                if b' 200 ' not in data:
                    failures.append(data)
                s.close()
        for quarter in range(4):
            run(quarter)
            rss.append(sidecar.rss())
        print(f'{IN_TURN} connections in {time.monotonic() - begun:.1f} s, RSS by quarters {rss} KiB', flush=True)
        self.assertEqual(failures, [])
        self.settle(before, sidecar, upstream=upstream)
        if not SANITIZER:
            self.assertLess(rss[-1], rss[0] * 1.05 + 1024, 'memory does not follow the number of past connections')

    def test_a_descriptor_squeeze(self):
        """At the limit nothing spins and nothing dies; service resumes when there is room again."""
        import resource
        upstream = self.origin()
        sidecar = self.plain([upstream])
        resource.prlimit(sidecar.pid, resource.RLIMIT_NOFILE, (sidecar.fds() + 40, 20000))
        crowd = [socket.create_connection(('127.0.0.1', sidecar.port), 10) for _ in range(100)]
        time.sleep(0.5)
        ticks = [int(x) for x in open(f'/proc/{sidecar.pid}/stat').read().rsplit(')', 1)[1].split()[11:13]]
        time.sleep(1)
        later = [int(x) for x in open(f'/proc/{sidecar.pid}/stat').read().rsplit(')', 1)[1].split()[11:13]]
        self.assertLess(sum(later) - sum(ticks), 0.5 * os.sysconf('SC_CLK_TCK'), 'it spins at the descriptor limit')
        for s in crowd:
            s.close()
        with Client(sidecar.port) as client:
            self.assertEqual(client.request('GET', '/').status, 200)


class EpollEcho(Endpoint):
    """An echo server for thousands of connections in one thread."""

    def __init__(self):
        self.selector = selectors.EpollSelector()
        self.closing = False
        super().__init__(None, backlog=8192)

    def _accept(self):
        self.listener.setblocking(False)
        self.selector.register(self.listener, selectors.EVENT_READ)
        while not self.closing:
            for key, _ in self.selector.select(0.2):
                self._turn(key.fileobj)

    def _turn(self, ready):
        if ready is self.listener:
            connection, _ = self.listener.accept()
            self.selector.register(connection, selectors.EVENT_READ)
            return
        try:
            data = ready.recv(4096)
        except OSError:
            data = b''
        if data:
            ready.sendall(data)
        else:
            self.selector.unregister(ready)
            ready.close()

    def stop(self):
        self.closing = True
        super().stop()


if __name__ == '__main__':
    main()
