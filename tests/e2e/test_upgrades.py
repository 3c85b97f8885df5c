"""Upgrade, CONNECT and extended CONNECT (RFC 9110 section 7.8, RFC 8441): what may switch, what is
ignored, and that nothing else about a request or its response changes, through one sidecar and two."""
import socket

import raw_h2
from harness import PATIENCE, Case, Client, Pki, Stream, fetch, main, parse_head
from test_websocket import accept_key

KEY = 'dGhlIHNhbXBsZSBub25jZQ=='
WIRES = ('http1', 'http2', 'auto')


class App:
    """Switches to any requested protocol and then echoes; some paths request other behaviour."""

    answers = {
        '/ok': b'HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nplain',
        '/created': b'HTTP/1.1 201 Created\r\ncontent-length: 3\r\n\r\nnew',
        '/chunks': b'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nplain\r\n0\r\n\r\n',
        '/refuse': b'HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno',
        '/require': b'HTTP/1.1 426 Upgrade Required\r\nupgrade: websocket, IRC/6.9\r\nconnection: Upgrade\r\n'
                    b'content-length: 4\r\n\r\nmore',
        '/require-h2c': b'HTTP/1.1 426 Upgrade Required\r\nupgrade: h2c\r\nconnection: Upgrade\r\ncontent-length: 0\r\n\r\n',
        '/foreign': b'HTTP/1.1 101 Switching Protocols\r\nupgrade: bar\r\nconnection: Upgrade\r\n\r\n',
    }

    def __init__(self, case):
        self.requests = []
        self.endpoint = case.endpoint(self.serve)
        self.port = self.endpoint.port

    @property
    def last(self):
        return self.requests[-1]

    def serve(self, connection):
        stream = Stream(connection)
        while (head := stream.until(b'\r\n\r\n')) is not None:
            line, fields = parse_head(head)
            headers = {name.lower(): value for name, value in fields}
            method, target, _ = line.split(' ')
            body = stream.exactly(int(headers.get('content-length', 0)))
            if headers.get('transfer-encoding') == 'chunked':
                body, _ = stream.chunked()
            self.requests.append((method, target, headers, body))
            protocol = headers.get('upgrade')
            if target in self.answers:
                connection.sendall(self.answers[target])
            elif method == 'CONNECT':
                connection.sendall(b'HTTP/1.1 200 OK\r\n\r\n')
                return self.echo(connection, stream)
            elif protocol is None:
                connection.sendall(self.answers['/ok'])
            else:
                accept = f'sec-websocket-accept: {accept_key(headers["sec-websocket-key"])}\r\n' \
                    if 'sec-websocket-key' in headers else ''
                connection.sendall(f'HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.raw\r\nConnection: Upgrade\r\n'
                                   f'Upgrade: {protocol}\r\n{accept}\r\n'.encode())
                return self.echo(connection, stream)

    @staticmethod
    def echo(connection, stream):
        while stream.pending or stream.more():
            connection.sendall(b'<' + stream.pending + b'>')
            stream.pending = b''


def offer(protocol, method='GET', path='/', more='', host='orders'):
    return (f'{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: Upgrade\r\nupgrade: {protocol}\r\n'
            f'{more}\r\n').encode()


