"""Identity cannot be bypassed: what is not HTTP reaches no app behind a port that sets identity headers."""
import contextlib
import socket
import ssl
import time

import raw_h2
from harness import Case, Pki, fetch, free_port, main

FORGED = b'x-forwarded-client-cert: URI=spiffe://evil/admin\r\n'
REQUEST = b'GET /secret HTTP/1.1\r\nhost: app\r\n' + FORGED + b'\r\n'

# First bytes, and whether they look enough like HTTP to get a 400. Each is followed by a forged request,
# which an app that skips unknown bytes would find.
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
    """An app that records every byte and sends nothing."""

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
        """The ways to connect to a port: a name and a function for each."""
        if mtls != 'disabled':
            for alpn in ([], ['http/1.1']):
                yield f'TLS {alpn}', lambda alpn=alpn: self.tls(port, alpn)
        if mtls != 'strict':
            yield 'clear text', lambda: self.plain(port)

    def all_of(self, connection):
        """Everything the other side sends until it closes; fails if it does not close."""
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
                            continue  # would be TLS
                        with self.subTest(mtls=mtls, protocol=protocol, way=way, first=name):
                            with connect() as connection:
                                connection.sendall(first)
                                said = self.all_of(connection)
                            closed += not answered
                            if answered:
                                self.assertRegex(said, rb'(?s)^(HTTP/1.1 400 |\0\0.[\4\7]\0)')  # or HTTP/2's SETTINGS or GOAWAY
                            else:
                                self.assertEqual(said, b'')
                            self.assertEqual(self.app.received, b'')
                self.assertEqual(self.app.endpoint.accepted, 0, (mtls, protocol))
                self.assertEqual(callee.metric('outrigger_connections_not_http_total', direction='inbound'), closed)
                self.assertIn('refused a connection that does not speak HTTP', callee.log)

    def test_alpn_for_opaque_bytes_is_refused_where_tcp_is_not_said(self):
        for protocol in ('auto', 'http', 'grpc'):
            callee = self.callee(self.app.port, self.pki, protocol=protocol)
            with self.assertRaises((ConnectionError, ssl.SSLError), msg=protocol):  # a timeout is not a refusal
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
        time.sleep(7)  # longer than the handshake deadline; silence is what is tested
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
        # RFC 9112 section 2.2 allows one empty line before a request.
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


class OverBoth(Case):
    """Sends one request over HTTP/1 and over HTTP/2, byte for byte."""

    def ask(self, port, path=b'/', headers=(), body=b'', trailers=()):
        """Yields the version and the status."""
        yield 'HTTP/1.1', self.over_h1(port, path, headers, body, trailers)
        yield 'HTTP/2', self.over_h2(port, path, headers, body, trailers)

    def over_h1(self, port, path, headers, body, trailers):
        with socket.create_connection(('127.0.0.1', port), 20) as connection:
            lines = [b'POST ' + path + b' HTTP/1.1', b'host: orders', b'transfer-encoding: chunked', b'connection: close']
            head = b'\r\n'.join(lines + [name + b': ' + value for name, value in headers])
            chunk = b'%x\r\n%s\r\n' % (len(body), body) if body else b''
            last = b''.join(name + b': ' + value + b'\r\n' for name, value in trailers)
            connection.sendall(head + b'\r\n\r\n' + chunk + b'0\r\n' + last + b'\r\n')
            return int(connection.recv(4096).split(b' ')[1])

    def over_h2(self, port, path, headers, body, trailers):
        peer = raw_h2.connect(port)
        try:
            more = b''.join(raw_h2.literal(*field) for field in headers)
            peer.send(raw_h2.request(1, raw_h2.request_block(b'POST', path, more=more), raw_h2.END_HEADERS))
            peer.send(raw_h2.frame(raw_h2.DATA, 0 if trailers else raw_h2.END_STREAM, 1, body))
            if trailers:
                block = b''.join(raw_h2.literal(*field) for field in trailers)
                peer.send(raw_h2.request(1, block))
            peer.until(lambda: peer.find(raw_h2.HEADERS, 1) or peer.find(raw_h2.RST_STREAM, 1), 20)
            answer = peer.find(raw_h2.HEADERS, 1)
            return raw_h2.status_of(answer.payload) if answer else 'reset'
        finally:
            peer.close()


