"""Runs what README and the pages show: their commands, YAML blocks, admin paths, curl examples, metrics.

A YAML block that is part of a configuration is completed by `version: 1` and a node. One that is not a
configuration follows a comment that says what it is: <!-- endpoints file -->.
"""
import json
import os
import re
import stat
import subprocess
import sys
import threading
from pathlib import Path

import raw_h2
from harness import BINARY, ROOT, Case, Client, Pki, Process, fetch, free_port, listening, main, parse_exposition, run_outrigger, wait_for

PAGES = [ROOT / 'README.md', *sorted((ROOT / 'docs').glob('*.md'))]
WITH_OUTRIGGER = {**os.environ, 'PATH': f'{Path(BINARY).resolve().parent}:{os.environ["PATH"]}'}


def page(name):
    return (ROOT / 'docs' / name).read_text()


def block(text, containing, language=r'\w*'):
    """The only fenced block that contains this."""
    found = [body for body in re.findall(rf'^ *```{language}\n(.*?)^ *```', text, re.S | re.M) if containing in body]
    assert len(found) == 1, f'{len(found)} blocks with {containing!r}'
    return found[0]


def shell(script, options='-ec', **how):
    return subprocess.run(['bash', options, script], capture_output=True, text=True, timeout=120, **how)


class Readme(Case):
    def test_its_commands_can_be_pasted_in_order(self):
        text = (ROOT / 'README.md').read_text()
        script = block(text, 'cert issue', 'sh')
        first, path, rest = script.split('\n', 2)
        self.assertEqual(first, './dev build outrigger')
        self.assertIn('build/release/bin', path)
        ports = {port: str(free_port()) for port in sorted(set(re.findall(r'127\.0\.0\.1:(1\d{4}|9001)', rest)) | {'18080'})}
        # The second one's default admin port is set explicitly here, so that tests can run in parallel.
        rest = rest.replace('node: web\n', 'node: web\nadmin: 127.0.0.1:15000\n')
        for port, free in ports.items():
            rest = re.sub(rf'\b{port}\b', free, rest)
        rest = rest.replace('/tmp/try', str(self.directory / 'try'))
        run = shell(rest, '-emc', env=WITH_OUTRIGGER)  # with jobs, as at a prompt
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        for shown in ('LIVE', 'hello', 'outrigger_requests_total', 'status="200"'):
            self.assertIn(shown, run.stdout)

    def test_the_mistake_it_shows_looks_so(self):
        text = (ROOT / 'README.md').read_text()
        shown = re.search(r'```\n(web\.yaml:9:.*?)```', text, re.S).group(1)
        sample = re.search(r'```yaml\n(.*?)```', text, re.S).group(1)
        wrong = sample.replace('retry: 2', 'mtls: disabled, retires: 2')
        (self.directory / 'web.yaml').write_text(wrong)
        done = subprocess.run([Path(BINARY).resolve(), 'validate', 'web.yaml'], cwd=self.directory, capture_output=True, text=True, timeout=60)
        self.assertIn(shown, done.stderr)


class Yaml(Case):
    def test_every_block_is_what_it_says(self):
        run_outrigger('cert', 'ca', '--trust-domain', 'example.org', '--out', str(self.directory), check=True)
        run_outrigger('cert', 'issue', '--ca', str(self.directory), '--out', str(self.directory), 'web', check=True)
        endpoints = self.directory / 'endpoints.yaml'
        (self.directory / 'conf.d').mkdir()
        (self.directory / 'conf.d/orders.yaml').write_text('services: {orders: {endpoints: ["10.0.0.7:15006"], mtls: disabled}}\n')
        blocks = [(page.name, before.rstrip().endswith('<!-- endpoints file -->'), body) for page in PAGES
                  for before, body in re.findall(r'((?:<!--[^\n]*-->\n+)?)```yaml\n(.*?)```', page.read_text(), re.S)]
        self.assertGreater(len(blocks), 10)
        endpoints.write_text('{}\n')
        for name_of_page, is_list, body in blocks:
            if is_list:
                endpoints.write_text(body)
                body = 'registries: {r: {type: file, path: endpoints.yaml}}\ndefaults: {mtls: disabled}\nservices: {orders: {registry: r}}\n'
            if 'version:' not in body:
                body = 'version: 1\n' + ('' if re.search(r'^node:', body, re.M) else 'node: web\n') + body
            for name in ('tls.crt', 'tls.key', 'ca.crt'):
                body = re.sub(rf'[\w./-]*\b{name}', str(self.directory / name), body)
            token = self.directory / 'admin-token'
            token.write_text('a-token-that-is-long-enough-for-anybody\n')
            token.chmod(0o600)
            body = re.sub(r'[\w./-]*\badmin-token', str(token), body)
            path = self.directory / 'page.yaml'
            path.write_text(body)
            done = run_outrigger('validate', str(path))
            self.assertEqual(done.returncode, 0, f'{name_of_page}:\n{body}\n{done.stderr}')


