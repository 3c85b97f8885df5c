"""Local replies of a sidecar: their format and date, what HEAD and gRPC get, and that requests without
an exchange are in the access log and in the metrics too."""
import email.utils
import json
import time

import raw_h2
from harness import PATIENCE, Case, Client, fetch, free_port, main


class Refusals(Case):
    def setUp(self):
        super().setUp()
        self.app = self.origin()

    def ask(self, port, raw, method='GET'):
        with Client(port) as client:
            client.send(raw)
            return client.read(method)

    def test_every_refusal_is_logged_and_counted(self):
        log = self.directory / 'access.log'
        sidecar = self.plain([self.app], log=log)
        heads = {
            400: b'GET /bad HTTP/1.1\r\n\r\n',
            417: b'PUT /hope?secret HTTP/1.1\r\nhost: orders\r\nexpect: miracles\r\n\r\n',
            431: b'POST /large HTTP/1.1\r\nhost: orders\r\nx: ' + b'v' * 9000 + b'\r\n\r\n',
            505: b'GET /version HTTP/2.0\r\n\r\n',
        }
        for status, raw in heads.items():
            answer = self.ask(sidecar.port, raw)
            self.assertEqual(answer.status, status)
            body = json.loads(answer.body)
            self.assertEqual((set(body), body['flag']), ({'error', 'flag', 'detail'}, 'DPE'))
            self.assertEqual(answer.header('x-outrigger-flag'), 'DPE')
            self.assertEqual(answer.header('server'), 'outrigger')
        # HTTP/2: one that is too large, and one that is malformed and only reset.
        peer = raw_h2.connect(sidecar.port)
        self.addCleanup(peer.close)
        peer.send(raw_h2.request(1, raw_h2.request_block(path=b'/h2', more=raw_h2.literal(b'x', b'v' * 9000))))
        peer.send(raw_h2.request(3, raw_h2.request_block(path=b'/h2-bad', more=raw_h2.literal(b'connection', b'x'))))
        self.assertTrue(peer.until(lambda: peer.find(raw_h2.RST_STREAM, 3) and peer.find(raw_h2.DATA, 1), PATIENCE))
        self.assertEqual(raw_h2.status_of(peer.find(raw_h2.HEADERS, 1).payload), 431)
        self.assertEqual(json.loads(peer.find(raw_h2.DATA, 1).payload)['flag'], 'DPE')
        expected = {(400, 'GET', '/bad'), (417, 'PUT', '/hope'), (431, 'POST', '/large'), (505, 'GET', '/version'),
                    (431, 'GET', '/h2'), (0, 'GET', '/h2-bad')}

        def logged():
            lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
            return {(line.get('status', 0), line['method'], line['path']) for line in lines if line['flag'] == 'DPE'}
        self.eventually(expected, logged, 'refusals in the access log')
        for status, count in (('400', 1), ('417', 1), ('431', 2), ('505', 1), ('0', 1)):
            self.assertEqual(sidecar.metric('outrigger_requests_total', flag='DPE', status=status), count, status)
        self.assertEqual(sidecar.metric('outrigger_requests_active'), 0)

    def test_head_has_no_body_and_all_have_the_date(self):
        sidecar = self.plain([self.app])
        for raw, status in ((b'HEAD / HTTP/1.1\r\n\r\n', 400), (b'HEAD / HTTP/1.1\r\nhost: a\r\nx: ' + b'v' * 9000 + b'\r\n\r\n', 431)):
            with Client(sidecar.port) as client:
                client.send(raw)
                answer = client.read('HEAD')
                self.assertEqual(answer.status, status)
                self.assertEqual(client.stream.rest(), b'')
                date = email.utils.parsedate_to_datetime(answer.header('date'))
                self.assertLess(abs(date.timestamp() - time.time()), 5)
        # The exchange's own replies too.
        empty = self.plain([free_port()])
        answer = fetch(empty.port)
        self.assertEqual(answer.status, 503)
        self.assertEqual(set(json.loads(answer.body)) - {'detail'}, {'error', 'flag'})
        first = email.utils.parsedate_to_datetime(answer.header('date'))
        self.assertLess(abs(first.timestamp() - time.time()), 5)
        self.eventually(True, lambda: email.utils.parsedate_to_datetime(fetch(empty.port).header('date')) > first,
                        'the date moves on')

    def test_an_absolute_target_overrides_the_host(self):
        sidecar = self.caller(f'  orders: {{endpoints: ["127.0.0.1:{self.app.port}"], mtls: disabled}}\n')
        answer = self.ask(sidecar.port, b'GET http://orders/x HTTP/1.1\r\nhost: elsewhere\r\n\r\n')
        self.assertEqual(answer.status, 200)
        request = self.app.requests[-1]
        self.assertEqual((request.target, request.header('host')), ('/x', 'orders'))

    def test_http_1_0_without_a_host_passes_two_sidecars(self):
        for wire in ('http1', 'http2', 'auto'):
            with self.subTest(wire=wire):
                caller, _ = self.pair(self.app.port, wire=wire)
                for host in (b'', b'host:\r\n'):
                    answer = self.ask(caller.port, b'GET /old HTTP/1.0\r\n' + host + b'\r\n')
                    self.assertEqual((answer.status, answer.body), (200, b'ok'))
                    self.assertEqual(self.app.requests[-1].header('host'), 'orders')

    def test_a_wrong_http2_preface_is_not_answered_in_http1(self):
        """h2spec 3.5/2, on a port that speaks both."""
        sidecar = self.plain([self.app])
        for raw in (b'INVALID CONNECTION PREFACE\r\n\r\n', b'PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n'):
            peer = raw_h2.connect(sidecar.port, preface=False)
            self.addCleanup(peer.close)
            peer.send(raw)
            self.assertTrue(peer.finished(PATIENCE))
            self.assertNotIn(b'HTTP/1', peer.bytes)
            self.assertIn(peer.goaway_code(), (None, raw_h2.PROTOCOL_ERROR))


if __name__ == '__main__':
    main()