class Upgrades(Case):
    def setUp(self):
        super().setUp()
        self.app = App(self)

    def mesh(self, wire, upgrades=None):
        listeners = f'upgrades: [{upgrades}]' if upgrades is not None else ''
        return self.pair(self.app.port, wire=wire, listeners=listeners)[0].port

    def converse(self, client, first=b''):
        """Bytes both ways, half-close from both ends."""
        for payload in (b'one', b'two' * 20000):
            client.send(payload)
            got = b''
            while len(got.replace(b'<', b'').replace(b'>', b'')) < len(payload):
                got += client.stream.pending or client.socket.recv(65536)
                client.stream.pending = b''
            self.assertEqual(got.replace(b'<', b'').replace(b'>', b''), payload)
        client.socket.shutdown(socket.SHUT_WR)
        self.assertEqual(client.stream.rest(), b'', 'the end comes back')

    def test_docker_attach_and_kubectl_exec_switch_through_the_mesh(self):
        """POST with `Upgrade: tcp` and Content-Length: 0, as Docker's client sends it, and SPDY/3.1, as
        kubectl does; neither has an extended CONNECT, so they use HTTP/1 on any wire."""
        attach = 'content-type: text/plain\r\ncontent-length: 0\r\n'
        spdy = 'x-stream-protocol-version: v4.channel.k8s.io\r\n'
        for wire in WIRES:
            port = self.mesh(wire, 'websocket, SPDY/3.1, tcp')
            for protocol, method, more in (('tcp', 'POST', attach), ('tcp', 'POST', ''), ('SPDY/3.1', 'POST', spdy),
                                           ('spdy/3.1', 'GET', spdy), ('websocket', 'PUT', '')):
                with self.subTest(wire=wire, protocol=protocol, method=method), Client(port) as client:
                    client.send(offer(protocol, method, '/attach', more))
                    answer = client.read()
                    self.assertEqual(answer.status, 101)
                    self.assertEqual(answer.header('upgrade').lower(), protocol.lower())
                    self.assertEqual(answer.header('content-type'), 'application/vnd.raw')
                    got_method, target, headers, _ = self.app.last
                    self.assertEqual((got_method, target), (method, '/attach'))
                    self.assertEqual(headers['upgrade'].lower(), protocol.lower())
                    self.assertNotIn('sec-websocket-key', headers)
                    self.converse(client)
            # The pools still work.
            self.assertEqual(fetch(port).body, b'plain')

    def test_an_http2_endpoint_without_extended_connect_gets_the_upgrade_over_http1(self):
        """Like grpc-go, Go's net/http and nginx: HTTP/2 by ALPN, without SETTINGS_ENABLE_CONNECT_PROTOCOL."""
        pki, spoken = Pki(self.directory / 'pki'), []
        context = raw_h2.server_context(pki, 'orders')
        context.set_alpn_protocols(['h2', 'http/1.1'])

        def serve(connection):
            connection = context.wrap_socket(connection, server_side=True)
            spoken.append(connection.selected_alpn_protocol())
            if spoken[-1] == 'http/1.1':
                self.app.serve(connection)
                return connection.unwrap()  # without it the stream would look truncated
            peer = raw_h2.Peer(connection)
            peer.send(raw_h2.settings() + raw_h2.settings_ack())
            peer.finished(PATIENCE)
        endpoint = self.endpoint(serve)
        caller = self.caller(f'  orders: {{endpoints: ["127.0.0.1:{endpoint.port}"]}}\n', identity=pki.identity('web'))
        more = f'sec-websocket-key: {KEY}\r\nsec-websocket-version: 13\r\n'
        with Client(caller.port) as client:
            client.send(offer('websocket', more=more))
            answer = client.read()
            self.assertEqual((answer.status, answer.header('sec-websocket-accept')), (101, accept_key(KEY)))
            self.converse(client)
        self.assertEqual(spoken, ['h2', 'http/1.1'])

    def test_a_clear_http2_endpoint_without_extended_connect_is_said_to_be_one(self):
        def serve(connection):
            peer = raw_h2.Peer(connection)
            peer.send(raw_h2.settings() + raw_h2.settings_ack())
            peer.finished(PATIENCE)
        sidecar = self.plain([self.endpoint(serve)], 'wire: http2')
        with Client(sidecar.port) as client:
            client.send(offer('websocket', more=f'sec-websocket-key: {KEY}\r\nsec-websocket-version: 13\r\n'))
            self.assertEqual(client.read().status, 501)

    def test_docker_exec_has_a_body_before_the_tunnel(self):
        body = b'{"Detach":false,"Tty":false}'
        port = self.mesh('auto', 'tcp')
        with Client(port) as client:
            client.send(offer('tcp', 'POST', '/exec', f'content-length: {len(body)}\r\n'))
            client.send(body)
            self.assertEqual(client.read().status, 101)
            self.assertEqual(self.app.last[3], body)
            self.converse(client)

    def test_what_is_not_allowed_is_ignored(self):
        for wire in WIRES:
            port = self.mesh(wire)
            for protocol in ('foo/1.0', 'SPDY/3.1', 'TLS/1.0', 'tcp', 'h2c', 'a b', 'websocket2'):
                for method, body in (('GET', None), ('POST', b'body'), ('DELETE', None), ('PUT', b'')):
                    more = '' if body is None else f'content-length: {len(body)}\r\n'
                    with self.subTest(wire=wire, protocol=protocol, method=method), Client(port) as client:
                        client.send(offer(protocol, method, '/x', more) + (body or b''))
                        answer = client.read()
                        self.assertEqual((answer.status, answer.body), (200, b'plain'))
                        got_method, _, headers, got_body = self.app.last
                        self.assertEqual((got_method, got_body), (method, body or b''))
                        self.assertNotIn('upgrade', headers)
                        self.assertNotIn('upgrade', headers.get('connection', '').lower())
                        # The connection is an ordinary one.
                        client.send(b'GET /next HTTP/1.1\r\nhost: orders\r\n\r\n')
                        self.assertEqual(client.read().body, b'plain')

    def test_no_protocol_at_all(self):
        port = self.mesh('auto', '')
        with Client(port) as client:
            client.send(offer('websocket', more=f'sec-websocket-key: {KEY}\r\n'))
            self.assertEqual(client.read().status, 200)
        self.assertNotIn('upgrade', self.app.last[2])

    def test_methods_and_keys_stay_as_they_are(self):
        for wire in WIRES:
            port = self.mesh(wire)
            for method in ('GET', 'POST', 'PUT', 'DELETE'):
                for key in ('', f'sec-websocket-key: {KEY}\r\n'):
                    for zero in ('', 'content-length: 0\r\n'):
                        with self.subTest(wire=wire, method=method, key=key, zero=zero), Client(port) as client:
                            client.send(offer('websocket', method, '/chat', key + zero))
                            answer = client.read()
                            self.assertEqual(answer.status, 101)
                            got_method, _, headers, _ = self.app.last
                            self.assertEqual(got_method, method)
                            self.assertEqual(headers.get('sec-websocket-key'), KEY if key else None)
                            self.assertEqual(answer.header('sec-websocket-accept'), accept_key(KEY) if key else None)

    def test_a_server_that_declines_is_passed_on_as_it_is(self):
        for wire in WIRES:
            port = self.mesh(wire, 'websocket, tcp')
            for protocol in ('websocket', 'tcp'):
                for path, status, body in (('/ok', 200, b'plain'), ('/created', 201, b'new'), ('/chunks', 200, b'plain'),
                                           ('/refuse', 403, b'no'), ('/require', 426, b'more')):
                    with self.subTest(wire=wire, path=path, protocol=protocol), Client(port) as client:
                        client.send(offer(protocol, path=path, more=f'sec-websocket-key: {KEY}\r\n'))
                        answer = client.read()
                        self.assertEqual((answer.status, answer.body), (status, body))
                        self.assertIsNone(answer.header('x-outrigger-declined'))
                        if status == 426:
                            self.assertEqual(answer.header('upgrade'), 'websocket, IRC/6.9')
                            self.assertIn('upgrade', answer.header('connection').lower())
            with self.subTest(wire=wire):
                # 426 to a request without an upgrade; HTTP/2 is not among the offered upgrades.
                answer = fetch(port, '/require')
                self.assertEqual((answer.status, answer.header('upgrade')), (426, 'websocket, IRC/6.9'))
                answer = fetch(port, '/require-h2c')
                self.assertEqual((answer.status, answer.header('upgrade')), (426, None))

    def test_a_switch_to_what_nobody_asked_for_is_a_502(self):
        for wire in WIRES:
            with self.subTest(wire=wire), Client(self.mesh(wire)) as client:
                client.send(offer('websocket', path='/foreign', more=f'sec-websocket-key: {KEY}\r\n'))
                self.assertEqual(client.read().status, 502)

    def test_connect_is_for_those_who_allow_it(self):
        request = b'CONNECT db.internal:5432 HTTP/1.1\r\nhost: db.internal:5432\r\n\r\n'
        for wire in WIRES:
            with self.subTest(wire=wire):
                with Client(self.mesh(wire)) as client:
                    client.send(request)
                    self.assertEqual(client.read().status, 501)
                self.assertEqual(self.app.endpoint.accepted, 0)
        for wire in WIRES:
            with self.subTest(wire=wire), Client(self.mesh(wire, 'CONNECT')) as client:
                client.send(request)
                self.assertEqual(parse_head(client.stream.until(b'\r\n\r\n'))[0].split(' ')[1], '200')
                self.assertEqual(self.app.last[:2], ('CONNECT', 'db.internal:5432'))
                self.converse(client)