class Commands(Case):
    """Every command line and option of the program that the pages, --help and the man page show."""

    def setUp(self):
        super().setUp()
        self.used = set()

    def run_here(self, *arguments, code=0):
        self.used |= {a.split('=')[0] for a in arguments if a.startswith('-')} | set(arguments[:2])
        done = subprocess.run([Path(BINARY).resolve(), *arguments], cwd=self.directory, capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, code, f'{arguments}: {done.stderr}{done.stdout}')
        return done

    def test_every_command_and_option_does_what_its_help_says(self):
        self.run_here('cert', 'ca', '--trust-domain', 'example.org', '--out', 'ca', '--days', '10')
        self.assertIn('--force', self.run_here('cert', 'ca', '--trust-domain', 'example.org', '--out', 'ca', code=1).stderr)
        first = (self.directory / 'ca/ca.crt').read_text()
        self.run_here('cert', 'ca', '--trust-domain', 'example.org', '--out', 'ca', '--days', '10', '--force')
        self.assertNotEqual(first, (self.directory / 'ca/ca.crt').read_text())
        self.run_here('cert', 'issue', '--ca', 'ca', '--out', 'web', '--days', '3', '--dns', 'web.example.org', '--', 'web')
        self.run_here('cert', 'issue', '--ca', 'ca', '--out', 'web', 'web', code=1)
        self.run_here('cert', 'issue', '--ca', 'ca', '--out', 'web', '--dns', 'web.example.org', '--days', '3', '--force',
                      'spiffe://example.org/shop/web')
        shown = subprocess.run(['openssl', 'x509', '-in', self.directory / 'web/tls.crt', '-noout', '-text'], capture_output=True,
                               text=True, check=True, timeout=60).stdout
        self.assertIn('URI:spiffe://example.org/shop/web', shown)
        self.assertIn('DNS:web.example.org', shown)
        in_days = lambda days: subprocess.run(['openssl', 'x509', '-in', self.directory / 'web/tls.crt', '-noout', '-checkend',
                                               str(days * 86400)], capture_output=True, timeout=60).returncode == 0
        self.assertEqual((in_days(2), in_days(4)), (True, False))

        admin, port, path = free_port(), free_port(), self.directory / 'web.yaml'
        path.write_text(f'version: 1\nnode: web\nadmin: 127.0.0.1:{admin}\nruntime: {{drain_min: 0s}}\ndefaults: {{mtls: disabled}}\n'
                        f'outbound: [{{listen: "127.0.0.1:{port}", service: orders}}]\nservices: {{orders: {{endpoints: ["127.0.0.1:9"]}}}}\n')
        self.assertEqual(self.run_here('validate', 'web.yaml').stderr.count('error'), 0)
        (self.directory / 'wrong.yaml').write_text('version: 1\nnode: web\nnods: web\n')
        report = json.loads(self.run_here('validate', '--format', 'json', 'wrong.yaml', code=1).stdout)
        self.assertIn('nods', json.dumps(report))
        self.assertIn('wrong.yaml:3:1: error', self.run_here('validate', '--format', 'text', 'wrong.yaml', code=1).stderr)
        for option in ('-c', '--config'):
            daemon = Process([BINARY, 'run', option, path], self.directory / 'web.log')
            self.addCleanup(daemon.stop)
            wait_for('the port', lambda: listening(port))
            self.assertEqual(daemon.stop(), 0, daemon.log)
            self.used |= {'run', option}
        self.assertIn('services', self.run_here('explain').stdout)
        self.assertIn('max', self.run_here('explain', 'services.NAME.retry').stdout)
        self.assertIn('$schema', json.loads(self.run_here('schema').stdout))
        self.assertRegex(self.run_here('--version').stdout, r'^outrigger \d+\.\d+\.\d+')
        self.assertRegex(self.run_here('version').stdout, r'^outrigger \d+\.\d+\.\d+ \(commit ')
        for name in ('bash', 'zsh', 'fish'):
            self.assertIn('outrigger', self.run_here('completion', name).stdout)

        shown = set()
        commands = re.findall(r'^ {2}(\w+) ', self.run_here('--help').stdout.split('Subcommands:')[1], re.M)
        subcommands = re.findall(r'^ {2}(\w+) ', self.run_here('cert', '--help').stdout.split('Subcommands:')[1], re.M)
        for words in [[]] + [[c] for c in commands] + [['cert', c] for c in subcommands]:
            shown |= set(words)
            options = run_outrigger(*words, '--help').stdout.split('Options:')[1].split('Subcommands:')[0]
            shown |= set(re.findall(r'^ +(?:(?:-\w),)?(--[\w-]+)', options, re.M))
        self.assertGreater(len(shown), 15)
        self.assertEqual(shown - self.used, set(), 'in --help, and run by nothing here')

    def test_the_development_ca_of_the_security_page(self):
        run = shell(block(page('security.md'), 'outrigger cert ca', 'sh'), cwd=self.directory, env=WITH_OUTRIGGER)
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        self.assertEqual(run.stderr.count('identity: {cert: '), 2, 'a line for the configuration of each')
        for key in ('ca/ca.key', 'orders/tls.key', 'web/tls.key'):
            self.assertEqual(stat.S_IMODE((self.directory / key).stat().st_mode), 0o600, key)
        for certificate, below, above in (('ca/ca.crt', 3649, 3651), ('web/tls.crt', 89, 91)):
            for days, valid in ((below, 0), (above, 1)):
                done = subprocess.run(['openssl', 'x509', '-in', self.directory / certificate, '-noout', '-checkend', str(days * 86400)],
                                      capture_output=True, timeout=60)
                self.assertEqual(done.returncode, valid, (certificate, days))
        shown = subprocess.run(['openssl', 'x509', '-in', self.directory / 'orders/tls.crt', '-noout', '-text'], capture_output=True,
                               text=True, check=True, timeout=60).stdout
        self.assertIn('prime256v1', shown)
        self.assertIn('URI:spiffe://example.org/orders', shown)

    def test_the_mistake_that_the_configuration_page_shows_looks_so(self):
        command, shown = block(page('configuration.md'), '$ outrigger validate').split('\n', 1)
        number = int(re.match(r'web\.yaml:(\d+):', shown).group(1))
        rest = 'version: 1\nnode: web\ndefaults: {mtls: disabled}\nservices:\n  orders:\n    endpoints: ["10.0.0.7:8080"]\n'
        wrong = '#\n' * (number - 1 - rest.count('\n')) + rest + re.search(r'\| (.*)', shown).group(1) + '\n'
        (self.directory / 'web.yaml').write_text(wrong)
        run = shell(command.removeprefix('$ '), cwd=self.directory, env=WITH_OUTRIGGER)
        self.assertEqual(run.returncode, 1)
        self.assertIn(shown, run.stderr)

    def test_the_commands_within_the_text_succeed(self):
        found = {line for path in PAGES for line in re.findall(r'`(outrigger (?:explain|schema|version|completion)[^`\n]*)`', path.read_text())}
        self.assertIn('outrigger explain services.NAME.retry', found)
        for line in sorted(found):
            self.assertEqual(shell(line, env=WITH_OUTRIGGER).returncode, 0, line)

    def test_one_end_to_end_test_is_run_as_the_development_page_says(self):
        line = block(page('development.md'), 'cd tests/e2e', 'sh').strip()
        line, found = re.subn(r'OUTRIGGER=\S+', f'OUTRIGGER={Path(BINARY).resolve()}', line)
        self.assertEqual(found, 1)
        run = shell(line, cwd=ROOT)
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertIn('Ran 1 test', run.stderr)

    def test_the_example_test_of_the_development_page_passes(self):
        body = re.sub('^  ', '', block(page('development.md'), 'class Example', 'python'), flags=re.M)
        path = self.directory / 'test_example.py'
        path.write_text(f'import sys\nsys.path.insert(0, {str(ROOT / "tests/e2e")!r})\nfrom harness import Case, fetch, main\n{body}\nmain()\n')
        run = subprocess.run([sys.executable, path], capture_output=True, text=True, timeout=120)
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertIn('Ran 1 test', run.stderr)