class Twins(OverBoth):
    def test_names_that_cgi_reads_as_one_of_ours_reach_no_app(self):
        app = self.origin()
        callee = self.callee(app.port, Pki(self.directory / 'pki'), options='mtls: disabled')
        twins = [b'x_forwarded_client_cert', b'x-forwarded_client-cert', b'x_forwarded_for', b'transfer_encoding', b'content_length',
                 b'x_outrigger_not_processed', b'x_request_id', b'x_real_ip']
        fields = [(name, b'evil') for name in twins]
        other = [(b'x_tenant_id', b'good')]
        for version, status in self.ask(callee.port, b'/', fields + other, b'x', fields + other):
            with self.subTest(version=version):
                self.assertEqual(status, 200)
                request = app.requests[-1]
                self.assertNotIn('evil', str(request.headers) + str(request.trailers))
                self.assertEqual(request.header('x_tenant_id'), 'good')
                self.assertEqual(request.trailers, [('x_tenant_id', 'good')])
        self.assertEqual(len(app.requests), 2)
        self.assertEqual(callee.metric('outrigger_http_twin_fields_total', side='downstream'), 4 * len(twins))


# Spellings of a path below /admin/, and some that only look like it.
DENIED = [b'/admin/x', b'//admin/x', b'/./admin/x', b'/x/../admin/x', b'/x/%2e%2e/admin/x', b'/x/%2E./admin/x', b'/%61dmin/x',
          b'/x/..;/admin/x', b'/x/..;a=b/admin/x', b'/.;/admin/x', b'/x/..%3b/admin/x', b'/admin//x', b'/admin/./x', b'///admin/x',
          b'/../admin/x', b'/x/y/../../admin/x', b'/admin/x?a=b', b'/admin/x/../y', b'/%61%64%6d%69%6e/x', b'/admin/',
          b'/admin/%2Fx', b'/admin/caf\xc3\xa9']
REFUSED = [b'/x\\..\\admin/x', b'/admin%5cx', b'/admin%5Cx', b'/admin%00/x', b'/admin/%zz', b'/admin/%', b'/x/..%2fadmin/x',
           b'/x%2f../admin/x', b'/%2e%2e%2Fadmin/x']
# Paths for another rule, or for none, and how they are forwarded.
PASSED = {b'/ADMIN/x': b'/ADMIN/x', b'/%252e%252e/admin/x': b'/%252e%252e/admin/x', b'/%2561dmin/x': b'/%2561dmin/x',
          b'/admin%2Fx': b'/admin%2Fx', b'/admin%2fx': b'/admin%2Fx', b'/adminx': b'/adminx', b'/x?/admin/x': b'/x?/admin/x',
          b'/x?a=//&b=/../%61\xff': b'/x?a=//&b=/../%61\xff', b'/a//b': b'/a/b', b'/@scope%2fname': b'/@scope%2Fname',
          b'/caf\xc3\xa9': b'/caf%C3%A9', b'/x;v=1/y': b'/x;v=1/y', b'/x/./y/': b'/x/y/', b'/admin/../x': b'/x'}
RAW = [b'/a//b', b'//a/', b'/@scope%2fname', b'/@scope%2Fname', b'/caf\xc3\xa9', b'/\xff\x80', b'/%61%zz%', b'/a/../b/./c', b'/a\\b', b'/%00',
       b'/group%2Fproject/..;/x', b'/a|b{c}"<>^`[]', b'/?\xc3\xa9|"']
DENY = 'routes:\n  - {name: no-admin, match: {service: orders, path: /admin/**}, answer: {status: 403}}\n'