class ExtendedConnect(Case):
    """HTTP/2 clients (RFC 8441)."""

    def setUp(self):
        super().setUp()
        self.app = App(self)

    def ask(self, port, protocol, path=b'/chat', early=b''):
        peer = raw_h2.connect(port)
        self.addCleanup(peer.close)
        block = (raw_h2.literal(b':method', b'CONNECT') + raw_h2.literal(b':protocol', protocol) +
                 raw_h2.literal(b':scheme', b'http') + raw_h2.literal(b':path', path) +
                 raw_h2.literal(b':authority', b'orders') + raw_h2.literal(b'sec-websocket-version', b'13'))
        data = raw_h2.frame(raw_h2.DATA, 0, 1, early) if early else b''
        peer.send(raw_h2.frame(raw_h2.HEADERS, raw_h2.END_HEADERS, 1, block) + data)
        self.assertTrue(peer.until(lambda: peer.find(raw_h2.HEADERS, 1) or peer.find(raw_h2.RST_STREAM), PATIENCE),
                        peer.frames)
        return peer

    def data(self, peer):
        return b''.join(f.payload for f in peer.frames if f.type == raw_h2.DATA and f.stream == 1)

    def ports(self, **how):
        listeners = ', '.join(f'{key}: {value}' for key, value in how.items())
        yield 'one', self.plain([self.app.endpoint], listener=listeners).port
        for wire in WIRES:
            yield wire, self.pair(self.app.port, wire=wire, listeners=listeners)[0].port

    def test_data_before_the_answer_waits_for_it(self):
        for name, port in self.ports():
            with self.subTest(name):
                peer = self.ask(port, b'websocket', early=b'early')
                self.assertEqual(raw_h2.status_of(peer.find(raw_h2.HEADERS, 1).payload), 200)
                self.assertTrue(peer.until(lambda: self.data(peer) == b'<early>', PATIENCE), self.data(peer))
                method, _, headers, body = self.app.last
                self.assertEqual((method, headers['upgrade'], body), ('GET', 'websocket', b''))
                self.assertIn('sec-websocket-key', headers)

    def test_data_before_a_refusal_goes_nowhere(self):
        for name, port in self.ports():
            with self.subTest(name):
                peer = self.ask(port, b'websocket', b'/refuse', early=b'GET /evil HTTP/1.1\r\nhost: orders\r\n\r\n')
                self.assertEqual(raw_h2.status_of(peer.find(raw_h2.HEADERS, 1).payload), 403)
                self.assertTrue(peer.until(lambda: self.data(peer) == b'no', PATIENCE))
        self.assertNotIn('/evil', [target for _, target, _, _ in self.app.requests])

    def test_other_protocols_are_501(self):
        for name, port in self.ports():
            for protocol in (b'h2c', b'tcp', b'connect-udp'):
                with self.subTest(name, protocol=protocol):
                    peer = self.ask(port, protocol)
                    self.assertEqual(raw_h2.status_of(peer.find(raw_h2.HEADERS, 1).payload), 501)
        self.assertEqual(self.app.requests, [])

    def test_an_allowed_protocol_becomes_an_upgrade(self):
        for name, port in self.ports(upgrades='[foo]'):
            with self.subTest(name):
                peer = self.ask(port, b'foo')
                self.assertEqual(raw_h2.status_of(peer.find(raw_h2.HEADERS, 1).payload), 200)
                method, _, headers, _ = self.app.last
                self.assertEqual((method, headers['upgrade']), ('GET', 'foo'))
                self.assertNotIn('sec-websocket-key', headers)

    def test_an_answer_that_does_not_switch_is_no_2xx(self):
        """To an HTTP/2 client a 2xx would mean that the WebSocket is open."""
        for name, port in self.ports():
            with self.subTest(name):
                peer = self.ask(port, b'websocket', b'/ok')
                self.assertEqual(raw_h2.status_of(peer.find(raw_h2.HEADERS, 1).payload), 502)


if __name__ == '__main__':
    main()
