"""The admin port, the metrics and the access log."""
import json
import os
import re
import stat
import subprocess
import threading
import time

from harness import BINARY, DOMAIN, Case, Client, Process, Threads, fetch, find_tool, free_port, listening, main, needs, wait_for


class Admin(Case):
    def setUp(self):
        super().setUp()
        self.app = self.origin()
        self.log = self.directory / 'access.log'
        self.caller_, self.callee_ = self.pair(self.app.port, log=self.log)
        for _ in range(3):
            self.assertEqual(fetch(self.caller_.port, '/path?secret=1').status, 200)

    def test_ready(self):
        self.assertEqual(self.caller_.get('/ready')[0], 200)

    def test_pages(self):
        for path in ('/server_info', '/stats', '/stats?format=json', '/stats/prometheus', '/stats?format=prometheus', '/clusters',
                     '/clusters?format=json', '/listeners', '/certs', '/config_dump', '/help'):
            status, headers, body = self.caller_.get(path)
            self.assertEqual(status, 200, path)
            self.assertTrue(body, path)
            self.assertEqual(headers['x-content-type-options'], 'nosniff', path)

    def test_json_is_json(self):
        for path in ('/server_info', '/stats?format=json', '/clusters?format=json', '/config_dump', '/certs'):
            self.caller_.json(path)

    def test_server_info(self):
        info = self.caller_.json('/server_info')
        self.assertIn('0.1.0', json.dumps(info))
        self.assertIn('web', json.dumps(info))

    def test_clusters_and_listeners(self):
        text = self.caller_.get('/clusters')[2]
        self.assertIn('orders', text)
        self.assertIn(f'127.0.0.1:{self.callee_.port}', text)
        self.assertIn(f'127.0.0.1:{self.caller_.port}', self.caller_.get('/listeners')[2])
        self.assertIn(f'127.0.0.1:{self.callee_.port}', self.callee_.get('/listeners')[2])

    def test_clusters_count_what_apps_were_asked(self):
        for daemon, name in ((self.caller_, 'orders'), (self.callee_, 'app/0')):
            cluster = next(c for c in daemon.json('/clusters?format=json')['cluster_statuses'] if c['name'] == name)
            stats = [s['value'] for host in cluster['host_statuses'] for s in host['stats'] if s['name'] == 'rq_total']
            self.assertEqual(sum(int(v) for v in stats), 3, cluster)

    def test_certificates_without_keys(self):
        own = self.caller_.json('/certs')['certificates'][0]['cert_chain'][0]
        self.assertEqual(own['subject_alt_names'], [{'uri': f'spiffe://{DOMAIN}/web'}, {'dns': 'web.test'}])
        for path in ('/certs', '/config_dump', '/server_info'):
            self.assertNotIn('PRIVATE KEY', self.caller_.get(path)[2])

    def test_stats_filter(self):
        text = self.caller_.get('/stats?filter=requests_total')[2]
        self.assertTrue(text.strip())
        for line in text.strip().splitlines():
            self.assertIn('requests_total', line)

    def test_get_never_changes_anything(self):
        for path in ('/quitquitquit', '/logging', '/healthcheck/fail', '/healthcheck/ok', '/drain_listeners', '/reset_counters'):
            self.assertEqual(self.caller_.get(path)[0], 405, path)
        self.assertEqual(self.caller_.post('/stats')[0], 405)
        self.assertTrue(self.caller_.running())

    def test_an_unknown_path_gets_a_list(self):
        status, _, body = self.caller_.get('/nothing')
        self.assertEqual(status, 404)
        self.assertIn('/stats', body)

    def test_foreign_host_and_origin(self):
        for headers in ({'Host': 'evil.example'}, {'Host': f'evil.example:{self.caller_.admin}'}):
            self.assertEqual(self.caller_.get('/stats', headers)[0], 403, headers)
        for headers in ({'Origin': 'http://evil.example'}, {'Origin': 'null'}, {'Sec-Fetch-Site': 'cross-site'}):
            self.assertEqual(self.caller_.ask('POST', '/logging?level=debug', headers)[0], 403, headers)
        for host in ('localhost', '127.0.0.1'):
            self.assertEqual(self.caller_.get('/stats', {'Host': f'{host}:{self.caller_.admin}'})[0], 200)

    def test_health_switch(self):
        self.assertEqual(self.caller_.post('/healthcheck/fail')[0], 200)
        self.assertEqual(self.caller_.get('/ready')[0], 503)
        self.assertEqual(self.caller_.post('/healthcheck/ok')[0], 200)
        self.assertEqual(self.caller_.get('/ready')[0], 200)

    def test_the_log_tells_of_connections_at_debug(self):
        port = self.caller_.port
        fetch(port, '/quiet')
        self.caller_.post('/logging?server=debug&upstream=debug')
        fetch(port, '/told')
        self.eventually(True, lambda: re.search(r'debug server: a connection was closed .*why=', self.caller_.log) is not None)
        self.caller_.post('/logging?level=info')

    def test_logging_levels(self):
        self.assertEqual(self.caller_.post('/logging?level=debug')[0], 200)
        self.assertIn('debug', self.caller_.post('/logging')[2])
        self.assertEqual(self.caller_.post('/logging?level=nonsense')[0], 400)

    def test_malformed_requests_get_an_answer(self):
        for data in (b'GARBAGE\r\n\r\n', b'GET / HTTP/1.1\r\n\r\n', b'GET /' + b'x' * 100_000 + b' HTTP/1.1\r\n\r\n'):
            with Client(self.caller_.admin) as client:
                client.send(data)
                answer = client.read()
                self.assertTrue(answer is not None and 400 <= answer.status < 500, data[:40])
        self.assertEqual(self.caller_.get('/ready')[0], 200)

    def test_counts_are_right(self):
        for daemon, direction in ((self.caller_, 'outbound'), (self.callee_, 'inbound')):
            self.assertEqual(daemon.metric('outrigger_requests_total', direction=direction, status='200'), 3)
            self.assertEqual(daemon.metric('outrigger_request_duration_seconds_count', direction=direction), 3)
            self.assertEqual(daemon.metric('outrigger_requests_active', direction=direction), 0)

    def test_no_raw_path_or_address_in_a_label(self):
        for daemon in (self.caller_, self.callee_):
            text = daemon.get('/stats/prometheus')[2]
            self.assertNotIn('/path', text)
            self.assertNotIn('secret', text)

    @needs('promtool')
    def test_promtool(self):
        with Client(self.caller_.port) as client:
            for method in ('GET', 'POST', 'HEAD'):
                client.request(method, '/')
        for daemon in (self.caller_, self.callee_):
            text = daemon.get('/stats/prometheus')[2]
            run = subprocess.run([find_tool('promtool'), 'check', 'metrics'], input=text, capture_output=True, text=True, timeout=60)
            self.assertEqual((run.returncode, run.stdout + run.stderr), (0, ''))

    def test_scrapes_beside_traffic(self):
        stop, calls = threading.Event(), [0] * 4

        def load(i):
            with Client(self.caller_.port) as client:
                while not stop.is_set():
                    self.assertEqual(client.request('GET', '/').status, 200)
                    calls[i] += 1
        threads = Threads(*(lambda i=i: load(i) for i in range(4)))
        try:
            for _ in range(50):
                self.caller_.series()
                self.assertEqual(self.caller_.get('/clusters?format=json')[0], 200)
        finally:
            stop.set()
            threads.join()
        self.assertGreater(min(calls), 10, 'every caller was served meanwhile')

    def lines(self):
        return self.log.read_text().splitlines() if self.log.exists() else []

    def test_access_log_json(self):
        self.eventually(3, lambda: len(self.lines()), 'lines in the access log')
        for line in self.lines():
            entry = json.loads(line)
            self.assertEqual((entry['method'], entry['path'], entry['status'], entry['service'], entry['direction']),
                             ('GET', '/path', 200, 'orders', 'outbound'))
            self.assertNotIn('secret', line)
            self.assertGreaterEqual(entry['duration_ms'], 0)
            self.assertEqual(entry['endpoint'], f'127.0.0.1:{self.callee_.port}')
            self.assertTrue(entry['request_id'])

    def test_access_log_survives_hostile_values(self):
        with Client(self.caller_.port) as client:
            client.send(b'GET /%22%c3%a9%7f HTTP/1.1\r\nhost: orders\r\nx-request-id: a"b\\c\r\n\r\n')
            client.read()
        self.eventually(4, lambda: len(self.lines()), 'lines in the access log')
        json.loads(self.lines()[-1])


