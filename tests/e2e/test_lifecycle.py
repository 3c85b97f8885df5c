"""Start, drain, signals, and the reasons for not starting at all."""
import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest
from pathlib import Path

from harness import BINARY, PATIENCE, SANITIZER, Case, Client, Outrigger, Pki, Threads, fetch, free_port, head, listening, main, run_outrigger, wait_for

INSIDE = 'OUTRIGGER_TEST_RESOLVERS'  # set inside the namespaces that a test creates


def listener_states(sidecar):
    return {entry['direction']: entry['state'] for entry in sidecar.json('/listeners?format=json')['listener_statuses']}


class Drain(Case):
    def test_a_request_in_flight_is_finished(self):
        upstream = self.origin(lambda r: (time.sleep(1.0), (200, {}, b'done'))[1])
        sidecar = self.plain([upstream], drain='20s')
        client = self.client(sidecar.port)
        client.send(b'GET / HTTP/1.1\r\nhost: orders\r\n\r\n')
        self.eventually(1, lambda: len(upstream.requests), 'requests at the origin')
        sidecar.send_signal(signal.SIGTERM)
        answer = client.read()
        self.assertEqual((answer.status, answer.body), (200, b'done'))
        self.assertEqual((answer.header('connection') or '').lower(), 'close')
        begun = time.monotonic()
        self.assertEqual(sidecar.process.wait(PATIENCE), 0)
        self.assertLess(time.monotonic() - begun, 3, 'an idle daemon does not wait for the end of the drain')

    def end_beside_its_app(self, drain, least):
        upstream = self.origin()
        port, admin = free_port(), free_port()
        sidecar = self.start('web', f'''version: 1
node: {{service: web}}
admin: {{listen: "127.0.0.1:{admin}"}}
runtime: {{workers: 2, drain: {drain}, drain_min: {least}}}
telemetry: {{access_log: none}}
outbound:
  - {{listen: "127.0.0.1:{port}", service: orders}}
services:
  orders: {{endpoints: ["127.0.0.1:{upstream.port}"], mtls: disabled}}
''', admin)
        sidecar.port = port
        return sidecar

    def test_an_app_that_holds_no_connection_can_still_call_out_after_sigterm(self):
        sidecar = self.end_beside_its_app('20s', '3s')
        begun = time.monotonic()
        sidecar.send_signal(signal.SIGTERM)
        self.eventually(503, lambda: sidecar.get('/ready')[0], '/ready while draining')
        while time.monotonic() - begun < 2:
            self.assertEqual(fetch(sidecar.port).status, 200)
        self.assertEqual(sidecar.process.wait(PATIENCE), 0)
        self.assertTrue(3 <= time.monotonic() - begun < 8)

    def test_drain_min_is_half_of_drain_at_most(self):
        sidecar = self.end_beside_its_app('8s', '60s')
        begun = time.monotonic()
        sidecar.send_signal(signal.SIGTERM)
        self.assertEqual(sidecar.process.wait(PATIENCE), 0)
        self.assertTrue(3.9 < time.monotonic() - begun < 7)

    def test_an_app_that_holds_a_connection_is_served_until_it_lets_go(self):
        sidecar = self.end_beside_its_app('40s', '1s')
        client = self.client(sidecar.port)
        self.assertEqual(client.request('GET', '/').status, 200)
        begun = time.monotonic()
        sidecar.send_signal(signal.SIGTERM)
        while time.monotonic() - begun < 4:  # idle: it only shows that the app is there
            self.assertTrue(sidecar.running())
            time.sleep(0.1)
        self.assertEqual(client.request('GET', '/').status, 200)
        self.assertEqual(fetch(sidecar.port).status, 200)
        client.close()
        self.assertEqual(sidecar.process.wait(PATIENCE), 0)
        self.assertLess(time.monotonic() - begun, 20)

    def test_a_drain_closes_inbound_ports_at_half_time_and_the_apps_connections_at_nine_tenths(self):
        upstream = self.origin()
        inbound, outbound, admin = free_port(), free_port(), free_port()
        sidecar = self.start('web', f'''version: 1
node: web
admin: 127.0.0.1:{admin}
runtime: {{drain: 15s, drain_min: 0s}}
telemetry: {{access_log: none}}
inbound:
  - {{listen: 127.0.0.1:{inbound}, app: 127.0.0.1:{upstream.port}, mtls: disabled}}
outbound:
  - {{listen: 127.0.0.1:{outbound}, service: orders}}
services:
  orders: {{endpoints: ["127.0.0.1:{upstream.port}"], mtls: disabled}}
''', admin)
        app = self.client(outbound)
        self.assertEqual(app.request('GET', '/').status, 200)
        begun = time.monotonic()
        sidecar.send_signal(signal.SIGTERM)
        self.eventually(503, lambda: sidecar.get('/ready')[0], '/ready while draining')
        self.assertEqual(listener_states(sidecar), {'inbound': 'listening', 'outbound': 'listening', 'admin': 'listening'})
        self.eventually(False, lambda: listening(inbound), 'the inbound port')
        self.eventually({'inbound': 'closed', 'outbound': 'listening', 'admin': 'listening'}, lambda: listener_states(sidecar))
        self.assertTrue(7 < time.monotonic() - begun < 9)
        self.assertEqual(fetch(outbound).status, 200)
        self.assertFalse(app.stream.more(), 'the idle connection that showed that the app is there is closed')
        self.assertTrue(13 < time.monotonic() - begun < 14.9)  # a second later than nine tenths: a request may be on its way
        self.assertEqual(sidecar.process.wait(PATIENCE), 0)
        self.assertLess(time.monotonic() - begun, 17)

    def test_readiness_goes_off_first(self):
        upstream = self.origin(lambda r: (time.sleep(1.5), (200, {}, b'done'))[1])
        sidecar = self.plain([upstream], drain='20s')
        client = self.client(sidecar.port)
        client.send(b'GET / HTTP/1.1\r\nhost: orders\r\n\r\n')
        self.eventually(1, lambda: len(upstream.requests), 'requests at the origin')
        sidecar.send_signal(signal.SIGTERM)
        self.eventually(503, lambda: sidecar.get('/ready')[0], '/ready while draining')
        self.assertEqual(client.read().status, 200)
        self.assertEqual(sidecar.process.wait(PATIENCE), 0)

    def test_the_drain_has_an_end(self):
        upstream = self.origin(lambda r: (time.sleep(30), (200, {}, b'late'))[1])
        sidecar = self.plain([upstream], drain='1s')
        client = self.client(sidecar.port)
        client.send(b'GET / HTTP/1.1\r\nhost: orders\r\n\r\n')
        self.eventually(1, lambda: len(upstream.requests), 'requests at the origin')
        begun = time.monotonic()
        self.assertEqual(sidecar.stop(), 0)
        self.assertTrue(0.9 < time.monotonic() - begun < (10 if SANITIZER else 3))

    def test_a_second_signal_does_not_wait(self):
        upstream = self.origin(lambda r: (time.sleep(30), (200, {}, b'late'))[1])
        sidecar = self.plain([upstream], drain='60s')
        sidecar.expected_exit = 2
        client = self.client(sidecar.port)
        client.send(b'GET / HTTP/1.1\r\nhost: orders\r\n\r\n')
        self.eventually(1, lambda: len(upstream.requests), 'requests at the origin')
        sidecar.send_signal(signal.SIGTERM)
        self.eventually(503, lambda: sidecar.get('/ready')[0])
        sidecar.send_signal(signal.SIGINT)
        self.assertEqual(sidecar.process.wait(PATIENCE), 2)

    def test_a_second_signal_does_not_wait_for_a_pipe_that_nobody_reads(self):
        upstream, port, admin = self.origin(), free_port(), free_port()
        config = head('web', admin, drain='60s').replace('path: none', 'path: stdout') + (
            f'outbound:\n  - {{listen: "127.0.0.1:{port}", service: orders}}\n'
            f'services:\n  orders: {{endpoints: ["127.0.0.1:{upstream.port}"], mtls: disabled}}\n')
        (self.directory / 'stuck.yaml').write_text(config)
        unread, stuck = os.pipe()
        self.addCleanup(os.close, unread)
        process = subprocess.Popen([BINARY, 'run', '-c', self.directory / 'stuck.yaml'], stdout=stuck, stderr=subprocess.DEVNULL)
        os.close(stuck)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        wait_for('the port', lambda: listening(port))
        with Client(port) as client:
            for _ in range(1000):
                self.assertEqual(client.request('GET', '/').status, 200)
        process.terminate()
        time.sleep(0.5)  # sooner, the second one would be taken for an echo of the first
        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(PATIENCE), 2)
        self.assertLess(time.monotonic() - begun, 2 if SANITIZER else 0.5)  # tsan sleeps for a second before it exits

    def test_the_same_signal_twice_in_a_moment_is_one(self):
        sidecar = self.plain([self.origin()])
        for _ in range(2):  # timeout(1) signals the process and then its group
            sidecar.send_signal(signal.SIGTERM)
        self.assertEqual(sidecar.process.wait(PATIENCE), 0)

    def with_a_list_being_parsed(self, **how):
        """A sidecar whose registry's file has become so large that parsing it takes seconds."""
        registry, fresh = self.directory / 'orders.yaml', self.directory / 'fresh.yaml'
        registry.write_text('services: {orders: ["127.0.0.1:1"]}\n')
        sidecar = self.caller('  orders: {registry: [files], mtls: disabled}\n', extra=f'registries: {{files: {{type: file, path: {registry}}}}}\n', **how)
        threads = Path(f'/proc/{sidecar.pid}/task')

        def cpu_ticks():
            thread, = (t for t in threads.iterdir() if (t / 'comm').read_text() == 'files\n')
            return int((thread / 'stat').read_text().rpartition(')')[2].split()[11])
        fresh.write_text('services:\n  orders:\n' + ''.join(
            f'    - {{address: "10.{i >> 16}.{i >> 8 & 255}.{i & 255}:80", zone: z, labels: {{a: b, c: d}}}}\n' for i in range(170_000)))
        before = cpu_ticks()
        fresh.rename(registry)
        wait_for('the parser', lambda: cpu_ticks() > before + 20)
        return sidecar

    def test_probes_and_the_end_do_not_wait_for_a_parser(self):
        sidecar = self.with_a_list_being_parsed(drain='2s')
        begun = time.monotonic()
        self.assertEqual(sidecar.get('/ready')[0], 200)
        self.assertLess(time.monotonic() - begun, 1)
        self.assertEqual(sidecar.stop(), 0)
        self.assertLess(time.monotonic() - begun, 10 if SANITIZER else 2.5)

    def test_sigquit_does_not_wait_for_requests(self):
        upstream = self.origin(lambda r: (time.sleep(30), (200, {}, b'late'))[1])
        sidecar = self.plain([upstream], drain='60s')
        client = self.client(sidecar.port)
        client.send(b'GET / HTTP/1.1\r\nhost: orders\r\n\r\n')
        self.eventually(1, lambda: len(upstream.requests), 'requests at the origin')
        begun = time.monotonic()
        sidecar.send_signal(signal.SIGQUIT)
        self.assertEqual(sidecar.process.wait(PATIENCE), 0)
        self.assertLess(time.monotonic() - begun, 10 if SANITIZER else 3)

    def test_sigusr1_reopens_the_access_log(self):
        path, rotated = self.directory / 'access.log', self.directory / 'access.log.1'
        sidecar = self.plain([self.origin()], log=path)
        lines = lambda p: len(p.read_text().splitlines()) if p.exists() else 0
        self.assertEqual(fetch(sidecar.port).status, 200)
        self.eventually(1, lambda: lines(path), 'the first line')
        path.rename(rotated)
        sidecar.send_signal(signal.SIGUSR1)
        wait_for('the new file', path.exists)
        self.assertEqual(fetch(sidecar.port).status, 200)
        self.eventually((1, 1), lambda: (lines(rotated), lines(path)), 'lines in the old and in the new file')

    def test_quit_by_the_admin_port(self):
        sidecar = self.plain([self.origin()])
        self.assertEqual(sidecar.post('/quitquitquit')[0], 200)
        self.assertEqual(sidecar.process.wait(PATIENCE), 0)

    def test_listeners_can_be_drained_alone(self):
        upstream = self.origin(lambda r: (time.sleep(1.0), (200, {}, b'done'))[1])
        sidecar = self.plain([upstream])
        client = self.client(sidecar.port)
        client.send(b'GET / HTTP/1.1\r\nhost: orders\r\n\r\n')
        self.eventually(1, lambda: len(upstream.requests), 'requests at the origin')
        self.assertEqual(sidecar.post('/drain_listeners')[0], 200)
        wait_for('the port to be closed', lambda: not listening(sidecar.port))
        self.eventually({'outbound': 'closed', 'admin': 'listening'}, lambda: listener_states(sidecar))
        self.assertNotIn(str(sidecar.port), sidecar.get('/listeners')[2])
        self.assertIn(f'admin::127.0.0.1:{sidecar.admin}\n', sidecar.get('/listeners')[2])
        status, _, body = sidecar.get('/ready')
        self.assertEqual(status, 503, 'nobody is to be sent to a port that is closed')
        self.assertIn('drain_listeners', body)
        answer = client.read()
        self.assertEqual((answer.status, answer.body), (200, b'done'))
        self.assertEqual((answer.header('connection') or '').lower(), 'close')
        self.assertTrue(sidecar.running())

    def test_a_request_that_comes_while_draining_is_served(self):
        """Clients may not know yet: on a new connection, and on an idle one."""
        upstream = self.origin(lambda r: (time.sleep(1.0), (200, {}, r.body))[1])
        sidecar = self.plain([upstream], drain='20s')
        busy, resting = self.client(sidecar.port), self.client(sidecar.port)
        self.assertEqual(resting.request('GET', '/').status, 200)
        busy.send(b'GET / HTTP/1.1\r\nhost: orders\r\n\r\n')
        self.eventually(2, lambda: len(upstream.requests), 'requests at the origin')
        sidecar.send_signal(signal.SIGTERM)
        self.eventually(503, lambda: sidecar.get('/ready')[0], '/ready while draining')
        both = resting, self.client(sidecar.port)
        for client in both:  # neither waits for the other's response: an idle connection is kept for only a second
            client.send(b'POST / HTTP/1.1\r\nhost: orders\r\ncontent-length: 1\r\n\r\nx')
        for client in both:
            answer = client.read()
            self.assertEqual((answer.status, answer.body), (200, b'x'))
            self.assertEqual((answer.header('connection') or '').lower(), 'close')
        self.assertEqual(busy.read().status, 200)
        self.assertEqual(sidecar.process.wait(PATIENCE), 0)

    def test_no_call_fails_while_a_callee_is_replaced(self):
        """Two callees under constant load; each in turn is told to stop, and is started again."""
        pki = Pki(self.directory / 'pki')
        app = self.origin(lambda r: (time.sleep(0.005), (200, {}, r.body))[1])
        callees = [self.callee(app.port, pki, drain='10s'), None]
        second = self.callee_again(callees[0], 'second', free_port())
        callees[1] = second
        caller = self.caller('  orders: {endpoints: [' + ', '.join(f'"127.0.0.1:{c.port}"' for c in callees) + ']}\n',
                             identity=pki.identity('web'), workers=2)
        stop, failures, done = threading.Event(), [], [0]

        def load(method):
            while not stop.is_set():
                with Client(caller.port) as client:
                    for i in range(50):
                        try:
                            answer = client.request(method, '/', body=b'%d' % i)
                        except (OSError, EOFError) as error:
                            failures.append((method, error))
                            break
                        done[0] += 1
                        if answer is None or (answer.status, answer.body) != (200, b'%d' % i):
                            failures.append((method, answer and answer.status, answer and answer.text))
                            break
        threads = Threads(*(lambda m=m: load(m) for m in ('POST', 'PUT', 'POST')))

        def some_calls(count=100):
            enough = done[0] + count
            self.eventually(True, lambda: done[0] >= enough, 'calls go on')
        try:
            some_calls()
            for round_, callee in enumerate(callees):
                self.assertEqual(callee.stop(), 0)
                some_calls()
                self.start(f'again{round_}', callee.config_path.read_text(), callee.admin)
                some_calls()
        finally:
            stop.set()
            threads.join()
        self.assertEqual(failures, [])

    def callee_again(self, first, name, port):
        admin = free_port()
        config = first.config_path.read_text().replace(f':{first.port}"', f':{port}"').replace(f':{first.admin}"', f':{admin}"')
        daemon = self.start(name, config, admin)
        daemon.port = port
        return daemon


