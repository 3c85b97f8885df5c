"""Memory: what idle connections hold, and that what many of them held is returned when they have closed."""
import socket
import ssl

from harness import SANITIZER, Case, Pki, main

MANY = 500
GET = b'GET / HTTP/1.1\r\nhost: orders\r\n\r\n'


class Memory(Case):
    def setUp(self):
        super().setUp()
        if SANITIZER:
            self.many = 100  # a sanitizer keeps freed memory: only checks that it works
        else:
            self.many = MANY
        self.app = self.origin(lambda r: (200, {}, b'ok'))

    def burst(self, count, connect):
        made = []
        for _ in range(count):
            c = connect()
            c.sendall(GET)
            got = b''
            while not got.endswith(b'ok'):
                more = c.recv(4096)
                self.assertTrue(more, got)
                got += more
            made.append(c)
        return made

    def measure(self, sidecar, connect, idle_max_kib):
        """The first burst is closed before anything is measured, to exclude one-time allocations."""
        for c in self.burst(50, connect):
            c.close()
        start = sidecar.rss()
        open_ = self.burst(self.many, connect)
        if not SANITIZER:
            # An idle connection returns its buffers; some earlier memory stays in the heap.
            self.eventually(True, lambda: sidecar.rss() - start < idle_max_kib * self.many, 'memory of idle connections')
        for c in open_[::50]:
            c.sendall(GET)
            self.assertIn(b' 200 ', c.recv(4096))
        held = sidecar.rss()
        for c in open_:
            c.close()
        if SANITIZER:
            return
        spare = max(start // 5, 2048)
        self.eventually(True, lambda: sidecar.rss() < start + spare,
                        f'memory after all have closed (at first {start} KiB, then {held} KiB)')

    def test_plain_connections(self):
        sidecar = self.plain([self.app])
        self.measure(sidecar, lambda: socket.create_connection(('127.0.0.1', sidecar.port), 30), 2)

    def test_mtls_connections(self):
        pki = Pki(self.directory / 'pki')
        callee = self.callee(self.app.port, pki, protocol='http')
        cert, key = pki.issue('web')
        context = ssl.create_default_context(cafile=pki.ca)
        context.check_hostname = False
        context.load_cert_chain(cert, key)
        context.set_alpn_protocols(['http/1.1'])

        def connect():
            return context.wrap_socket(socket.create_connection(('127.0.0.1', callee.port), 30), server_hostname='orders.mesh')
        self.measure(callee, connect, 26)


if __name__ == '__main__':
    main()