class Paths(OverBoth):
    def sidecar(self, routes=''):
        app = self.origin()
        return self.plain([app], routes=routes), app

    def with_paths(self, paths, routes):
        app, port = self.origin(), free_port()
        daemon = self.plain([app], routes=routes, outbound=f'  - {{listen: "127.0.0.1:{port}", service: orders, paths: {paths}}}\n')
        daemon.port = port
        return daemon, app

    def arrived(self, app):
        return app.requests[-1].target.encode('latin-1')

    def test_every_spelling_of_a_denied_path_is_denied(self):
        sidecar, app = self.sidecar(DENY)
        for path in DENIED:
            for version, status in self.ask(sidecar.port, path):
                with self.subTest(path=path, version=version):
                    self.assertEqual(status, 403)
        self.assertEqual(app.requests, [])

    def test_what_could_be_read_in_two_ways_is_refused_where_a_rule_looks(self):
        sidecar, app = self.sidecar(DENY)
        for path in REFUSED:
            for version, status in self.ask(sidecar.port, path):
                with self.subTest(path=path, version=version):
                    self.assertEqual(status, 400)
        self.assertEqual(app.requests, [])
        self.assertEqual(sidecar.metric('outrigger_requests_total', status='400', flag='DPE'), 2 * len(REFUSED))

    def test_a_fragment_is_refused_everywhere(self):
        for routes in ('', DENY):
            sidecar, app = self.sidecar(routes)
            for version, status in self.ask(sidecar.port, b'/admin#x'):
                self.assertIn(status, (400, 'reset'), version)
            self.assertEqual(app.requests, [])

    def test_what_is_decided_on_is_forwarded(self):
        sidecar, app = self.sidecar(DENY)
        for path, forwarded in PASSED.items():
            for version, status in self.ask(sidecar.port, path):
                with self.subTest(path=path, version=version):
                    self.assertEqual(status, 200)
                    self.assertEqual(self.arrived(app), forwarded)

    def test_no_byte_of_a_path_changes_where_no_rule_looks(self):
        pki = Pki(self.directory / 'pki')
        app = self.origin()
        callee = self.callee(app.port, pki)
        caller = self.caller(f'  orders: {{endpoints: ["127.0.0.1:{callee.port}"]}}\n', identity=pki.identity('web'),
                             routes='routes:\n  - {match: {methods: [DELETE]}, answer: {status: 403}}\n')
        for path in RAW:
            for version, status in self.ask(caller.port, path):
                with self.subTest(path=path, version=version):
                    self.assertEqual(status, 200)
                    self.assertEqual(self.arrived(app), path)

    def test_a_listener_may_normalise_always_or_never(self):
        sidecar, app = self.with_paths('normalise', '')
        for path, forwarded in PASSED.items():
            for version, status in self.ask(sidecar.port, path):
                self.assertEqual((status, self.arrived(app)), (200, forwarded), (path, version))
        for version, status in self.ask(sidecar.port, b'/%00'):
            self.assertEqual(status, 400, version)
        sidecar, app = self.with_paths('as_is', DENY)
        for path in RAW + [b'//admin/x']:
            for version, status in self.ask(sidecar.port, path):
                self.assertEqual((status, self.arrived(app)), (200, path), version)
        for version, status in self.ask(sidecar.port, b'/admin/x'):
            self.assertEqual(status, 403, version)
        self.assertIn('warning: outbound', sidecar.log)
        self.assertIn("route 'no-admin' matches paths", sidecar.log)

    def test_an_inbound_listener_may_normalise_for_its_app(self):
        app = self.origin()
        pki = Pki(self.directory / 'pki')
        for paths, forwarded in (('normalise', b'/admin/x'), ('as_is', b'//%61dmin/x'), ('auto', b'//%61dmin/x')):
            callee = self.callee(app.port, pki, options=f'mtls: disabled, paths: {paths}')
            for version, status in self.ask(callee.port, b'//%61dmin/x'):
                self.assertEqual((status, self.arrived(app)), (200, forwarded), (paths, version))

    def test_a_rewrite_begins_and_ends_with_a_normal_path(self):
        sidecar, app = self.sidecar('routes:\n  - {match: {service: orders}, rewrite: {prefix: {from: /api/, to: /v2//x/../}}}\n')
        for path, forwarded in ((b'/api/a', b'/v2/a'), (b'/x/..//api/%61', b'/v2/a'), (b'/other', b'/other')):
            for version, status in self.ask(sidecar.port, path):
                self.assertEqual((status, self.arrived(app)), (200, forwarded), (path, version))