class Doors(Case):
    def world(self, admin, more=''):
        app, port = self.origin(), free_port()
        path = self.directory / 'web.yaml'
        path.write_text(f'''version: 1
node: {{service: web}}
admin: {admin}
runtime: {{workers: 1, drain: 1s, drain_min: 0s}}
telemetry: {{access_log: none}}
outbound:
  - {{listen: "127.0.0.1:{port}", service: orders}}
services:
  orders: {{endpoints: ["127.0.0.1:{app.port}"], mtls: disabled}}
''')
        daemon = Process([BINARY, 'run', '-c', path], self.directory / 'web.log')
        self.addCleanup(daemon.stop)
        wait_for('the port', lambda: listening(port))
        return daemon

    def test_the_unix_socket_is_its_owners_alone_unless_told_otherwise(self):
        path = self.directory / 'admin.sock'
        daemon = self.world(f'"unix:{path}"')
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
        daemon.stop()
        self.world(f'{{listen: "unix:{path}", socket_mode: 0660}}')
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o660)

    def test_listeners_has_the_ports_of_the_process_itself(self):
        admin, probes, metrics = free_port(), free_port(), free_port()
        daemon = self.start('own', f'''version: 1
node: {{service: web}}
admin: {{listen: "127.0.0.1:{admin}", probes: "127.0.0.1:{probes}"}}
telemetry: {{prometheus: {{listen: "127.0.0.1:{metrics}"}}}}
''', admin)
        told = {entry['name']: (entry['direction'], entry['local_address']['socket_address']['port_value'])
                for entry in daemon.json('/listeners?format=json')['listener_statuses']}
        self.assertEqual(told, {'admin': ('admin', admin), 'probes': ('probes', probes), 'metrics': ('metrics', metrics)})

    def test_half_requests_shut_nobody_out(self):
        admin, probes, metrics = free_port(), free_port(), free_port()
        self.start('own', f'''version: 1
node: {{service: web}}
admin: {{listen: "127.0.0.1:{admin}", probes: "127.0.0.1:{probes}"}}
telemetry: {{prometheus: {{listen: "127.0.0.1:{metrics}"}}}}
''', admin)
        for port, path in ((admin, '/ready'), (probes, '/livez'), (metrics, '/metrics')):
            halves = [self.client(port) for _ in range(20)]
            for client in halves:
                client.send(b'GET /li')
            self.assertEqual(fetch(port, path, host='localhost').status, 200)

    def test_a_token_is_asked_for_everywhere_but_at_the_probes(self):
        token, admin, probes = self.directory / 'token', free_port(), free_port()
        token.write_text('open-sesame\n')
        self.world(f'{{listen: "0.0.0.0:{admin}", probes: "127.0.0.1:{probes}", token_file: {token}}}')
        with Client(admin) as client:
            for headers, status in (({}, 401), ({'authorization': 'Bearer no'}, 401), ({'authorization': 'Bearer open-sesame'}, 200)):
                self.assertEqual(client.request('GET', '/stats', headers, host=f'127.0.0.1:{admin}').status, status)
        with Client(probes) as client:
            for path in ('/livez', '/readyz', '/startupz'):
                self.assertEqual(client.request('GET', path, host='x').status, 200, path)
            self.assertEqual(client.request('GET', '/stats', host='x').status, 404)

    def test_a_rotated_token_is_asked_for_and_a_broken_file_changes_nothing(self):
        token, admin, probes = self.directory / 'token', free_port(), free_port()
        token.write_text('first')
        daemon = self.world(f'{{listen: "127.0.0.1:{admin}", probes: "127.0.0.1:{probes}", token_file: {token}}}')

        def status(text):
            with Client(admin) as client:
                return client.request('GET', '/stats', {'authorization': f'Bearer {text}'}, host='localhost').status
        self.assertEqual((status('first'), status('second')), (200, 401))
        fresh = self.directory / 'fresh'
        fresh.write_text('second\n')
        fresh.rename(token)
        self.eventually((401, 200), lambda: (status('first'), status('second')))
        for broken, why in (('', 'contains no token'), ('Bearer second', 'contains more than a token')):
            token.write_text(broken)
            self.eventually(True, lambda: why in daemon.log, why)
        token.unlink()
        os.mkfifo(token)
        self.eventually(True, lambda: 'it is not a regular file' in daemon.log, 'a pipe in its place')
        self.assertEqual(status('second'), 200)
        token.unlink()
        token.write_text('third')
        self.eventually(200, lambda: status('third'))


