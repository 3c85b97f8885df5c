"""Two sidecars over mTLS: who may call whom, what is on the wire, and what the app sees."""
import contextlib
import socket
import ssl
import subprocess
import threading

from harness import DOMAIN, WORKERS, Case, Client, Pki, Threads, curl, fetch, free_port, main


class Mesh(Case):
    def setUp(self):
        super().setUp()
        self.app = self.origin(lambda r: (200, {'x-app': 'yes'}, r.method.encode() + b' ' + r.body))

    def test_http1_in_http1_out(self):
        caller, callee = self.pair(self.app.port)
        with Client(caller.port) as client:
            for _ in range(20):
                answer = client.request('POST', '/a?b', {'x-test': '1'}, b'hello')
                self.assertEqual((answer.status, answer.body, answer.header('x-app')), (200, b'POST hello', 'yes'))
        seen = self.app.requests[-1]
        self.assertEqual((seen.target, seen.version, seen.header('host'), seen.header('x-test')), ('/a?b', 'HTTP/1.1', 'orders', '1'))
        self.assertEqual(self.app.accepted, 1, 'one connection to the app serves them all')

    def test_http2_in_http1_out(self):
        caller, callee = self.pair(self.app.port)
        code, out, err = curl('--http2-prior-knowledge', f'http://127.0.0.1:{caller.port}/a', '-d', 'hello', '-H', 'host: orders',
                              '-w', ' %{http_version}')
        self.assertEqual((code, out), (0, b'POST hello 2'), err)

    def test_many_at_once_share_few_connections(self):
        caller, callee = self.pair(self.app.port)

        def run():
            with Client(caller.port) as client:
                for _ in range(20):
                    self.assertEqual(client.request('GET', '/').status, 200)
        Threads(*[run] * 32).join()
        self.assertEqual(callee.metric('outrigger_requests_total', direction='inbound'), 640)
        # At most four HTTP/2 connections for each of the caller's workers, each counted by the callee.
        self.assertLessEqual(callee.metric('outrigger_connections_opened_total', direction='inbound', service=''), 4 * WORKERS)

    def test_http1_on_the_wire_when_told(self):
        caller, callee = self.pair(self.app.port, wire='http1')
        with Client(caller.port) as client:
            for _ in range(5):
                self.assertEqual(client.request('POST', '/', body=b'x').body, b'POST x')

    def test_only_ciphertext_on_the_wire(self):
        """A recorder between the two sidecars sees TLS records and never the plain text."""
        pki = Pki(self.directory / 'pki')
        callee = self.callee(self.app.port, pki)
        wire = []

        def relay(connection):
            peer = socket.create_connection(('127.0.0.1', callee.port))

            def copy(source, sink):
                while data := source.recv(65536):
                    wire.append(data)
                    sink.sendall(data)
                with contextlib.suppress(OSError):
                    sink.shutdown(socket.SHUT_WR)
            threading.Thread(target=copy, args=(peer, connection), daemon=True).start()
            copy(connection, peer)
        middle = self.endpoint(relay)
        caller = self.caller(f'  orders: {{endpoints: ["127.0.0.1:{middle.port}"]}}\n', identity=pki.identity('web'))
        secret = b'a phrase nobody else would say'
        self.assertEqual(fetch(caller.port, method='POST', body=secret).body, b'POST ' + secret)
        self.assertEqual(wire[0][:3], b'\x16\x03\x01', 'the first bytes are a TLS handshake')
        self.assertNotIn(secret, b''.join(wire))

    def test_a_certificate_the_callee_refuses_is_told_of_on_both_sides_and_is_no_success(self):
        ours, theirs = Pki(self.directory / 'pki'), Pki(self.directory / 'other')
        callee = self.callee(self.app.port, ours, workers=1)  # each worker logs its own warnings
        cert, key = theirs.issue('web')
        caller = self.caller(f'  orders: {{endpoints: ["127.0.0.1:{callee.port}"]}}\n',
                             identity=f'identity: {{trust_domain: {DOMAIN}, cert: {cert}, key: {key}, ca: {ours.ca}}}\n')
        for _ in range(3):
            self.assertEqual(fetch(caller.port).status, 503)
        self.eventually(True, lambda: caller.metric('outrigger_tls_handshakes_total', side='upstream', result='peer_refused') > 0)
        self.assertEqual(caller.metric('outrigger_tls_handshakes_total', side='upstream', result='ok'), 0)
        self.assertIn('the peer rejected this node\'s certificate', caller.log)
        self.assertGreater(callee.metric('outrigger_tls_handshakes_total', side='downstream', result='certificate'), 0)
        warnings = [line for line in callee.log.splitlines() if 'a TLS handshake failed' in line]
        self.assertEqual(len(warnings), 1, 'one in ten seconds')
        self.assertIn('warn', warnings[0])

    def test_the_callee_who_is_somebody_else_is_refused(self):
        pki = Pki(self.directory / 'pki')
        impostor = self.callee(self.app.port, pki, name='payments')
        caller = self.caller(f'  orders: {{endpoints: ["127.0.0.1:{impostor.port}"]}}\n', identity=pki.identity('web'))
        answer = fetch(caller.port)
        self.assertEqual(answer.status, 503)
        self.assertIn('UF', answer.text)
        self.assertEqual(self.app.requests, [])
        self.eventually(True, lambda: f'spiffe://{DOMAIN}/payments' in caller.log and f'spiffe://{DOMAIN}/orders' in caller.log,
                        'the log says what was presented and what was expected')

    def test_expect_ids_may_name_everything_below_a_path(self):
        pki = Pki(self.directory / 'pki')
        pki.issue('storage', 'ns/shop/sa/storage')
        callee = self.callee(self.app.port, pki, name='storage')
        for pattern, status in ((f'spiffe://{DOMAIN}/ns/shop/*', 200), (f'spiffe://{DOMAIN}/ns/shop/sa/storage/*', 503)):
            caller = self.caller(f'  orders: {{endpoints: ["127.0.0.1:{callee.port}"], expect_ids: ["{pattern}"]}}\n',
                                 identity=pki.identity('web'))
            self.assertEqual(fetch(caller.port).status, status, pattern)

    def test_a_certificate_that_ends_within_warn_before_is_warned_about(self):
        pki = Pki(self.directory / 'pki')
        for before, said in (('2400h', True), ('1s', False)):
            identity = pki.identity('web').replace('{', f'{{warn_before: {before}, ', 1)
            daemon = self.caller('  orders: {endpoints: ["127.0.0.1:9"]}\n', identity=identity)
            daemon.stop()
            self.assertEqual(' expires in ' in daemon.log, said, before)

    def test_expect_ids_overrides_the_default(self):
        pki = Pki(self.directory / 'pki')
        callee = self.callee(self.app.port, pki, name='payments')
        caller = self.caller(
            f'  orders: {{endpoints: ["127.0.0.1:{callee.port}"], expect_ids: ["spiffe://{DOMAIN}/payments"]}}\n',
            identity=pki.identity('web'))
        self.assertEqual(fetch(caller.port).status, 200)

    def test_a_caller_from_another_ca_gets_no_byte_through(self):
        pki, other = Pki(self.directory / 'pki'), Pki(self.directory / 'other')
        callee = self.callee(self.app.port, pki)
        for identity in (other.identity('web'),):
            caller = self.caller(f'  orders: {{endpoints: ["127.0.0.1:{callee.port}"]}}\n', identity=identity)
            self.assertEqual(fetch(caller.port).status, 503)
        self.assertEqual(self.app.accepted, 0)

    def context(self, pki, cert=None, alpn=('http/1.1',), versions=()):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(pki.ca)
        context.set_alpn_protocols(list(alpn))
        if cert:
            context.load_cert_chain(*map(str, cert))
        if versions:
            context.minimum_version, context.maximum_version = versions
        return context

    def handshake(self, port, *how, **more):
        return self.context(*how, **more).wrap_socket(socket.create_connection(('127.0.0.1', port), 10))

    def exchange(self, secure):
        secure.sendall(b'GET / HTTP/1.1\r\nhost: orders\r\nconnection: close\r\n\r\n')
        return secure.recv(65536)

    def test_strict_means_a_certificate(self):
        pki = Pki(self.directory / 'pki')
        callee = self.callee(self.app.port, pki)
        # Without a certificate: the handshake fails, at once or at the first read.
        with self.assertRaises((ConnectionError, ssl.SSLError)):
            with self.handshake(callee.port, pki) as secure:
                if not self.exchange(secure):
                    raise ConnectionError('closed')
        # Clear text: no response from the app.
        with Client(callee.port) as client:
            client.send(b'GET / HTTP/1.1\r\nhost: orders\r\n\r\n')
            try:
                head = client.stream.until(b'\r\n\r\n')
            except ConnectionError:
                head = None
            self.assertTrue(head is None or b' 200 ' not in head)
        self.assertEqual(self.app.accepted, 0)
        with self.handshake(callee.port, pki, pki.issue('web')) as secure:
            self.assertIn(b' 200 ', self.exchange(secure))

    def test_alpn_and_versions(self):
        pki = Pki(self.directory / 'pki')
        callee = self.callee(self.app.port, pki)
        web = pki.issue('web')
        for offered, chosen in ((('h2', 'http/1.1'), 'h2'), (('http/1.1',), 'http/1.1')):
            with self.handshake(callee.port, pki, web, alpn=offered) as secure:
                self.assertEqual(secure.selected_alpn_protocol(), chosen)
                self.assertEqual(secure.version(), 'TLSv1.3')
        two = ssl.TLSVersion.TLSv1_2
        with self.handshake(callee.port, pki, web, versions=(two, two)) as secure:
            self.assertEqual(secure.version(), 'TLSv1.2')
            self.assertIn(b' 200 ', self.exchange(secure))
        old = subprocess.run(['openssl', 's_client', '-connect', f'127.0.0.1:{callee.port}', '-tls1_1', '-cipher', 'ALL:@SECLEVEL=0',
                              '-cert', web[0], '-key', web[1]], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)
        self.assertIn('Cipher is (NONE)', old.stdout)

    def test_no_resumption_between_sidecars(self):
        pki = Pki(self.directory / 'pki')
        callee = self.callee(self.app.port, pki)
        web = pki.issue('web')
        for version in (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2):
            context = self.context(pki, web, versions=(version, version))
            session = None
            for _ in range(3):
                with context.wrap_socket(socket.create_connection(('127.0.0.1', callee.port), 10), session=session) as secure:
                    self.assertIn(b' 200 ', self.exchange(secure))
                    self.assertFalse(secure.session_reused, version)
                    session = secure.session

    def test_permissive_and_disabled(self):
        pki = Pki(self.directory / 'pki')
        callee = self.callee(self.app.port, pki, options='mtls: permissive')
        self.assertEqual(fetch(callee.port).status, 200, 'clear text is let in')
        inbound = dict(direction='inbound')
        self.eventually(1, lambda: callee.metric('outrigger_connections_closed_total', **inbound), 'connections closed')
        handshakes = lambda **labels: callee.metric('outrigger_tls_handshakes_total', side='downstream', **labels)
        self.assertEqual(handshakes(), 0, 'which is no handshake')
        caller = self.caller(f'  orders: {{endpoints: ["127.0.0.1:{callee.port}"]}}\n', identity=pki.identity('web'))
        self.assertEqual(fetch(caller.port).status, 200, 'and so is mTLS')
        self.assertEqual(caller.stop(), 0)
        self.eventually(1, lambda: handshakes(result='ok', version='TLSv1.3'), 'handshakes')
        self.assertEqual(handshakes(), 1)
        plain = self.callee(self.app.port, pki, name='plain', options='mtls: disabled')
        self.assertEqual(fetch(plain.port).status, 200)

    def test_handshakes_and_bytes_are_counted_while_connections_are_open(self):
        for protocol in ('http', 'tcp'):
            inbound = {'protocol': 'tcp', 'inbound': 'tcp'} if protocol == 'tcp' else {}
            caller, callee = self.pair(self.app.port, **inbound)
            with Client(caller.port) as client:
                self.assertEqual(client.request('PUT', '/', body=b'x' * 10_000).status, 200)
                for daemon, side in ((caller, 'upstream'), (callee, 'downstream')):
                    self.eventually(1, lambda: daemon.metric('outrigger_tls_handshakes_total', side=side, result='ok'), f'{protocol}, {side}')
                for daemon in (caller, callee):
                    for end in ({'service': ''}, {'listener': ''}):
                        for way in ('received', 'sent'):
                            name = f'outrigger_connection_{way}_bytes_total'
                            most = 10_000 if (way == 'received') == ('service' in end) else 50
                            self.eventually(True, lambda: daemon.metric(name, **end) > most, f'{protocol}, {name}, {end}')
                    self.assertEqual(daemon.metric('outrigger_connections_closed_total'), 0)
            caller.stop()
            callee.stop()

    def test_identity_headers_come_from_the_certificate_alone(self):
        caller, callee = self.pair(self.app.port)
        fetch(caller.port, headers={'x-forwarded-client-cert': 'URI=spiffe://evil/admin', 'x-forwarded-for': '1.2.3.4'})
        seen = self.app.requests[-1]
        self.assertNotIn('evil', str(seen.headers))
        self.assertNotIn('1.2.3.4', str(seen.headers))
        self.assertIn(f'spiffe://{DOMAIN}/web', seen.header('x-forwarded-client-cert') or '')
        self.assertTrue(seen.header('x-forwarded-for'))
        self.assertEqual(seen.header('x-forwarded-proto'), 'https')

    def test_the_peer_is_a_label(self):
        caller, callee = self.pair(self.app.port)
        fetch(caller.port)
        self.assertEqual(callee.metric('outrigger_requests_total', direction='inbound', peer=f'spiffe://{DOMAIN}/web', status='200'), 1)
        self.assertEqual(caller.metric('outrigger_requests_total', direction='outbound', service='orders', status='200'), 1)

    def test_an_inbound_http_port_refuses_opaque_bytes(self):
        pki = Pki(self.directory / 'pki')
        callee = self.callee(self.app.port, pki, protocol='http')
        web, answer = pki.issue('web'), b''
        for alpn in ('outrigger-tcp', 'http/1.1'):
            # Refused in the handshake, by a response, or by a close.
            try:
                with self.handshake(callee.port, pki, web, alpn=(alpn,)) as secure:
                    secure.sendall(b'\x00\x01\x02 not http\r\n\r\n')
                    while data := secure.recv(4096):
                        answer += data
            except (ConnectionError, ssl.SSLError):
                pass
            self.assertTrue(answer == b'' or b' 400 ' in answer, answer)
        self.assertEqual(self.app.accepted, 0)

    def test_the_app_is_down_and_comes_back(self):
        port = free_port()
        caller, callee = self.pair(port)
        answer = fetch(caller.port)
        self.assertEqual((answer.status, 'UF' in answer.text), (503, True), answer.text)
        self.origin(port=port)
        self.assertEqual(fetch(caller.port).status, 200)

    def test_what_the_app_never_saw_is_tried_elsewhere_even_a_post(self):
        pki = Pki(self.directory / 'pki')
        dead = self.callee(free_port(), pki, name='orders')
        alive = self.callee(self.app.port, pki, name='orders2')
        caller = self.caller(
            f'  orders: {{endpoints: ["127.0.0.1:{dead.port}", "127.0.0.1:{alive.port}"], load_balancer: round_robin, '
            f'expect_ids: ["spiffe://{DOMAIN}/orders", "spiffe://{DOMAIN}/orders2"]}}\n', identity=pki.identity('web'))
        for i in range(10):
            answer = fetch(caller.port, method='POST', body=b'%d' % i)
            self.assertEqual((answer.status, answer.body), (200, b'POST %d' % i))
        self.assertEqual(len(self.app.requests), 10)

    def test_a_callee_that_restarts(self):
        """Its connections close while idle; the next call opens a new one and does not fail."""
        pki = Pki(self.directory / 'pki')
        callee = self.callee(self.app.port, pki)
        caller = self.caller(f'  orders: {{endpoints: ["127.0.0.1:{callee.port}"]}}\n', identity=pki.identity('web'))
        self.assertEqual(fetch(caller.port, method='POST', body=b'1').status, 200)
        callee.stop()
        answer = fetch(caller.port, method='POST', body=b'2')
        self.assertEqual((answer.status, 'UF' in answer.text), (503, True), answer.text)
        again = self.start('again', callee.config_path.read_text(), callee.admin)
        self.assertEqual(fetch(caller.port, method='POST', body=b'3').status, 200)
        self.assertTrue(again.running())


if __name__ == '__main__':
    main()