class AdminPage(Case):
    """docs/admin.md against running daemons: its list, its examples, its probes."""

    def setUp(self):
        super().setUp()
        self.app = self.origin()
        self.daemon = self.plain([self.app])
        self.assertEqual(fetch(self.daemon.port).status, 200)

    def test_every_path_of_the_list_answers_as_it_says(self):
        d = self.daemon
        listed = re.findall(r'^(GET|POST) +(/\S*) +(.*)$', block(page('admin.md'), 'GET  /help'), re.M)

        def levels(level):
            for line in (lines := d.post('/logging')[2].splitlines()):
                self.assertIn(level, line)
            self.assertGreater(len(lines), 5)

        def logging():
            d.post('/logging?level=debug')
            levels('debug')
            self.assertRegex(d.post('/logging?net=info')[2], r'(?m)^\W*net\W+info')
            self.assertRegex(d.post('/logging')[2], r'(?m)^\W*http\W+debug')

        def drain_listeners():
            with Client(d.port) as client:
                self.assertEqual(client.request('GET', '/').status, 200)
                self.assertEqual(d.post('/drain_listeners')[0], 200)
                self.eventually(False, lambda: listening(d.port))
                self.assertEqual(client.request('GET', '/').status, 200)
            self.assertTrue(d.running())

        def fail(page, status):
            self.assertEqual(d.post(page)[0], 200)
            self.assertEqual(d.get('/ready')[0], status)

        def reset_counters():
            total = lambda: d.metric('outrigger_requests_total')
            before = total()
            self.assertGreater(before, 0)
            self.assertEqual(d.post('/reset_counters')[0], 200)
            # A series from before the reset is 0 in /stats, and continues for Prometheus.
            self.assertEqual({float(v) for v in re.findall(r'requests_total\{.*\}: (\S+)', d.get('/stats?filter=requests_total')[2])} - {0}, set())
            self.assertEqual(total(), before)

        def quit_():
            self.assertEqual(d.post('/quitquitquit')[0], 200)
            self.assertEqual(d.process.wait(20), 0)

        def stats():
            everything = d.get('/stats')[2].splitlines()
            some = d.get('/stats?filter=requests_total')[2].splitlines()
            self.assertTrue(some)
            self.assertLess(len(some), len(everything))
            self.assertTrue(json.loads(d.get('/stats?format=json')[2]))
            self.assertIn('# TYPE outrigger_requests_total counter', d.get('/stats?format=prometheus')[2])

        def both(path, text, key):
            self.assertIn(text, d.get(path)[2])
            self.assertIn(key, d.json(f'{path}?format=json'))

        checks = {
            'GET /': lambda: self.assertIn('<li><a href="/help">', d.get('/')[2]),
            'GET /certs': lambda: self.assertIn('certificates', d.json('/certs')),
            'GET /clusters': lambda: both('/clusters', 'orders', 'cluster_statuses'),
            'GET /config_dump': lambda: self.assertIn('orders', json.dumps(d.json('/config_dump'))),
            'GET /help': lambda: self.assertEqual(d.get('/help')[2], block(page('admin.md'), 'GET  /help')),
            'GET /listeners': lambda: both('/listeners', f'127.0.0.1:{d.port}', 'listener_statuses'),
            'GET /memory': lambda: self.assertGreater(len(d.json('/memory')), 0),
            'GET /ready': lambda: self.assertEqual(d.get('/ready')[::2], (200, 'LIVE\n')),
            'GET /server_info': lambda: self.assertLessEqual({'version', 'state', 'uptime_current_epoch', 'node'}, d.json('/server_info').keys()),
            'GET /stats': stats,
            'GET /stats/prometheus': lambda: self.assertTrue(
                d.get('/stats/prometheus', {'Accept': 'application/openmetrics-text; version=1.0.0'})[2].endswith('# EOF\n')),
            'POST /logging': logging,
            'POST /reset_counters': reset_counters,
            'POST /healthcheck/fail': lambda: fail('/healthcheck/fail', 503),
            'POST /healthcheck/ok': lambda: fail('/healthcheck/ok', 200),
            'POST /drain_listeners': drain_listeners,
            'POST /quitquitquit': quit_,
        }
        self.assertEqual({f'{method} {path}' for method, path, _ in listed}, checks.keys())
        for name, check in checks.items():  # the last ones end it
            with self.subTest(page=name):
                check()

    def test_its_curl_examples_answer_as_documented(self):
        socket, token = self.directory / 'admin.sock', self.directory / 'admin-token'
        token.write_text('a-token-that-is-long-enough-for-anybody\n')
        token.chmod(0o600)
        probes, far = free_port(), free_port()
        common = 'version: 1\nnode: web\nruntime: {workers: 1, drain: 1s, drain_min: 0s}\n'
        # The page's block, except for its addresses and path; `listen` is what needs the token.
        shown = block(page('admin.md'), 'token_file:', 'yaml')
        for old, new in (('127.0.0.1:15000 ', f'0.0.0.0:{far} '), ('0.0.0.0:15021', f'127.0.0.1:{probes}'), ('/run/secrets/admin-token', str(token))):
            self.assertIn(old, shown)
            shown = shown.replace(old, new)
        for name, admin in (('local', f'admin: "unix:{socket}"\n'), ('far', shown)):
            (self.directory / f'{name}.yaml').write_text(common + admin)
            self.addCleanup(Process([BINARY, 'run', '-c', self.directory / f'{name}.yaml'], self.directory / f'{name}.log').stop)
        wait_for('the socket', socket.exists)
        wait_for('the ports', lambda: listening(far) and listening(probes))

        def ready(body):
            self.assertEqual(body, 'LIVE\n')

        def lines(body):
            self.assertTrue(body)
            for line in body.splitlines():
                self.assertRegex(line, r'^outrigger_requests_total\{.*\}: \d+$')

        def clusters(body):
            self.assertEqual([c['name'] for c in json.loads(body)['cluster_statuses']], ['orders'])

        def debug(body):
            self.assertEqual({line.split()[-1] for line in body.splitlines() if line.strip()}, {'debug'})

        def two_rooms(body):
            self.assertRegex(body, r'(?m)^\W*tls\W+debug')
            self.assertRegex(body, r'(?m)^\W*net\W+info')

        def failed(_):
            self.assertEqual(self.daemon.get('/ready')[0], 503)
            self.assertEqual(fetch(self.daemon.port).status, 200)

        expected = {
            '/ready': ready, '/stats?filter=requests_total': lines, '/clusters?format=json': clusters, '/logging?level=debug': debug,
            '/logging?tls=debug&net=info': two_rooms, '/healthcheck/fail': failed,
            '/server_info': lambda body: self.assertEqual(json.loads(body)['state'], 'LIVE'),
            '/stats': lambda body: self.assertIn('outrigger_ready', body),
        }
        seen = set()
        for line in block(page('admin.md'), 'curl ').splitlines():
            self.assertTrue(line.startswith('curl '), line)
            path = re.search(r"(?:localhost(?::15000)?|10\.0\.0\.7:15000)(/[^'\s]*)", line).group(1)
            seen.add(path)
            line = (line.replace('localhost:15000', f'localhost:{self.daemon.admin}').replace('10.0.0.7:15000', f'127.0.0.1:{far}')
                    .replace('/run/outrigger/admin.sock', str(socket)).replace('/run/secrets/admin-token', str(token)))
            line = line.replace('curl ', "curl -sS --noproxy '*' -w '%{stderr}%{http_code}' ", 1)
            with self.subTest(line=line):
                run = shell(line)
                self.assertEqual((run.returncode, run.stderr), (0, '200'), run.stdout)
                expected[path](run.stdout)
        self.assertEqual(seen, expected.keys())
        self.assertEqual(fetch(far, '/stats', host=f'127.0.0.1:{far}').status, 401)
        for path in re.findall(r'/\w+z\b', page('admin.md').split('## Probes')[1]):
            self.assertEqual(fetch(probes, path, host='x').status, 200, path)
        self.assertEqual(fetch(probes, '/stats', host='x').status, 404)


