"""Very many connections: 8,000 at the same time, 100,000 one after another; afterwards all descriptors
and gauges are back where they were."""
import os
import re
import selectors
import socket
import time
from pathlib import Path

import harness
from harness import SANITIZER, Case, Client, Endpoint, fetch, main

# With OUTRIGGER_FULL=1, the full number is used under a sanitizer too.
SMALL = bool(SANITIZER) and not os.environ.get('OUTRIGGER_FULL')
AT_ONCE = 2_000 if SMALL else 8_000
IN_TURN = 10_000 if SMALL else 100_000
GET = b'GET / HTTP/1.1\r\nhost: orders\r\n\r\n'
GAUGE = re.compile(r'_(active|pending)$')


def source(i):
    """Several loopback addresses, so that ports in TIME_WAIT do not cause a shortage."""
    return f'127.0.0.{2 + i % 20}', 0


def cpu_seconds(pid):
    user, system = Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1].split()[11:13]
    return (int(user) + int(system)) / os.sysconf('SC_CLK_TCK')


class Connections(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        limit = harness.raise_fd_limit()
        if limit < 2 * AT_ONCE + 1000:
            raise RuntimeError(f'{limit} descriptors are too few for {AT_ONCE} connections')

    def setUp(self):
        super().setUp()
        self.crowd = []
        self.addCleanup(self.leave)

    def join(self, port, i=0):
        """One more connection, closed together with the others."""
        s = socket.create_connection(('127.0.0.1', port), 30, source_address=source(i))
        self.crowd.append(s)
        return s

    def leave(self):
        while self.crowd:
            self.crowd.pop().close()

    def counted(self, daemon):
        """The gauges that are not zero."""
        return {(n, tuple(sorted(l.items()))): v for n, l, v in daemon.series() if GAUGE.search(n) and v}

    def rest(self, daemon):
        """How many descriptors a daemon holds that has not served a client yet, without those of the
        admin requests that ask for it."""
        last = None
        while (now := (daemon.fds(), self.counted(daemon))) != last or now[1]:
            last = now
            time.sleep(0.5)
        return now[0]

    def settle(self, daemon, rest, upstream=None):
        """All connections are gone: no gauge counts one, and there are no more descriptors than at rest."""
        def now():
            if upstream:
                upstream.drop_connections()
            left = self.counted(daemon)
            return max(0, daemon.fds() - rest), left
        self.eventually((0, {}), now, 'descriptors beyond those at rest, gauges', seconds=60)

    def settle_but_pool(self, daemon, rest, pooled, upstream):
        """The same while the caller's pool stays open: there are no more connections than a pool may
        hold, and each of them has one descriptor."""
        def now():
            upstream.drop_connections()
            left = self.counted(daemon)
            connections = sum(v for (name, _), v in left.items() if name == 'outrigger_connections_active')
            others = {series: v for series, v in left.items() if series[0] != 'outrigger_connections_active'}
            return connections <= pooled, max(0, daemon.fds() - connections - rest), others
        self.eventually((True, 0, {}), now, 'connections within the pool, descriptors beyond those, gauges', seconds=60)

    def http_burst(self, port, count):
        """Opens `count` connections, a request on each (64 in flight), and keeps all of them open."""
        made, answered = 0, 0
        with selectors.EpollSelector() as selector:
            while answered < count:
                while made < count and made - answered < 64:
                    s = self.join(port, made)
                    s.sendall(GET)
                    selector.register(s, selectors.EVENT_READ, bytearray())
                    made += 1
                for key, _ in selector.select(30):
                    data = key.fileobj.recv(4096)
                    key.data.extend(data)
                    self.assertTrue(data, f'closed after {bytes(key.data)}')
                    if key.data.endswith(b'ok'):
                        self.assertTrue(key.data.startswith(b'HTTP/1.1 200 '), bytes(key.data))
                        selector.unregister(key.fileobj)
                        answered += 1

    def test_simultaneous_http(self):
        upstream = self.origin()
        sidecar = self.plain([upstream], workers=2)
        rest = self.rest(sidecar)
        begun = time.monotonic()
        self.http_burst(sidecar.port, AT_ONCE)
        self.assertGreaterEqual(sidecar.fds(), AT_ONCE)
        self.assertGreaterEqual(sidecar.metric('outrigger_connections_active', direction='outbound'), AT_ONCE)
        print(f'{AT_ONCE} connections in {time.monotonic() - begun:.1f} s, RSS {sidecar.rss()} KiB', flush=True)
        # All of them still work.
        for s in self.crowd[::37]:
            s.sendall(GET)
        for s in self.crowd[::37]:
            self.assertIn(b' 200 ', s.recv(4096))
        self.leave()
        self.settle(sidecar, rest, upstream)

    def test_simultaneous_http_over_mtls(self):
        upstream = self.origin()
        caller, callee = self.pair(upstream.port, workers=2)
        rest, callee_rest = self.rest(caller), self.rest(callee)
        self.http_burst(caller.port, AT_ONCE)
        self.leave()
        # At most four HTTP/2 connections from each of the caller's two workers.
        self.settle_but_pool(callee, callee_rest, 8, upstream)
        callee.stop()
        self.settle(caller, rest)

    def test_simultaneous_tcp(self):
        upstream = EpollEcho()
        self.addCleanup(upstream.stop)
        sidecar = self.plain([upstream.port], 'protocol: tcp, breaker: {connections: 20000}', workers=2)
        rest = self.rest(sidecar)
        for i in range(AT_ONCE):
            self.join(sidecar.port, i).sendall(b'%08d' % i)
        for i, s in enumerate(self.crowd):
            self.assertEqual(s.recv(8), b'%08d' % i)
        self.assertGreaterEqual(sidecar.fds(), 2 * AT_ONCE)
        self.leave()
        self.settle(sidecar, rest)

    def test_sequential(self):
        upstream = self.origin()
        sidecar = self.plain([upstream], workers=2)
        rest, rss, failures = self.rest(sidecar), [], []
        begun = time.monotonic()

        def run(part):
            for i in range(part, IN_TURN, 4):
                with socket.create_connection(('127.0.0.1', sidecar.port), 30, source_address=source(i)) as s:
                    s.sendall(GET)
                    data = b''
                    while not data.endswith(b'ok') and (more := s.recv(4096)):
                        data += more
                if b' 200 ' not in data:
                    failures.append(data)
        for quarter in range(4):
            run(quarter)
            rss.append(sidecar.rss())
        print(f'{IN_TURN} connections in {time.monotonic() - begun:.1f} s, RSS by quarters {rss} KiB', flush=True)
        self.assertEqual(failures, [])
        self.settle(sidecar, rest, upstream)
        if not SANITIZER:
            self.assertLess(rss[-1], rss[0] * 1.05 + 1024, 'memory does not follow the number of past connections')

    def test_a_descriptor_squeeze(self):
        """At the limit nothing spins or crashes; service resumes when descriptors are free again."""
        import resource
        upstream = self.origin()
        sidecar = self.plain([upstream])
        # Let connections end once in every way that occurs here: the undefined-behaviour sanitizer needs
        # descriptors of its own when it first encounters a type.
        for _ in range(3):
            fetch(sidecar.port)
            self.join(sidecar.port).shutdown(socket.SHUT_WR)
        self.leave()
        resource.prlimit(sidecar.pid, resource.RLIMIT_NOFILE, (sidecar.fds() + 40, 20000))
        for _ in range(100):
            self.join(sidecar.port)
        time.sleep(0.5)
        before = cpu_seconds(sidecar.pid)
        time.sleep(1)
        self.assertLess(cpu_seconds(sidecar.pid) - before, 0.5, 'it spins at the descriptor limit')
        self.leave()
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
            self.open.add(connection)
            return
        try:
            data = ready.recv(4096)
        except OSError:
            data = b''
        if data:
            ready.sendall(data)
        else:
            self._close(ready)

    def _close(self, connection):
        self.selector.unregister(connection)
        self.open.discard(connection)
        connection.close()

    def stop(self):
        self.closing = True
        self.thread.join()
        for connection in list(self.open):
            self._close(connection)
        self.selector.close()
        self.listener.close()


if __name__ == '__main__':
    main()