class H2Only:
    """An app that speaks only HTTP/2, in clear text. `greets`: it sends SETTINGS at once, as most servers
    do; otherwise only after the client's preface, and it closes other connections without sending a byte."""

    def __init__(self, case, greets=True, also=None):
        self.greets, self.also = greets, also
        self.asked = []  # one for each request: the method, if it can be read without a decoder
        self.refused = 0
        self.endpoint = case.endpoint(self.serve)
        self.port = self.endpoint.port

    def serve(self, connection):
        first = connection.recv(4, socket.MSG_PEEK | socket.MSG_WAITALL)
        if self.also and first != b'PRI ':
            return self.also._serve(connection)
        if self.greets:
            connection.sendall(raw_h2.settings())
        read = connection.makefile('rb').read
        if read(len(raw_h2.MAGIC)) != raw_h2.MAGIC:
            self.refused += 1
            return
        if not self.greets:
            connection.sendall(raw_h2.settings())
        while header := read(9):
            size, kind, flags, stream = int.from_bytes(header[:3], 'big'), header[3], header[4], int.from_bytes(header[5:], 'big')
            payload = read(size)
            if kind == raw_h2.SETTINGS and not flags & raw_h2.ACK:
                connection.sendall(raw_h2.settings_ack())
            elif kind == raw_h2.PING and not flags & raw_h2.ACK:
                connection.sendall(raw_h2.ping(payload, raw_h2.ACK))
            elif kind == raw_h2.DATA and size:
                connection.sendall(raw_h2.window_update(0, size) + raw_h2.window_update(stream, size))
            if kind in (raw_h2.HEADERS, raw_h2.DATA) and flags & raw_h2.END_STREAM:
                self.asked.append(stream)
                connection.sendall(raw_h2.frame(raw_h2.HEADERS, raw_h2.END_STREAM | raw_h2.END_HEADERS, stream, b'\x88'))


class AppVersion(Case):
    """With `protocol: auto` an app gets the version of HTTP it speaks, and no extra request is made to find out."""

    def door(self, app):
        """One worker, since each detects the version for itself."""
        return self.callee(app.port, Pki(self.directory / 'pki'), options='mtls: disabled', workers=1)

    def test_an_app_that_speaks_http2_alone_needs_no_more_than_auto(self):
        for method, body in (('GET', None), ('POST', b'first'), ('PUT', b'x' * 50_000)):
            app = H2Only(self)
            door = self.door(app)
            for n in range(1, 4):
                self.assertEqual(fetch(door.port, method=method, body=body).status, 200, (method, n))
                self.assertEqual(len(app.asked), n)
            self.assertLessEqual(app.refused, 1, 'found out once')

    def test_one_that_hangs_up_on_http1_costs_no_request_that_may_be_sent_twice(self):
        app = H2Only(self, greets=False)
        door = self.door(app)
        for method, body in (('GET', None), ('POST', b'x'), ('GET', None)):
            self.assertEqual(fetch(door.port, method=method, body=body).status, 200)
        self.assertEqual((len(app.asked), app.refused), (3, 1))

    def test_an_app_that_speaks_http1_alone_sees_requests_and_nothing_else(self):
        app = self.origin()
        door = self.door(app)
        for method in ('POST', 'GET', 'GET'):
            self.assertEqual(fetch(door.port, method=method, body=b'').status, 200)
        self.assertEqual([r.method for r in app.requests], ['POST', 'GET', 'GET'])
        self.assertEqual(app.accepted, 1)

    def test_an_app_that_speaks_both_gets_http1_for_what_is_not_grpc(self):
        http1 = self.origin()
        app = H2Only(self, also=http1)
        door = self.door(app)
        grpc = {'content-type': 'application/grpc', 'te': 'trailers'}
        for headers in ({}, grpc, {}, grpc):
            self.assertEqual(fetch(door.port, method='POST', body=b'', headers=headers).status, 200)
        self.assertEqual((len(http1.requests), len(app.asked)), (2, 2))

    def test_an_app_that_changes_its_version_is_found_out_again(self):
        app = H2Only(self)
        door = self.door(app)
        self.assertEqual(fetch(door.port).status, 200)
        app.endpoint.stop()
        http1 = self.origin(port=app.port)
        self.eventually(200, lambda: fetch(door.port).status)
        self.assertEqual(fetch(door.port, method='POST', body=b'x').status, 200)

    def test_through_the_mesh(self):
        app = H2Only(self)
        caller, callee = self.pair(app.port)
        for method, body in (('POST', b'x'), ('GET', None)):
            self.assertEqual(fetch(caller.port, method=method, body=body).status, 200)
        self.assertEqual(len(app.asked), 2)


if __name__ == '__main__':
    main()
