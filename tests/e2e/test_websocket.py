"""WebSocket (RFC 6455) through both sidecars, and what must not be mistaken for an upgrade."""
import base64
import hashlib
import os
import struct

from harness import Case, Client, Stream, main

GUID = b'258EAFA5-E914-47DA-95CA-C5AB0DC85B11'


def frame(opcode, payload, masked):
    size = len(payload)
    head = bytes([0x80 | opcode])
    mask = 0x80 if masked else 0
    if size < 126:
        head += bytes([mask | size])
    elif size < 1 << 16:
        head += bytes([mask | 126]) + struct.pack('>H', size)
    else:
        head += bytes([mask | 127]) + struct.pack('>Q', size)
    if not masked:
        return head + payload
    key = os.urandom(4)
    stretched = int.from_bytes((key * (size // 4 + 1))[:size], 'big')
    return head + key + (int.from_bytes(payload, 'big') ^ stretched).to_bytes(size, 'big')


def read_frame(stream):
    first, second = stream.exactly(2)
    size = second & 0x7f
    if size == 126:
        size, = struct.unpack('>H', stream.exactly(2))
    elif size == 127:
        size, = struct.unpack('>Q', stream.exactly(8))
    key = stream.exactly(4) if second & 0x80 else b''
    payload = stream.exactly(size)
    if key:
        stretched = int.from_bytes((key * (size // 4 + 1))[:size], 'big')
        payload = (int.from_bytes(payload, 'big') ^ stretched).to_bytes(size, 'big')
    return first & 0x0f, payload


def accept_key(key):
    return base64.b64encode(hashlib.sha1(key.encode() + GUID).digest()).decode()


def echo(connection):
    """A WebSocket echo server; /refuse returns 403, /late returns 200 as if it did not support upgrades."""
    stream = Stream(connection)
    while (head := stream.until(b'\r\n\r\n')) is not None:
        first, *lines = head.decode().split('\r\n')
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(':') for line in lines)}
        if 'refuse' in first:
            connection.sendall(b'HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno')
            continue
        if headers.get('upgrade', '').lower() != 'websocket' or 'late' in first:
            connection.sendall(b'HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nplain')
            continue
        connection.sendall(('HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n'
                            f'sec-websocket-accept: {accept_key(headers["sec-websocket-key"])}\r\n\r\n').encode())
        while True:
            opcode, payload = read_frame(stream)
            connection.sendall(frame(opcode, payload, masked=False))
            if opcode == 8:
                return


def offer(path='/chat', key='dGhlIHNhbXBsZSBub25jZQ=='):
    return (f'GET {path} HTTP/1.1\r\nhost: orders\r\nconnection: keep-alive, Upgrade\r\nupgrade: websocket\r\n'
            f'sec-websocket-version: 13\r\nsec-websocket-key: {key}\r\n\r\n').encode()


class WebSocket(Case):
    def setUp(self):
        super().setUp()
        self.app = self.endpoint(echo)

    def open(self, port):
        client = self.client(port)
        key = base64.b64encode(os.urandom(16)).decode()
        client.send(offer(key=key))
        answer = client.read()
        self.assertEqual(answer.status, 101)
        self.assertEqual(answer.header('upgrade').lower(), 'websocket')
        self.assertIn('upgrade', answer.header('connection').lower())
        self.assertEqual(answer.header('sec-websocket-accept'), accept_key(key))
        return client

    def converse(self, port):
        client = self.open(port)
        for payload in (b'', b'hello', os.urandom(125), os.urandom(126), os.urandom(70000), os.urandom(1 << 20)):
            client.send(frame(2, payload, masked=True))
            self.assertEqual(read_frame(client.stream), (2, payload))
        client.send(frame(9, b'ping', masked=True))
        self.assertEqual(read_frame(client.stream), (9, b'ping'))
        client.send(frame(8, struct.pack('>H', 1000), masked=True))
        self.assertEqual(read_frame(client.stream)[0], 8)
        self.assertFalse(client.stream.more(), 'the end of the app reaches the caller')

    def test_through_one_sidecar(self):
        self.converse(self.plain([self.app]).port)

    def test_through_two_sidecars_over_http2(self):
        """HTTP/1 upgrade, extended CONNECT on the wire, HTTP/1 upgrade at the app."""
        self.converse(self.pair(self.app.port, wire='http2')[0].port)

    def test_through_two_sidecars_over_http1(self):
        self.converse(self.pair(self.app.port, wire='http1')[0].port)

    def test_many_beside_plain_requests(self):
        caller, _ = self.pair(self.app.port)
        clients = [self.open(caller.port) for _ in range(50)]
        with Client(caller.port) as other:
            for i, client in enumerate(clients):
                client.send(frame(1, b'%d' % i, masked=True))
                self.assertEqual(other.request('GET', '/').body, b'plain')
            for i, client in enumerate(clients):
                self.assertEqual(read_frame(client.stream), (1, b'%d' % i))

    def test_a_caller_that_goes_takes_the_app_connection_with_it(self):
        caller, callee = self.pair(self.app.port)
        client = self.open(caller.port)
        self.assertEqual(len(self.app.open), 1)
        client.close()
        self.eventually(0, lambda: len(self.app.open), 'connections open at the app')

    def test_a_refused_upgrade_stays_http(self):
        for port in (self.plain([self.app]).port, self.pair(self.app.port)[0].port):
            with Client(port) as client:
                client.send(offer('/refuse'))
                answer = client.read()
                self.assertEqual((answer.status, answer.body), (403, b'no'))

    def test_bytes_behind_a_refused_upgrade_are_not_smuggled(self):
        """What follows an upgrade request is held until the response; it never reaches the app as an
        unrouted request."""
        seen = []

        def serve(connection):
            stream = Stream(connection)
            while (head := stream.until(b'\r\n\r\n')) is not None:
                seen.append(head.split(b'\r\n')[0])
                connection.sendall(b'HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nplain')
        sidecar = self.plain([self.endpoint(serve)])
        with Client(sidecar.port) as client:
            client.send(offer('/late') + b'GET /second HTTP/1.1\r\nhost: orders\r\n\r\n')
            self.assertEqual(client.read().body, b'plain')
            second = client.read()
        routed = int(sidecar.metric('outrigger_requests_total', direction='outbound'))
        self.assertEqual(len(seen), routed, f'{seen} arrived, {routed} were routed')
        self.assertTrue(second is None or second.body == b'plain')

    def test_an_upgrade_with_a_body_is_refused(self):
        sidecar = self.plain([self.app])
        with Client(sidecar.port) as client:
            client.send(offer().replace(b'\r\n\r\n', b'\r\ncontent-length: 3\r\n\r\nabc'))
            self.assertEqual(client.read().status, 400)
        self.assertEqual(self.app.accepted, 0)

    def test_h2c_is_never_offered_to_the_app(self):
        heads = []

        def serve(connection):
            heads.append(Stream(connection).until(b'\r\n\r\n').lower())
            connection.sendall(b'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n')
        sidecar = self.plain([self.endpoint(serve)])
        with Client(sidecar.port) as client:
            client.send(b'GET / HTTP/1.1\r\nhost: orders\r\nconnection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\n'
                        b'http2-settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n')
            self.assertEqual(client.read().status, 200)
        self.assertNotIn(b'h2c', heads[0])
        self.assertNotIn(b'http2-settings', heads[0])


if __name__ == '__main__':
    main()
