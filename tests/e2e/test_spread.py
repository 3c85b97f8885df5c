"""A few long-lived connections are spread evenly over the workers, each of which reports how many it has."""
import socket
import struct

from harness import Case, PATIENCE, main

WORKERS = 2


def frame(kind, flags, stream, payload=b''):
    return struct.pack('>I', len(payload))[1:] + bytes((kind, flags)) + struct.pack('>I', stream) + payload


SETTINGS, HEADERS = 4, 1
OPEN = b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' + frame(SETTINGS, 0, 0)
GET = frame(HEADERS, 0x5, 1, b'\x82\x86\x84\x01\x06orders')  # GET http / of orders, the complete request


class Spread(Case):
    def h2_connection(self, port):
        """An HTTP/2 connection that has had one response, so that it stays with its worker."""
        connection = socket.create_connection(('127.0.0.1', port), PATIENCE)
        self.addCleanup(connection.close)
        connection.sendall(OPEN + GET)
        got = b''
        while not got.endswith(b'ok'):
            more = connection.recv(4096)
            self.assertTrue(more, 'the proxy closed the connection')
            got += more
        return connection

    def per_worker(self, daemon):
        return [int(value) for name, labels, value in sorted(daemon.series(), key=lambda s: s[1].get('worker', ''))
                if name == 'outrigger_worker_connections']

    def total(self, daemon, count):
        """The workers' connections once there are `count` in total: a close is noticed a moment later."""
        self.eventually(count, lambda: sum(self.per_worker(daemon)), 'connections of all workers')
        return self.per_worker(daemon)

    def assert_even(self, daemon, count):
        have = self.total(daemon, count)
        self.assertEqual(len(have), WORKERS)
        self.assertLessEqual(max(have) - min(have), 1, f'{have} of {count} connections')

    def sidecar(self):
        return self.plain([self.origin()], workers=WORKERS)

    def test_eight_connections(self):
        sidecar = self.sidecar()
        for _ in range(10):
            connections = [self.h2_connection(sidecar.port) for _ in range(8)]
            self.assert_even(sidecar, 8)
            for connection in connections:
                connection.close()
            self.assert_even(sidecar, 0)

    def test_opened_at_once(self):
        sidecar = self.sidecar()
        for _ in range(10):
            connections = [socket.create_connection(('127.0.0.1', sidecar.port), PATIENCE) for _ in range(8)]
            self.assert_even(sidecar, 8)
            for connection in connections:
                connection.close()
            self.assert_even(sidecar, 0)

    def test_after_some_were_closed(self):
        """The worker that lost connections gets the next ones."""
        sidecar = self.sidecar()
        connections = [self.h2_connection(sidecar.port) for _ in range(8)]
        for first in [0, 1, 2] * 4:
            for connection in connections[first::3]:
                connection.close()
            left = [c for i, c in enumerate(connections) if i not in range(first, 8, 3)]
            self.total(sidecar, len(left))
            connections = left + [self.h2_connection(sidecar.port) for _ in range(8 - len(left))]
            self.assert_even(sidecar, 8)


if __name__ == '__main__':
    main()
