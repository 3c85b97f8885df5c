"""A client and an origin in one, whose every byte and every order of events is fixed.

The guard counts a proxy's instructions, so what the proxy meets must be the same each time: requests
and answers of fixed bytes, a fixed number of connections used in turn, and a fixed number of requests
in one turn of the proxy's loop. For the last, the proxy is stopped while a turn's bytes are written,
so that it wakes to all of them at once.
"""
import os
import selectors
import signal
import socket
import struct

PATIENCE = 60  # seconds; a proxy under valgrind is some fifty times slower than alone

REQUEST = (b'GET /api/v1/orders/4711 HTTP/1.1\r\nHost: orders.mesh:8080\r\nUser-Agent: guard/1.0\r\n'
           b'Accept: application/json\r\nAccept-Encoding: gzip\r\nCookie: session=0123456789abcdef\r\n\r\n')
BODY = b'x' * 1024
ANSWER = (b'HTTP/1.1 200 OK\r\nServer: origin/1.0\r\nDate: Mon, 01 Jan 2026 00:00:00 GMT\r\nContent-Type: application/json\r\n'
          b'Content-Length: 1024\r\nCache-Control: no-store\r\nETag: "6a3f-400"\r\n\r\n') + BODY


class Unexpected(RuntimeError):
    """The proxy did something else than pass requests and answers on."""


def check(condition, what):
    if not condition:
        raise Unexpected(what)


def open_socket(port):
    s = socket.create_connection(('127.0.0.1', port), PATIENCE)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


class Process:
    """A child that can be held still for the time a turn's bytes need to be written."""

    def __init__(self, pid):
        self.pid = pid

    def __enter__(self):
        os.kill(self.pid, signal.SIGSTOP)
        _, status = os.waitpid(self.pid, os.WUNTRACED)
        check(os.WIFSTOPPED(status), f'process {self.pid} ended')

    def __exit__(self, *_):
        os.kill(self.pid, signal.SIGCONT)