class Metrics(Case):
    """docs/metrics.md: each of its families is provoked here, and has a value other than 0 in a scrape."""

    # These indicate a fault of the machine; unit tests provoke what they count.
    ZERO = {'outrigger_log_dropped_lines_total'}

    def test_every_family_is_reached_by_a_scrape(self):
        listed = set(re.findall(r'^\| `((?:outrigger|process)_\w+)` \|', page('metrics.md'), re.M))
        self.assertGreater(len(listed), 50)
        self.make_world()
        caller, callee, ports = self.caller_, self.callee_, self.ports
        daemons, exported, reached = [caller, callee], set(), set()

        def scrape():
            for daemon in daemons:
                text = daemon.get('/stats/prometheus')[2]
                families = set(re.findall(r'^# TYPE (\w+) ', text, re.M))
                exported.update(families)
                for name, _, value in parse_exposition(text):
                    if value:
                        reached.add(name if name in families else re.sub('_(bucket|count|sum)$', '', name))

        # Calls that succeed, one that is held, one that waits behind it, and one that is refused.
        for method in ('GET', 'POST'):
            self.assertEqual(fetch(ports['orders'], method=method, body=b'x' * 100).status, 200)
        held = [self.client(ports['narrow']) for _ in range(2)]
        for client, gauge in zip(held, ('outrigger_requests_active', 'outrigger_pool_pending')):
            client.send(b'GET /held HTTP/1.1\r\nhost: narrow\r\n\r\n')
            self.eventually(1, lambda: caller.metric(gauge, service='narrow'), gauge)
        self.assertEqual(fetch(ports['narrow']).status, 503)
        scrape()
        self.released.set()
        self.assertEqual([client.read().status for client in held], [200, 200])
        # An endpoint that fails: retries, an exhausted budget, a body too large to be kept.
        clients = [self.client(ports['failing']) for _ in range(5)]
        for client in clients:
            client.send(b'GET / HTTP/1.1\r\nhost: failing\r\n\r\n')
        self.eventually(True, lambda: caller.metric('outrigger_upstream_retry_budget_exhausted_total') > 0, 'a retry that the budget refuses')
        self.retried.set()
        self.assertEqual({client.read().status for client in clients}, {503})
        self.assertEqual(fetch(ports['failing'], method='PUT', body=b'x' * 4096).status, 503)
        # Callers that violate HTTP/1: a malformed head, one too large, a twin of a significant name, no HTTP at all.
        self.assertEqual(fetch(callee.port, headers={'x_forwarded_for': '1.2.3.4'}).status, 200)
        self.assertEqual(fetch(callee.port, headers={'x-large': 'x' * 10_000}).status, 431)
        for junk in (b'GET /\x01 HTTP/1.1\r\n\r\n', b'\x00\x01\x02 no words of HTTP\r\n'):
            with self.client(callee.port) as client:
                client.send(junk)
                client.stream.rest()
        # Callers that violate HTTP/2: resets, odd frames, a flood; an endpoint that is silent.
        peer = raw_h2.connect(callee.port)
        peer.send(raw_h2.request(1, flags=raw_h2.END_HEADERS) + raw_h2.rst_stream(1) + raw_h2.window_update(1, 1))
        self.assertTrue(peer.alive(20))
        peer.send(raw_h2.ping() * 2000)
        self.assertTrue(peer.until(lambda: peer.goaway_code() is not None, 20))
        peer.close()
        self.assertIn(fetch(ports['silent']).status, (502, 503, 504))
        # A stream whose client opens no window for longer than write_timeout.
        stalled = raw_h2.connect(ports['orders'])
        stalled.send(raw_h2.settings((raw_h2.INITIAL_WINDOW_SIZE, 0)) + raw_h2.request(1, raw_h2.request_block(path=b'/large')))
        self.assertTrue(stalled.until(lambda: stalled.count(raw_h2.RST_STREAM) == 1, 20))
        stalled.close()
        # A client that opens too many streams before it knows the limit.
        crowd = raw_h2.connect(callee.port, preface=False)
        crowd.send(raw_h2.MAGIC + raw_h2.settings() + b''.join(raw_h2.request(1 + 2 * i, flags=raw_h2.END_HEADERS) for i in range(1_100)))
        self.assertTrue(crowd.until(lambda: crowd.count(raw_h2.RST_STREAM) >= 1, 20))
        crowd.close()
        # A client that does not read a large response.
        idle = self.client(ports['orders'])
        idle.send(b'GET /large HTTP/1.1\r\nhost: orders\r\n\r\n')
        self.eventually(True, lambda: caller.metric('outrigger_buffer_bytes') > 0, 'bytes are held')
        # A process with no room for more series and connections; CPU time is counted in hundredths of a second.
        admin, port = free_port(), free_port()
        daemons.append(self.start('few', 'version: 1\nnode: few\ntelemetry: {prometheus: {max_series: 100}}\ndefaults: {mtls: disabled}\n'
                                  f'runtime: {{workers: 1, connections: 1, drain: 1s, drain_min: 0s}}\noutbound: [{{listen: "127.0.0.1:{port}", service: s0}}]\n'
                                  f'admin: 127.0.0.1:{admin}\nservices:\n' + ''.join(
                                      f'  s{i}: {{endpoints: ["127.0.0.1:9"]}}\n' for i in range(100)), admin))
        crowd = [self.client(port) for _ in range(3)]
        self.eventually(2, lambda: daemons[-1].metric('outrigger_connections_refused_total', direction='outbound'), 'refused connections')
        self.assertEqual(crowd[-1].stream.rest(), b'')
        self.eventually(1, lambda: daemons[-1].log.count('refused a connection: as many are open as runtime.connections allows'), 'a warning for both')
        wait_for('CPU time', lambda: caller.metric('process_cpu_seconds_total'))
        scrape()
        self.assertEqual(exported - listed, set(), 'exported and not on the page')
        self.assertEqual(listed - exported, set(), 'on the page and never exported')
        self.assertEqual(listed - reached, self.ZERO, 'on the page and never other than 0')

    def make_world(self):
        pki, self.released, admin = Pki(self.directory / 'pki'), threading.Event(), free_port()
        self.addCleanup(self.released.set)

        def answer(request):
            if request.target == '/held':
                self.released.wait(20)
            return 200, {}, b'x' * (32 << 20) if request.target == '/large' else request.body
        app = self.origin(answer)
        # Second tries are held, so that they exhaust the budget.
        self.retried, seen = threading.Event(), set()
        self.addCleanup(self.retried.set)

        def fail(request):
            again = request.header('x-request-id') in seen
            seen.add(request.header('x-request-id'))
            if again:
                self.retried.wait(20)
            return b'HTTP/1.1 503 X\r\ncontent-length: 0\r\n\r\nand more than was announced' if request.method == 'PUT' else (503, {}, b'')
        failing = self.origin(fail)
        silent = self.endpoint(lambda connection: self.over.wait(20))
        self.over = threading.Event()
        self.addCleanup(self.over.set)
        self.callee_ = self.callee(app.port, pki, options='mtls: permissive')
        self.ports = {name: free_port() for name in ('orders', 'failing', 'narrow', 'silent')}
        outbound = ''.join(f'  - {{name: {n}, listen: "127.0.0.1:{p}", service: {n}}}\n' for n, p in self.ports.items())
        self.caller_ = self.start('web', f'''version: 1
node: web
admin: 127.0.0.1:{admin}
runtime: {{workers: 1, drain: 1s, drain_min: 0s, write_timeout: 2s}}
{pki.identity('web')}telemetry: {{prometheus: {{per_endpoint: true}}, access_log: {{path: /dev/full}}}}
outbound:
{outbound}services:
  orders: {{endpoints: ["127.0.0.1:{self.callee_.port}"]}}
  failing: {{endpoints: ["127.0.0.1:{failing.port}"], mtls: disabled, retry: {{max: 2, retry_on: [5xx], budget: 1%, body_max: 1KiB, backoff: 1ms..2ms}}}}
  narrow: {{endpoints: ["127.0.0.1:{app.port}"], mtls: disabled, breaker: {{connections: 1, pending: 1}}}}
  silent: {{endpoints: ["127.0.0.1:{silent.port}"], mtls: disabled, wire: http2, http2_ping: {{after: 1s, timeout: 1s}}}}
''', admin)


if __name__ == '__main__':
    main()
