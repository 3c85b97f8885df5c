"""Configuration keys whose effect no other test checks. tests/keys.txt names the test of each key."""
import json
import time

from harness import Case, Client, Pki, fetch, free_port, main, run_outrigger

SERVICE = '  orders: {{endpoints: ["127.0.0.1:{}"], mtls: disabled}}\n'


class Keys(Case):
    def setUp(self):
        super().setUp()
        self.app = self.origin()

    def daemon(self, text, name='web', env=None):
        """A sidecar with exactly this configuration, plus an admin port if it sets none."""
        admin = free_port()
        return self.start(name, f'version: 1\nadmin: 127.0.0.1:{admin}\n' + text, admin, env=env)

    def json(self, daemon, path):
        return json.loads(daemon.get(path)[2])

    def test_the_node_says_who_and_where_it_is(self):
        daemon = self.daemon('node: {service: web, id: web-7, locality: {cloud: aws, region: eu, zone: eu-1a}, labels: {version: v42}}\n'
                             'runtime: {workers: 2}\n')
        info = self.json(daemon, '/server_info')
        self.assertEqual(info['node'], {'id': 'web-7', 'cluster': 'web', 'service': 'web', 'labels': {'version': 'v42'},
                                        'locality': {'cloud': 'aws', 'region': 'eu', 'zone': 'eu-1a'}})
        self.assertEqual(info['workers'], 2)

    def test_endpoints_say_where_they_are(self):
        daemon = self.daemon('node: web\nservices:\n  orders:\n    mtls: disabled\n    endpoints:\n'
                             '      - {address: "127.0.0.1:9", weight: 3, cloud: aws, region: eu, zone: eu-1a, id: i-7, labels: {v: a}}\n')
        cluster = next(c for c in self.json(daemon, '/clusters?format=json')['cluster_statuses'] if c['name'] == 'orders')
        host = cluster['host_statuses'][0]
        self.assertEqual((host['weight'], host['id'], host['labels'], host['locality']),
                         (3, 'i-7', {'v': 'a'}, {'cloud': 'aws', 'region': 'eu', 'zone': 'eu-1a'}))
        self.assertEqual(daemon.metric('outrigger_endpoints', service='orders', locality='aws/eu/eu-1a'), 1)

    def test_listeners_have_the_names_they_were_given(self):
        a, b = free_port(), free_port()
        daemon = self.daemon(f'node: web\ninbound:\n  - {{name: app, listen: 127.0.0.1:{a}, app: 127.0.0.1:{self.app.port}, mtls: disabled}}\n'
                             f'outbound:\n  - {{name: calls, listen: 127.0.0.1:{b}, service: orders}}\nservices:\n' + SERVICE.format(9))
        names = {entry['name'] for entry in self.json(daemon, '/listeners?format=json')['listener_statuses']}
        self.assertLessEqual({'app', 'calls'}, names)

    def test_a_body_has_to_keep_the_rate_that_a_listener_asks_for(self):
        """The default applies from 30 s after a body's first byte; 0B turns it off."""
        slow, any_rate = free_port(), free_port()
        self.daemon(f'node: web\ninbound:\n  - {{listen: 127.0.0.1:{slow}, app: 127.0.0.1:{self.app.port}, mtls: disabled}}\n'
                    f'  - {{listen: 127.0.0.1:{any_rate}, app: 127.0.0.1:{self.app.port}, mtls: disabled, limits: {{body_rate: 0B}}}}\n')
        with Client(slow, timeout=60) as refused, Client(any_rate, timeout=60) as served:
            for client in (refused, served):
                client.send(b'PUT / HTTP/1.1\r\nhost: web\r\ncontent-length: 2\r\n\r\nx')
            begun = time.monotonic()
            answer = refused.read()
            self.assertEqual((answer.status, answer.header('x-outrigger-flag')), (408, 'SI'))
            self.assertTrue(29 < time.monotonic() - begun < 35)
            served.send(b'y')
            self.assertEqual(served.read().status, 200)

    def inbound(self, more):
        port = free_port()
        self.daemon(f'node: web\ninbound:\n  - {{listen: 127.0.0.1:{port}, app: 127.0.0.1:{self.app.port}, mtls: disabled{more}}}\n')
        return port

    def test_a_body_larger_than_a_listener_allows_is_a_413(self):
        port = self.inbound(', limits: {body: 1KiB}')
        self.assertEqual(fetch(port, method='PUT', body=b'x' * 1024).status, 200)
        self.assertEqual(fetch(port, method='PUT', body=b'x' * 1025).status, 413)
        with Client(port) as client:
            client.send(b'PUT / HTTP/1.1\r\nhost: web\r\ntransfer-encoding: chunked\r\n\r\n401\r\n' + b'x' * 1025 + b'\r\n0\r\n\r\n')
            self.assertEqual(client.read().status, 413)
        self.assertEqual([len(r.body) for r in self.app.requests if r.body], [1024])

    def test_forwarding_headers_are_trusted_from_trusted_proxies_alone(self):
        sent = {'x-forwarded-for': '192.0.2.1', 'x-forwarded-proto': 'gopher', 'x-forwarded-host': 'shop.example.org'}
        for trusted, expected in (('127.0.0.0/8', ('192.0.2.1, 127.0.0.1', 'gopher', 'shop.example.org')),
                                  ('10.0.0.0/8', ('127.0.0.1', 'http', 'orders'))):
            self.assertEqual(fetch(self.inbound(f', trusted_proxies: [{trusted}]'), headers=sent).status, 200)
            self.assertEqual(tuple(self.app.requests[-1].header(name) for name in sent), expected, trusted)

    def test_an_endpoint_gets_its_weight_in_requests(self):
        heavy, light, port = self.origin(), self.origin(), free_port()
        self.daemon(f'node: web\nruntime: {{workers: 1}}\noutbound:\n  - {{listen: 127.0.0.1:{port}, service: orders}}\nservices:\n'
                    f'  orders: {{mtls: disabled, load_balancer: round_robin, endpoints: [{{address: "127.0.0.1:{heavy.port}", weight: 3}}, '
                    f'"127.0.0.1:{light.port}"]}}\n')
        with Client(port) as client:
            for _ in range(80):
                self.assertEqual(client.request('GET', '/').status, 200)
        self.assertEqual((len(heavy.requests), len(light.requests)), (60, 20))

    def test_metrics_have_a_listener_and_a_path_of_their_own(self):
        port = free_port()
        self.daemon(f'node: web\ntelemetry: {{prometheus: {{listen: 127.0.0.1:{port}, path: /numbers}}}}\n')
        self.assertIn('outrigger_build_info', fetch(port, '/numbers').text)
        self.assertEqual(fetch(port, '/metrics').status, 404)

    def test_series_of_endpoints_exist_when_asked_for(self):
        for wanted in (True, False):
            port = free_port()
            daemon = self.daemon(f'node: web\ntelemetry: {{prometheus: {{per_endpoint: {str(wanted).lower()}}}}}\n'
                                 f'outbound:\n  - {{listen: 127.0.0.1:{port}, service: orders}}\nservices:\n' + SERVICE.format(self.app.port))
            self.assertEqual(fetch(port).status, 200)
            at = {'service': 'orders', 'endpoint': f'127.0.0.1:{self.app.port}'}
            if not wanted:
                self.assertNotIn('outrigger_endpoint_', daemon.get('/stats/prometheus')[2])
                continue
            self.assertEqual(daemon.metric('outrigger_endpoint_requests_total', **at), 1)
            self.assertEqual(daemon.metric('outrigger_endpoint_failures_total', **at), 0)
            self.assertEqual(daemon.metric('outrigger_endpoint_requests_active', **at), 0)
            self.eventually(True, lambda: daemon.metric('outrigger_endpoint_latency_seconds', **at) > 0, 'a latency')

    def test_the_log_has_a_level_a_format_and_levels_of_rooms(self):
        daemon = self.daemon('node: web\ntelemetry: {log: {level: error, format: json, levels: {server: info}}}\n')
        lines = [json.loads(line) for line in daemon.log.splitlines()]
        self.assertTrue(lines)
        self.assertEqual({(line['room'], line['level']) for line in lines}, {('server', 'info')})

    def test_a_redirect_has_a_scheme_a_host_and_a_status(self):
        port = free_port()
        self.daemon(f'node: web\noutbound:\n  - {{listen: 127.0.0.1:{port}, service: orders}}\nservices:\n' + SERVICE.format(9) +
                    'routes:\n  - {match: orders, redirect: {scheme: https, host: docs.example.org, path: /x, status: 307}}\n')
        answer = fetch(port, '/y?q')
        self.assertEqual((answer.status, answer.header('location')), (307, 'https://docs.example.org/x?q'))

    def test_connections_beyond_the_limit_are_refused(self):
        port = free_port()
        daemon = self.daemon(f'node: web\nruntime: {{workers: 1, connections: 2}}\noutbound:\n  - {{listen: 127.0.0.1:{port}, service: orders}}\n'
                             'services:\n' + SERVICE.format(self.app.port))
        kept = [self.client(port) for _ in range(2)]
        for client in kept:
            self.assertEqual(client.request('GET', '/').status, 200)
        try:
            with Client(port) as third:
                self.assertIsNone(third.request('GET', '/'), 'closed without an answer')
        except ConnectionError:
            pass  # or reset, if the request was in flight
        self.assertEqual(daemon.get('/ready')[0], 200)

    def test_an_identity_of_another_trust_domain_is_refused(self):
        pki = Pki(self.directory / 'pki')
        path = self.directory / 'bad.yaml'
        path.write_text('version: 1\nnode: web\n' + pki.identity('web').replace(f'trust_domain: {pki.domain}', 'trust_domain: other.example'))
        done = run_outrigger('validate', str(path))
        self.assertEqual(done.returncode, 1)
        self.assertIn('other.example', done.stderr)


if __name__ == '__main__':
    main()