class Origin:
    """Answers nothing by itself: the driver takes a turn's requests, then gives their answers."""

    def __init__(self):
        self.listener = socket.create_server(('127.0.0.1', 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        self.selector = selectors.EpollSelector()
        self.selector.register(self.listener, selectors.EVENT_READ)
        self.pending = {}

    def take(self, count):
        """Waits for `count` whole requests and returns their connections, in a stable order."""
        asked = []
        while len(asked) < count:
            ready = self.selector.select(PATIENCE)
            check(ready, f'the origin saw {len(asked)} of {count} requests')
            for key, _ in ready:
                if key.fileobj is self.listener:
                    self._accept()
                elif self._read(key.fileobj):
                    asked.append(key.fileobj)
        return sorted(asked, key=socket.socket.fileno)

    def _accept(self):
        connection, _ = self.listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.selector.register(connection, selectors.EVENT_READ)
        self.pending[connection] = b''

    def _read(self, connection):
        data = connection.recv(65536)
        check(data, 'the proxy closed a connection to the origin')
        self.pending[connection] += data
        if not self.pending[connection].endswith(b'\r\n\r\n'):
            return False
        self.pending[connection] = b''
        return True

    def close(self):
        for s in (self.listener, *self.pending):
            s.close()
        self.selector.close()


class H1Client:
    """Keep-alive connections, one request on each of the next `batch` of them."""

    def __init__(self, port, connections, batch):
        self.sockets = [open_socket(port) for _ in range(connections)]
        self.batch = batch
        self.next = 0

    def send(self):
        self.asked = [self.sockets[(self.next + i) % len(self.sockets)] for i in range(self.batch)]
        self.next += self.batch
        for s in self.asked:
            s.sendall(REQUEST)

    def receive(self):
        for s in self.asked:
            got = b''
            while not got.endswith(BODY):
                more = s.recv(65536)
                check(more, f'the proxy closed after {got[:80]!r}')
                got += more
            check(got.startswith(b'HTTP/1.1 200'), f'the proxy answered {got[:80]!r}')

    def close(self):
        for s in self.sockets:
            s.close()


class ConnectClient:
    """A connection for each request, as ab opens them: HTTP/1.0, read to the end, closed by the proxy first."""

    def __init__(self, port, connections, batch):
        self.port, self.batch = port, batch

    def send(self):
        self.asked = [open_socket(self.port) for _ in range(self.batch)]
        for s in self.asked:
            s.sendall(REQUEST.replace(b'HTTP/1.1', b'HTTP/1.0'))

    def receive(self):
        for s in self.asked:
            got = b''
            while more := s.recv(65536):
                got += more
            check(got.startswith(b'HTTP/1.1 200') and got.endswith(BODY), f'the proxy answered {got[:80]!r}')
            s.close()

    def close(self):
        pass


def frame(kind, flags, stream, payload=b''):
    return struct.pack('>I', len(payload))[1:] + bytes((kind, flags)) + struct.pack('>I', stream) + payload


def literal(name, value):
    return b'\x00' + bytes((len(name),)) + name + bytes((len(value),)) + value


DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, END_HEADERS, ACK = 1, 4, 1
# :method GET and :scheme http from the static table, the rest literal and not indexed: no state between requests.
H2_HEAD = (b'\x82\x86' + b'\x04\x13/api/v1/orders/4711' + b'\x01\x10orders.mesh:8080'
           + literal(b'user-agent', b'guard/1.0') + literal(b'accept', b'application/json')
           + literal(b'accept-encoding', b'gzip') + literal(b'cookie', b'session=0123456789abcdef'))


class H2Client:
    """HTTP/2 in clear text; all streams of a turn in one write, on the connections in turn."""

    def __init__(self, port, connections, batch):
        self.batch = batch
        self.next = 0
        self.sockets = [open_socket(port) for _ in range(connections)]
        self.streams = [1] * connections
        self.pending = [b''] * connections
        for s in self.sockets:
            s.sendall(b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' + frame(SETTINGS, 0, 0)
                      + frame(WINDOW_UPDATE, 0, 0, struct.pack('>I', 1 << 30)))

    def send(self):
        self.at = self.next % len(self.sockets)
        self.next += 1
        first = self.streams[self.at]
        self.streams[self.at] += 2 * self.batch
        self.sockets[self.at].sendall(b''.join(frame(HEADERS, END_STREAM | END_HEADERS, first + 2 * i, H2_HEAD) for i in range(self.batch)))

    def receive(self):
        ended = body = 0
        while ended < self.batch:
            kind, flags, payload = self._frame()
            check(kind not in (RST_STREAM, GOAWAY), f'the proxy sent frame {kind}: {payload!r}')
            if kind in (SETTINGS, PING) and not flags & ACK:
                self.sockets[self.at].sendall(frame(kind, ACK, 0, payload if kind == PING else b''))
            if kind == DATA:
                body += len(payload)
            ended += kind in (DATA, HEADERS) and flags & END_STREAM
        check(body == self.batch * len(BODY), f'{body} bytes of body')

    def _frame(self):
        data = self.pending[self.at]
        while len(data) < 9 or len(data) < 9 + int.from_bytes(data[:3], 'big'):
            more = self.sockets[self.at].recv(65536)
            check(more, 'the proxy closed an HTTP/2 connection')
            data += more
        end = 9 + int.from_bytes(data[:3], 'big')
        self.pending[self.at] = data[end:]
        return data[3], data[4], data[9:end]

    def close(self):
        for s in self.sockets:
            s.close()


def run(client, origin, entry, exit_, requests):
    """`requests` requests, a batch at a time. `entry` is the process that callers reach, `exit_` the one
    that reaches the origin."""
    for _ in range(requests // client.batch):
        if client.batch == 1:
            client.send()
            origin.take(1)[0].sendall(ANSWER)
        else:
            with entry:
                client.send()
            asked = origin.take(client.batch)
            with exit_:
                for connection in asked:
                    connection.sendall(ANSWER)
        client.receive()
