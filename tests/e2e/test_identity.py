"""Nobody gets past identity: what is not HTTP reaches no app behind a port that sets identity headers."""
import contextlib
import socket
import ssl
import time

from harness import Case, Pki, free_port, main

FORGED = b'x-forwarded-client-cert: URI=spiffe://evil/admin\r\n'
REQUEST = b'GET /secret HTTP/1.1\r\nhost: app\r\n' + FORGED + b'\r\n'

# First bytes, and whether they look enough like HTTP to be answered with 400. A forged request stands
# behind each, where an app that skips what it does not know would find it.
FIRST_BYTES = {
    'two empty lines first': (b'\r\n\r\n' + REQUEST, True),
    'LF first': (b'\n' + REQUEST, True),
    'two blanks': (REQUEST.replace(b'GET /', b'GET  /'), True),
    'a tab': (REQUEST.replace(b'GET /', b'GET\t/'), True),
    'a blank first': (b' ' + REQUEST, True),
    'no target': (REQUEST.replace(b'/secret ', b''), True),
    'another protocol': (REQUEST.replace(b'HTTP/1.1', b'ICY/1.1'), True),
    'no version': (b'GET /secret\r\n' + FORGED + b'\r\n', True),
    'a control byte first': (b'\x01' + REQUEST, False),
    'NUL first': (b'\0' + REQUEST, False),
    'a TLS record': (b'\x16\x03\x01\x00\x05hello' + REQUEST, False),
    'above ASCII': (b'\xff\xfe' + REQUEST, False),
    'a NUL in the method': (REQUEST.replace(b'GET', b'G\0T'), True),
    'a broken preface of HTTP/2': (b'PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n' + REQUEST, True),
}


class Recorder:
    """An app that writes down every byte and answers nothing."""

    def __init__(self, case):
        self.received = b''
        self.endpoint = case.endpoint(self._serve)
        self.port = self.endpoint.port

    def _serve(self, connection):
        while data := connection.recv(65536):
            self.received += data


class Door(Case):
    def setUp(self):
        super().setUp()
        self.app = Recorder(self)
        self.pki = Pki(self.directory / 'pki')

    def tls(self, port, alpn, cert='web'):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(self.pki.ca)
        context.load_cert_chain(*self.pki.issue(cert))
        if alpn:
            context.set_alpn_protocols(alpn)
        return context.wrap_socket(socket.create_connection(('127.0.0.1', port), 10))

    def plain(self, port):
        return socket.create_connection(('127.0.0.1', port), 10)

    def ways(self, port, mtls):
        """How a caller may connect to a port: a name and a function that does."""
        if mtls != 'disabled':
            for alpn in ([], ['http/1.1']):
                yield f'TLS {alpn}', lambda alpn=alpn: self.tls(port, alpn)
        if mtls != 'strict':
            yield 'clear text', lambda: self.plain(port)

    def all_of(self, connection):
        """Everything the other side says until it closes; fails when it does not."""
        out = b''
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while data := connection.recv(65536):
                out += data
        return out

    def test_no_first_bytes_reach_an_app_behind_a_port_that_sets_identity(self):
        for mtls in ('strict', 'permissive', 'disabled'):
            for protocol in ('auto', 'http', 'grpc'):
                callee = self.callee(self.app.port, self.pki, name='orders', protocol=protocol, options=f'mtls: {mtls}')
                closed = 0
                for way, connect in self.ways(callee.port, mtls):
                    for name, (first, answered) in FIRST_BYTES.items():
                        if way == 'clear text' and mtls == 'permissive' and first[:1] == b'\x16':
                            continue  # is TLS there
                        with self.subTest(mtls=mtls, protocol=protocol, way=way, first=name):
                            with connect() as connection:
                                connection.sendall(first)
                                said = self.all_of(connection)
                            closed += not answered
                            if answered:
                                self.assertRegex(said, rb'^HTTP/1.1 (400|505) ')
                            else:
                                self.assertEqual(said, b'')
                            self.assertEqual(self.app.received, b'')
                self.assertEqual(self.app.endpoint.accepted, 0, (mtls, protocol))
                self.assertEqual(callee.metric('outrigger_connections_not_http_total', direction='inbound'), closed)
                self.assertIn('refused a connection that does not speak HTTP', callee.log)

    def test_alpn_for_opaque_bytes_is_refused_where_tcp_is_not_said(self):
        for protocol in ('auto', 'http', 'grpc'):
            callee = self.callee(self.app.port, self.pki, protocol=protocol)
            with self.assertRaises(OSError, msg=protocol):
                with self.tls(callee.port, ['outrigger-tcp']) as connection:
                    connection.sendall(REQUEST)
                    if self.all_of(connection) == b'':
                        raise ConnectionError
        self.assertEqual(self.app.endpoint.accepted, 0)

    def test_silence_is_an_idle_connection_and_reaches_no_app(self):
        app = self.origin()
        silent = []
        for mtls in ('strict', 'permissive', 'disabled'):
            for protocol in ('auto', '[http, tcp]'):
                callee = self.callee(app.port, self.pki, protocol=protocol, options=f'mtls: {mtls}')
                silent += [(mtls, protocol, way, connect()) for way, connect in self.ways(callee.port, mtls)]
        time.sleep(7)  # longer than the handshake's deadline; silence is what is tested
        self.assertEqual(app.accepted, 0)
        for *what, connection in silent:
            with self.subTest(what=what), connection:
                connection.sendall(REQUEST)
                self.assertTrue(connection.recv(4096).startswith(b'HTTP/1.1 200'))
        for request in app.requests:
            self.assertNotIn('evil', str(request.headers))

    def test_an_odd_request_that_is_served_has_the_identity_we_set(self):
        app = self.origin()
        callee = self.callee(app.port, self.pki)
        # RFC 9112 section 2.2 lets one empty line stand before a request.
        for odd in (REQUEST.replace(b'GET', b'ABCDEFGHIJKLMNOPQRSTUVWXY'), b'\r\n' + REQUEST):
            with self.tls(callee.port, []) as connection:
                connection.sendall(odd)
                self.assertTrue(connection.recv(4096).startswith(b'HTTP/1.1 200'))
        self.assertEqual([r.method for r in app.requests], ['ABCDEFGHIJKLMNOPQRSTUVWXY', 'GET'])
        for request in app.requests:
            self.assertIn('spiffe://test.local/web', request.header('x-forwarded-client-cert'))
            self.assertNotIn('evil', str(request.headers))

    def test_opaque_bytes_pass_where_tcp_is_listed_and_validate_says_what_that_means(self):
        callee = self.callee(self.app.port, self.pki, protocol='[http, tcp]')
        for alpn, first in (([], b'\r\nhello'), (['outrigger-tcp'], b'GET / HTTP/1.1\r\n\r\n')):
            with self.tls(callee.port, alpn) as connection:
                connection.sendall(first)
                self.eventually(True, lambda: self.app.received.endswith(first))
        self.assertIn('warning: inbound', callee.log)
        self.assertIn('forged identity headers', callee.log)

    def test_who_speaks_first_needs_protocol_tcp(self):
        app = self.endpoint(lambda connection: connection.sendall(b'220 ready\r\n'))
        callee = self.callee(app.port, self.pki, protocol='tcp')
        with self.tls(callee.port, ['outrigger-tcp']) as connection:
            self.assertEqual(self.all_of(connection), b'220 ready\r\n')


if __name__ == '__main__':
    main()