class Start(Case):
    def refused(self, config, *words, exit_code=1):
        """Does not start, and the message contains these words."""
        daemon = Outrigger(self.directory, 'refused', config, 1)
        try:
            code = daemon.process.wait(PATIENCE)
        finally:
            daemon.stop(signal.SIGKILL)
        self.assertEqual(code, exit_code, daemon.log)
        for word in words:
            self.assertIn(word, daemon.log)
        return daemon.log

    def outbound(self, port, identity='', admin=None):
        return head('web', admin or free_port(), identity) + (f'outbound:\n  - {{listen: "127.0.0.1:{port}", service: orders}}\n'
                                                               'services:\n  orders: {endpoints: ["127.0.0.1:1"], mtls: disabled}\n')

    def test_a_port_in_use(self):
        with socket.socket() as taken:
            taken.bind(('127.0.0.1', 0))
            taken.listen()
            port = taken.getsockname()[1]
            log = self.refused(self.outbound(port), f'127.0.0.1:{port}', 'in use')
            self.assertIn('refused.yaml:', log, 'the listener is named by its line')
            self.assertRegex(log, rf'\n +7 \|   - {{listen: "127.0.0.1:{port}".*\n +\| +\^', 'and its line is shown')

    def test_the_admin_port_in_use(self):
        with socket.socket() as taken:
            taken.bind(('127.0.0.1', 0))
            taken.listen()
            port = taken.getsockname()[1]
            self.refused(head('web', port) + 'services:\n  orders: {endpoints: ["127.0.0.1:1"], mtls: disabled}\n', str(port), 'in use',
                         'refused.yaml:3:8', f'3 | admin: {{listen: "127.0.0.1:{port}"}}')

    def test_an_access_log_that_cannot_be_opened(self):
        config = self.outbound(free_port()).replace('path: none', f'path: {self.directory}/no/such.log')
        self.refused(config, 'No such file or directory', 'refused.yaml:5:25', '5 | telemetry:')

    def test_a_key_that_does_not_match(self):
        pki = Pki(self.directory / 'pki')
        cert, _ = pki.issue('web')
        _, key = pki.issue('other')
        identity = f'identity: {{cert: {cert}, key: {key}, ca: {pki.ca}}}\n'
        self.refused(self.outbound(free_port(), identity), str(key), 'does not belong', 'refused.yaml:5', '5 | identity:')

    def test_a_key_that_cannot_be_read(self):
        pki = Pki(self.directory / 'pki')
        cert, key = pki.issue('web')
        key.unlink()
        identity = f'identity: {{cert: {cert}, key: {key}, ca: {pki.ca}}}\n'
        self.refused(self.outbound(free_port(), identity), str(key), 'No such file')
        key.write_text('not a key')
        self.refused(self.outbound(free_port(), identity), str(key))
        key.unlink()
        os.mkfifo(key)
        self.refused(self.outbound(free_port(), identity), str(key), 'not a regular file')

    def test_a_pipe_in_place_of_a_certificate_holds_nobody(self):
        pki = Pki(self.directory / 'pki')
        (cert, _), admin = pki.issue('web'), free_port()
        sidecar = self.start('web', self.outbound(free_port(), pki.identity('web'), admin), admin)
        cert.unlink()
        os.mkfifo(cert)
        self.eventually(True, lambda: 'not a regular file' in sidecar.log, 'a refused certificate')
        self.assertEqual(sidecar.stop(), 0)

    def test_a_key_without_permission(self):
        if os.getuid() == 0:
            # Root can read everything; a directory in its place is unreadable even for root.
            pki = Pki(self.directory / 'pki')
            cert, key = pki.issue('web')
            key.unlink()
            key.mkdir()
            self.refused(self.outbound(free_port(), f'identity: {{cert: {cert}, key: {key}, ca: {pki.ca}}}\n'), str(key))
            return
        pki = Pki(self.directory / 'pki')
        cert, key = pki.issue('web')
        key.chmod(0)
        self.refused(self.outbound(free_port(), f'identity: {{cert: {cert}, key: {key}, ca: {pki.ca}}}\n'), str(key), 'ermission')

    def test_ports_listen_once_the_first_lists_are_there(self):
        upstream = self.origin()
        port, admin, lists = free_port(), free_port(), self.directory / 'lists.yaml'
        os.mkfifo(lists)  # not a regular file: the registry fails, and is not waited for
        config = head('web', admin) + f'''outbound:
  - {{listen: "127.0.0.1:{port}", service: orders}}
registries: {{local: {{type: file, path: {lists}}}}}
services:
  orders: {{registry: local, mtls: disabled}}
'''
        daemon = self.start('broken', config, admin)
        self.assertEqual(fetch(port).status, 503)
        lists.unlink()
        lists.write_text(f'services: {{orders: ["127.0.0.1:{upstream.port}"]}}\n')
        self.eventually(200, lambda: fetch(port).status, 'a list comes later')
        daemon.stop()
        for _ in range(5):  # a client that connects as soon as possible finds the endpoints
            daemon = self.start('whole', config, admin, ready=False)
            wait_for('the port', lambda: listening(port))
            self.assertEqual(fetch(port).status, 200)
            self.assertEqual(daemon.stop(), 0)

    def test_lists_that_come_together_are_published_together(self):
        """With a snapshot for each of thousands of services, the start would take minutes."""
        upstream = self.origin()
        port, admin, lists = free_port(), free_port(), self.directory / 'lists.yaml'

        def tell(host):
            fresh = self.directory / 'fresh.yaml'
            fresh.write_text('services:\n' + ''.join(f'  s{i}: ["{host}:{upstream.port}"]\n' for i in range(100)))
            fresh.rename(lists)
        tell('127.0.0.2')
        daemon = self.start('many', head('web', admin).replace('telemetry: {', 'telemetry: {log: {levels: {server: debug}}, ') + f'''outbound:
  - {{listen: "127.0.0.1:{port}", service: s50}}
registries: {{local: {{type: file, path: {lists}}}}}
services:
''' + ''.join(f'  s{i}: {{registry: local, mtls: disabled}}\n' for i in range(100)), admin)
        published = lambda: re.findall(r'endpoint lists changed.*lists=(\d+)', daemon.log)
        self.assertLessEqual(len(published()), 3, published())
        tell('127.0.0.1')
        self.eventually(200, lambda: fetch(port).status, 'the new lists')
        self.assertLessEqual(len(published()), 5, published())
        self.assertEqual(published()[-1], '100')

    def test_a_log_that_nobody_reads_holds_up_neither_the_start_nor_calls_nor_the_end(self):
        upstream = self.origin()
        port, admin = free_port(), free_port()
        path = self.directory / 'stuck.yaml'
        path.write_text(head('web', admin) + f'''outbound:
  - {{listen: "127.0.0.1:{port}", service: orders}}
services:
  orders: {{endpoints: ["127.0.0.1:{upstream.port}"], mtls: disabled}}
''')
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        os.set_blocking(writer, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(writer, b'x' * 4096)
        os.set_blocking(writer, True)
        process = subprocess.Popen([BINARY, 'run', '-c', str(path)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=writer)
        os.close(writer)
        try:
            wait_for('the port', lambda: listening(port))
            for _ in range(50):
                self.assertEqual(fetch(port).status, 200)
            process.send_signal(signal.SIGTERM)
            self.assertEqual(process.wait(PATIENCE), 0)
        finally:
            process.kill()
            process.wait()

    def test_no_such_file(self):
        done = run_outrigger('run', '-c', str(self.directory / 'nothing.yaml'))
        self.assertEqual(done.returncode, 1)
        self.assertIn('nothing.yaml', done.stderr)

    def test_usage(self):
        for arguments in ((), ('no-such-verb',), ('run',), ('run', '--no-such-option')):
            self.assertEqual(run_outrigger(*arguments).returncode, 64, arguments)
        self.assertEqual(run_outrigger('version').returncode, 0)
        self.assertIn('run', run_outrigger('--help').stdout)

    def test_listeners_of_every_family(self):
        upstream = self.origin()
        six, four, path, admin = free_port(), free_port(), self.directory / 'out.sock', free_port()
        daemon = self.start('families', head('web', admin) + f'''outbound:
  - {{listen: "[::1]:{six}", service: orders}}
  - {{listen: "127.0.0.1:{four}", service: orders}}
  - {{listen: "unix:{path}", service: orders}}
services:
  orders: {{endpoints: ["127.0.0.1:{upstream.port}"], mtls: disabled}}
''', admin)
        with Client(six, host='::1') as client:
            self.assertEqual(client.request('GET', '/').status, 200)
        self.assertEqual(fetch(four).status, 200)
        with socket.socket(socket.AF_UNIX) as local:
            local.connect(str(path))
            local.sendall(b'GET / HTTP/1.1\r\nhost: orders\r\nconnection: close\r\n\r\n')
            self.assertIn(b' 200 ', local.recv(4096))
        self.assertEqual(daemon.stop(), 0)
        # A socket file left behind by a crash does not prevent the start.
        again = self.start('families', daemon.config_path.read_text(), admin)
        self.assertTrue(again.running())

    def test_a_unix_socket_among_others_and_several_workers(self):
        """Only one worker accepts there; a connection handed to another one still belongs to the same listener."""
        red, blue = (self.origin(lambda r, colour=colour: (200, {}, colour)) for colour in (b'red', b'blue'))
        path, port, admin = self.directory / 'red.sock', free_port(), free_port()
        self.start('colours', head('web', admin, workers=4) + f'''outbound:
  - {{listen: "unix:{path}", service: red}}
  - {{listen: "127.0.0.1:{port}", service: blue}}
services:
  red: {{endpoints: ["127.0.0.1:{red.port}"], mtls: disabled}}
  blue: {{endpoints: ["127.0.0.1:{blue.port}"], mtls: disabled}}
''', admin)
        kept = []
        for _ in range(16):
            local = socket.socket(socket.AF_UNIX)
            self.addCleanup(local.close)
            local.connect(str(path))
            local.sendall(b'GET / HTTP/1.1\r\nhost: a\r\n\r\n')
            self.assertTrue(local.recv(4096).endswith(b'red'))
            kept.append(local)
            self.assertEqual(fetch(port).body, b'blue')

    def test_an_app_behind_a_unix_socket_and_a_name(self):
        upstream = self.origin()
        sidecar = self.caller(f'  orders: {{endpoints: ["localhost:{upstream.port}"], mtls: disabled}}\n')
        self.assertEqual(fetch(sidecar.port).status, 200)

    def test_many_workers_share_the_load(self):
        upstream = self.origin()
        sidecar = self.plain([upstream], workers=4)
        clients = [self.client(sidecar.port) for _ in range(64)]
        for client in clients:
            self.assertEqual(client.request('GET', '/').status, 200)
        self.assertEqual(sidecar.metric('outrigger_requests_total', direction='outbound'), 64)
        each = [int(v) for n, _, v in sidecar.series() if n == 'outrigger_worker_connections']
        self.assertEqual((len(each), sum(each)), (4, 64))
        self.assertLessEqual(max(each) - min(each), 1, each)


class SilentResolvers(Case):
    """In namespaces with a network and a resolv.conf of their own, whose name servers never answer."""

    def setUp(self):
        super().setUp()
        if os.environ.get(INSIDE):
            self.silence()
        elif os.geteuid() != 0 or not shutil.which('unshare') or not shutil.which('ip'):
            self.skipTest('needs root, unshare and ip')

    def go_inside(self, name):
        run = subprocess.run(['unshare', '-n', '-m', sys.executable, __file__, f'SilentResolvers.{name}'],
                             env=dict(os.environ, **{INSIDE: '1'}), capture_output=True, text=True, timeout=120)
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)

    def silence(self):
        subprocess.run(['ip', 'link', 'set', 'lo', 'up'], check=True)
        servers = [f'127.0.0.{n}' for n in (1, 2, 3)]
        resolv = self.directory / 'resolv.conf'
        resolv.write_text(''.join(f'nameserver {server}\n' for server in servers))
        subprocess.run(['mount', '--bind', resolv, os.path.realpath('/etc/resolv.conf')], check=True)
        for server in servers:
            silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.addCleanup(silent.close)
            silent.bind((server, 53))

    def waiting(self, name, listen, **how):
        admin = free_port()
        sidecar = self.start(name, head('web', admin, **how) + f'''outbound:
  - {{listen: "{listen}", service: orders}}
services:
  orders: {{endpoints: ["orders.example.org:80"], mtls: disabled}}
''', admin, ready=False)
        wait_for('the admin port', lambda: listening(admin))
        self.assertEqual(sidecar.get('/ready')[0], 503)
        return sidecar

    def test_names_are_waited_for_15_seconds(self):
        self.go_inside('names_are_waited_for')

    def names_are_waited_for(self):
        port = free_port()
        begun = time.monotonic()
        sidecar = self.waiting('web', f'127.0.0.1:{port}')
        self.assertFalse(listening(port))
        wait_for('the port', lambda: listening(port), 40)
        self.assertTrue(14 < time.monotonic() - begun < 20)
        self.eventually(200, lambda: sidecar.get('/ready')[0])
        self.assertEqual(fetch(port).status, 503)
        self.assertIn('names or registries have not answered', sidecar.log)

    def test_what_a_waiting_process_will_listen_on_is_in_use(self):
        self.go_inside('ports_are_in_use')

    def ports_are_in_use(self):
        """As for any other, a second process is told at its start, and takes nothing away from the first."""
        port, path = free_port(), self.directory / 'out.sock'
        for listen in f'127.0.0.1:{port}', f'unix:{path}':
            for workers in 1, 2:
                first = self.waiting('first', listen, workers=workers)
                second = Outrigger(self.directory, 'second', first.config_path.read_text().replace(f':{first.admin}', f':{free_port()}'), 1)
                self.addCleanup(second.stop)
                self.assertEqual(second.process.wait(PATIENCE), 1, second.log)
                self.assertRegex(second.log, rf'second.yaml:7:5: error: cannot listen on {listen}: .* in use')
                self.assertEqual(first.stop(), 0)

    def test_listeners_that_are_drained_before_they_listen_stay_closed(self):
        self.go_inside('listeners_are_drained')

    def listeners_are_drained(self):
        port = free_port()
        sidecar = self.waiting('web', f'127.0.0.1:{port}', workers=2)
        self.assertEqual(listener_states(sidecar), {'outbound': 'waiting', 'admin': 'listening'})
        self.assertNotIn(str(port), sidecar.get('/listeners')[2])
        self.assertEqual(sidecar.post('/drain_listeners')[0], 200)
        self.assertEqual(listener_states(sidecar), {'outbound': 'closed', 'admin': 'listening'})
        while 'server: running' not in sidecar.log:
            self.assertFalse(listening(port))
            time.sleep(0.05)
        self.assertFalse(listening(port))
        status, _, body = sidecar.get('/ready')
        self.assertEqual(status, 503)
        self.assertIn('drain_listeners', body)
        self.assertEqual(sidecar.metric('outrigger_ready'), 0)


if __name__ == '__main__':
    main()
