"""Opaque TCP: bytes both ways, half-close in both orders, closes and resets that reach the other side."""
import os
import socket
import struct
import threading
import time

from harness import SANITIZER, Case, free_port, main


def read_all(connection):
    out = b''
    while data := connection.recv(65536):
        out += data
    return out


def count_then_answer(connection):
    """Responds only once the caller has finished sending: works only with half-close."""
    data = read_all(connection)
    connection.sendall(b'%d bytes' % len(data))


def echo(connection):
    while data := connection.recv(65536):
        connection.sendall(data)


class Tcp(Case):
    def both_ways(self, serve):
        """Yields a port through one sidecar in clear text and one through two over mTLS."""
        endpoint = self.endpoint(serve)
        yield self.plain([endpoint], 'protocol: tcp').port
        yield self.pair(endpoint.port, protocol='tcp', inbound='tcp')[0].port

    def connect(self, port):
        connection = socket.create_connection(('127.0.0.1', port), 20)
        self.addCleanup(connection.close)
        return connection

    def test_echo(self):
        for port in self.both_ways(echo):
            connection = self.connect(port)
            for size in (1, 2, 1000, 65536, 1 << 20):
                data = os.urandom(size)
                threading.Thread(target=connection.sendall, args=(data,), daemon=True).start()
                got = b''
                while len(got) < size:
                    got += connection.recv(1 << 20)
                self.assertEqual(got, data)

    def test_bulk_is_counted_to_the_byte_and_leaves_no_descriptor(self):
        """It moves through pipes where there is no TLS."""
        size = 16 << 20
        sidecar = self.plain([self.endpoint(echo)], 'protocol: tcp')
        descriptors = sidecar.fds()
        connection = self.connect(sidecar.port)
        data = os.urandom(size)
        threading.Thread(target=connection.sendall, args=(data,), daemon=True).start()
        got = bytearray()
        while len(got) < size:
            got += connection.recv(1 << 20)
        self.assertEqual(got, data)
        connection.close()
        # Both connections of the session.
        self.eventually(2 * size, lambda: sidecar.metric('outrigger_connection_received_bytes_total'), 'bytes received')
        self.eventually(2 * size, lambda: sidecar.metric('outrigger_connection_sent_bytes_total'), 'bytes sent')
        # A few empty pipes are kept for reuse.
        self.eventually(True, lambda: sidecar.fds() <= descriptors + 16, 'descriptors given back')

    def test_handshakes_with_endpoints_are_counted(self):
        caller = self.pair(self.endpoint(echo).port, protocol='tcp', inbound='tcp')[0]
        for _ in range(3):
            connection = self.connect(caller.port)
            connection.sendall(b'x')
            self.assertEqual(connection.recv(1), b'x')
            connection.close()
        self.eventually(3, lambda: caller.metric('outrigger_tls_handshakes_total', side='upstream', result='ok'), 'handshakes made')

    def test_the_caller_closes_its_half_first(self):
        for port in self.both_ways(count_then_answer):
            connection = self.connect(port)
            connection.sendall(b'x' * 100_000)
            connection.shutdown(socket.SHUT_WR)
            self.assertEqual(read_all(connection), b'100000 bytes')

    def test_the_app_closes_its_half_first(self):
        received = []

        def serve(connection):
            connection.sendall(b'first word')
            connection.shutdown(socket.SHUT_WR)
            received.append(read_all(connection))
        for port in self.both_ways(serve):
            received.clear()
            connection = self.connect(port)
            self.assertEqual(read_all(connection), b'first word')
            connection.sendall(b'still here ' * 10_000)
            connection.close()
            self.eventually([b'still here ' * 10_000], lambda: received, 'what the app read after its own end')

    def test_an_app_that_speaks_first(self):
        def serve(connection):
            connection.sendall(b'220 ready\r\n')
            echo(connection)
        for port in self.both_ways(serve):
            connection = self.connect(port)
            self.assertEqual(connection.recv(100), b'220 ready\r\n')
            connection.sendall(b'HELO')
            self.assertEqual(connection.recv(100), b'HELO')

    def test_a_reset_reaches_the_other_side(self):
        ended = []

        def serve(connection):
            try:
                echo(connection)
                ended.append('end')
            except OSError:
                ended.append('reset')
        for port in self.both_ways(serve):
            ended.clear()
            connection = self.connect(port)
            connection.sendall(b'x')
            connection.recv(1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
            connection.close()
            self.eventually(['reset'], lambda: ended, 'the app saw a reset, and not an end')

    def test_an_endpoint_that_is_down_is_passed_over(self):
        alive = self.endpoint(echo)
        sidecar = self.plain([free_port(), alive], 'protocol: tcp, load_balancer: round_robin')
        for _ in range(10):
            connection = self.connect(sidecar.port)
            connection.sendall(b'hello')
            self.assertEqual(connection.recv(10), b'hello')

    def test_no_endpoint_means_an_end_and_not_a_hang(self):
        sidecar = self.plain([free_port()], 'protocol: tcp')
        begun = time.monotonic()
        try:
            self.assertEqual(self.connect(sidecar.port).recv(1), b'')
        except ConnectionResetError:
            pass
        self.assertLess(time.monotonic() - begun, 5 if SANITIZER else 1.5)

    def test_idle_sessions_end(self):
        endpoint = self.endpoint(echo)
        sidecar = self.plain([endpoint], 'protocol: tcp, idle_timeout: 500ms')
        connection = self.connect(sidecar.port)
        connection.sendall(b'x')
        connection.recv(1)
        begun = time.monotonic()
        try:
            self.assertEqual(connection.recv(1), b'')
        except ConnectionResetError:
            pass
        self.assertTrue(0.45 < time.monotonic() - begun < (5 if SANITIZER else 1.5))

    def test_http_bytes_are_not_touched(self):
        """On a TCP port even a malformed request is not inspected."""
        for port in self.both_ways(echo):
            connection = self.connect(port)
            data = b'GET / HTTP/1.1\nbad header\r\r\n\x00\r\n\r\n'
            connection.sendall(data)
            self.assertEqual(connection.recv(1000), data)

    def test_active_sessions_are_counted_and_forgotten(self):
        endpoint = self.endpoint(echo)
        sidecar = self.plain([endpoint], 'protocol: tcp')
        self.eventually(0, lambda: sidecar.metric('outrigger_connections_active'), 'connections at rest')
        sessions = [self.connect(sidecar.port) for _ in range(20)]
        for s in sessions:
            s.sendall(b'x')
            s.recv(1)
        self.assertEqual(sidecar.metric('outrigger_connections_active'), 40, 'both sides of 20 sessions')
        for s in sessions:
            s.close()
        self.eventually(0, lambda: len(endpoint.open), 'sessions at the app')
        self.eventually(0, lambda: sidecar.metric('outrigger_connections_active'), 'connections afterwards')


if __name__ == '__main__':
    main()