class AccessLog(Case):
    def world(self, telemetry):
        admin, port = free_port(), free_port()
        app = self.origin(lambda r: (500 if r.target == '/bad' else 200, {}, b''))
        self.start('web', f'''version: 1
node: {{service: web}}
admin: {{listen: "127.0.0.1:{admin}"}}
runtime: {{workers: 1, drain: 1s}}
outbound:
  - {{listen: "127.0.0.1:{port}", service: orders}}
services:
  orders: {{endpoints: ["127.0.0.1:{app.port}"], mtls: disabled}}
telemetry: {telemetry}
''', admin)
        return port

    def test_text(self):
        path = self.directory / 'text.log'
        port = self.world(f'{{access_log: {{format: text, path: {path}}}}}')
        fetch(port, '/hello')
        self.eventually(1, lambda: len(path.read_text().splitlines()) if path.exists() else 0)
        line = path.read_text()
        for word in ('GET', '/hello', '200', 'orders'):
            self.assertIn(word, line)

    def test_sampling_keeps_errors(self):
        path = self.directory / 'sampled.log'
        port = self.world(f'{{access_log: {{format: json, path: {path}, sample: 0%, always: [errors]}}}}')
        with Client(port) as client:
            for target in ('/good', '/bad') * 5:
                client.request('GET', target)
        self.eventually(5, lambda: len(path.read_text().splitlines()) if path.exists() else 0)
        self.assertEqual({json.loads(line)['status'] for line in path.read_text().splitlines()}, {500})

    def test_a_full_disk_slows_nobody(self):
        """No call fails, nine out of ten are fast, and every lost line is counted."""
        port = self.world('{access_log: {format: json, path: /dev/full}}')
        taken = []
        with Client(port) as client:
            for _ in range(500):
                begun = time.monotonic()
                self.assertEqual(client.request('GET', '/').status, 200)
                taken.append(time.monotonic() - begun)
        self.assertLess(sorted(taken)[450], 0.05)
        self.eventually(500, lambda: self.daemons[-1].metric('outrigger_access_log_dropped_lines_total'), 'lines that were dropped')

    def test_a_log_nobody_reads_slows_nobody(self):
        """A full pipe blocks its writer indefinitely; lines that no longer fit are dropped and counted."""
        path = self.directory / 'pipe'
        os.mkfifo(path)
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, reader)
        port = self.world(f'{{access_log: {{format: json, path: {path}}}}}')
        taken = []
        with Client(port) as client:
            for _ in range(4000):
                begun = time.monotonic()
                self.assertEqual(client.request('GET', '/' + 'x' * 1000).status, 200)
                taken.append(time.monotonic() - begun)
        self.assertLess(sorted(taken)[3600], 0.05)
        self.eventually(True, lambda: self.daemons[-1].metric('outrigger_access_log_dropped_lines_total') > 0, 'lines are dropped')

    def test_to_standard_output(self):
        port = self.world('{access_log: {format: json, path: stdout}}')
        fetch(port, '/said-aloud')
        self.eventually(True, lambda: '/said-aloud' in self.daemons[-1].log)


if __name__ == '__main__':
    main()
