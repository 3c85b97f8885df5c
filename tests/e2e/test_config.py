"""`outrigger validate` and `run` on good and bad files: every error has its location, several at once."""
import json
import os
import pty
import re
import subprocess
import time

from harness import BINARY, ROOT, SANITIZER, Case, free_port, main, run_outrigger

GOOD = '''version: 1
node: {service: web}
outbound:
  - {listen: 127.0.0.1:9001, service: orders}
services:
  orders: {endpoints: [10.0.0.7:15006, 10.0.0.8:15006], mtls: disabled, retry: 2}
'''


class Validate(Case):
    def validate(self, text, *arguments):
        path = self.directory / 'web.yaml'
        if isinstance(text, bytes):
            path.write_bytes(text)
        else:
            path.write_text(text)
        return run_outrigger('validate', *arguments, str(path), env={'NO_COLOR': '1'})

    def test_good(self):
        done = self.validate(GOOD)
        self.assertEqual((done.returncode, 'error' in done.stderr), (0, False), done.stderr)

    def test_the_error_shows_itself(self):
        done = self.validate(GOOD.replace('retry: 2', 'retires: 2'))
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r"web\.yaml:6:\d+: error: unknown key 'retires' in services\.orders; did you mean 'retry'\?")
        lines = done.stderr.splitlines()
        shown = next(i for i, line in enumerate(lines) if re.match(r'\s*6 \|', line))
        column = lines[shown].index('retires')
        self.assertEqual(lines[shown + 1][column:column + 7], '^^^^^^^')
        self.assertEqual(lines[shown + 1][:column].strip(' '), '|')

    def test_no_secret_and_no_escape_reaches_the_terminal(self):
        text = GOOD + '''routes:
  - match: {service: orders, headers: {authorization: {regex: "Bearer ${TOKEN}("}}}
    request_headers: {set: {authorization: "${TOKEN}\\n"}}
    timeout: "${TOKEN}"
    "to\\e[2J": 1
'''
        for variant in (text, text.replace('    "to', '#').replace('\\n"', '"').replace('    timeout', '#')):
            (self.directory / 'web.yaml').write_text(variant)
            for arguments in ([], ['--format', 'json']):
                done = run_outrigger('validate', *arguments, str(self.directory / 'web.yaml'), env={'TOKEN': 'hunter2'})
                self.assertEqual(done.returncode, 1, done.stderr)
                self.assertNotIn('hunter2', done.stdout + done.stderr)
                self.assertNotIn('\x1b', done.stdout + done.stderr)

    def test_colour_is_for_terminals_and_no_color_turns_it_off(self):
        path = self.directory / 'web.yaml'
        path.write_text(GOOD.replace('retry: 2', 'retires: 2'))
        for command in (['validate', str(path)], ['run', '-c', str(path)]):
            for no_color, coloured in ((None, True), ('', True), ('1', False)):
                ours, theirs = pty.openpty()
                self.addCleanup(os.close, ours)
                environment = {k: v for k, v in os.environ.items() if k != 'NO_COLOR'}
                if no_color is not None:
                    environment['NO_COLOR'] = no_color
                done = subprocess.run([BINARY, *command], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=theirs, env=environment, timeout=60)
                os.close(theirs)
                self.assertEqual(done.returncode, 1)
                said = os.read(ours, 65536)
                self.assertIn(b'retires', said)
                self.assertEqual(b'\x1b[' in said, coloured, (command, no_color))

    def test_a_table_of_mistakes(self):
        table = [
            # (configuration, line of the error, words in the message)
            (GOOD.replace('services:', 'servces:'), 5, ["'servces'", "'services'"]),
            (GOOD.replace('retry: 2', 'timeout: 5'), 6, ['unit', 'timeout']),
            (GOOD.replace('retry: 2', 'timeout: 5parsecs'), 6, ['5parsecs']),
            (GOOD.replace('retry: 2', 'retry: -1'), 6, ['retry']),
            (GOOD.replace('retry: 2', 'retry: lots'), 6, ['lots']),
            (GOOD.replace('retry: 2', 'load_balancer: peak_ewmaa'), 6, ["'peak_ewma'"]),
            (GOOD.replace('mtls: disabled', 'mtls: strict'), 6, ['identity', 'disabled']),
            (GOOD.replace('service: orders', 'service: order'), 4, ["'orders'"]),
            (GOOD.replace('127.0.0.1:9001', '127.0.0.1'), 4, ['port']),
            (GOOD.replace('127.0.0.1:9001', '127.0.0.1:99999'), 4, ['99999']),
            (GOOD.replace('127.0.0.1:9001', '[::1]:9001'), 4, ['quote']),
            (GOOD.replace('10.0.0.7:15006', '10.0.0.7'), 6, ['port']),
            (GOOD.replace('version: 1', 'version: 2'), 1, ['version']),
            (GOOD.replace('version: 1\n', ''), 1, ['version']),
            (GOOD + 'routes:\n  - {match: {service: nobody}, to: orders}\n', 8, ['nobody']),
            (GOOD + 'routes:\n  - {match: {service: orders}, to: nobody}\n', 8, ['nobody']),
            (GOOD + 'routes:\n  - {match: {service: orders}, to: orders/canary}\n', 8, ['canary']),
            (GOOD + 'routes:\n  - {match: {service: orders}, split: {orders: 90%}}\n', 8, ['100%']),
            (GOOD + 'routes:\n  - {match: {service: orders, path: "~ ["}, to: orders}\n', 8, ['missing ]']),
            (GOOD.replace('services:', '  - {listen: 127.0.0.1:9001, service: orders}\nservices:'), 5, ['9001']),
            (GOOD + '  orders: {endpoints: [10.0.0.7:15006], mtls: disabled}\n', 7, ["'orders'"]),
            (GOOD + 'version: 1\n', 7, ["'version'"]),
            (GOOD + '---\nversion: 1\n', 7, ['document']),
            (GOOD.replace('{listen', '{<<: {a: b}, listen'), 4, ['<<']),
            (GOOD.replace('node: {service: web}', 'node: {service: web'), 2, []),
            (GOOD.replace('node: {service: web}', 'node:\n\tservice: web'), 3, ['tab']),
            (GOOD.replace('service: web', 'service: "${NOBODY_SET_THIS}"'), 2, ['NOBODY_SET_THIS']),
            (GOOD.replace('service: web', 'service:web'), 2, ['space']),
            (GOOD.replace('web}', 'web}\nidentity: {cert: /nowhere/tls.crt, key: /nowhere/tls.key, ca: /nowhere/ca.crt}'), 3, ['/nowhere/tls.crt']),
            (GOOD.replace('web', 'w\0b'), 2, []),
            (GOOD.encode().replace(b'web', b'w\xff\xfeb'), 2, ['UTF-8']),
            ('', 1, []),
            ('just words\n', 1, []),
            ('- a\n- b\n', 1, []),
        ]
        for text, line, words in table:
            with self.subTest(text=text):
                done = self.validate(text)
                self.assertEqual(done.returncode, 1, done.stderr)
                self.assertRegex(done.stderr, rf'web\.yaml:{line}:\d+: error: ')
                for word in words:
                    self.assertIn(word, done.stderr)

    def test_several_are_reported_together(self):
        bad = GOOD.replace('retry: 2', 'retires: 2, timeout: 5').replace('node: {service', 'node: {servise').replace('service: orders', 'service: odrers')
        done = self.validate(bad)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(len(re.findall(r'web\.yaml:\d+:\d+: error: ', done.stderr)), 4, done.stderr)
        where = [int(n) for n in re.findall(r'web\.yaml:(\d+):\d+: error', done.stderr)]
        self.assertEqual(where, sorted(where), 'in the order of the file')

    def test_an_alias_bomb_is_refused_quickly(self):
        text = 'a0: &a0 [x, x, x, x, x, x, x, x, x]\n' + ''.join(
            f'a{i}: &a{i} [{", ".join([f"*a{i - 1}"] * 9)}]\n' for i in range(1, 12)) + GOOD
        begun = time.monotonic()
        done = self.validate(text)
        self.assertEqual(done.returncode, 1)
        self.assertIn('too many values', done.stderr)
        self.assertLess(time.monotonic() - begun, 10 if SANITIZER else 1)

    def test_json(self):
        done = self.validate(GOOD.replace('retry: 2', 'retires: 2'), '--format', 'json')
        self.assertEqual(done.returncode, 1)
        report = json.loads(done.stdout)
        first = (report['errors'] if isinstance(report, dict) else report)[0]
        self.assertEqual(first['line'], 6)
        self.assertIn('retires', first['message'])

    def test_a_token_file_without_a_token_is_found_as_at_the_start(self):
        token = self.directory / 'admin-token'
        path = self.directory / 'web.yaml'
        path.write_text(f'version: 1\nnode: web\nadmin: {{listen: 127.0.0.1:{free_port()}, token_file: admin-token}}\n')

        def said(*command):
            done = run_outrigger(*command, str(path), env={'NO_COLOR': '1'})
            self.assertEqual(done.returncode, 1, done.stderr)
            return done.stderr
        for content, words in ((None, 'cannot read'), (b'', 'contains no token'), (b' \n', 'contains no token'), (b'one two\n', 'more than a token'), (b' ' * 70_000, 'larger than 64 KiB')):
            with self.subTest(content=content):
                if content is not None:
                    token.write_bytes(content)
                found = said('validate')
                self.assertRegex(found, rf'web\.yaml:3:\d+: error: .*{words}')
                self.assertEqual(found, said('run', '-c'))
        token.unlink()
        token.mkdir()
        self.assertRegex(said('validate'), r'web\.yaml:3:\d+: error: .*admin-token')
        token.rmdir()
        token.write_text('one\n')
        self.assertEqual(run_outrigger('validate', str(path)).returncode, 0)

    def test_run_refuses_the_same_way(self):
        path = self.directory / 'web.yaml'
        path.write_text(GOOD.replace('retry: 2', 'retires: 2'))
        done = run_outrigger('run', '-c', str(path))
        self.assertEqual(done.returncode, 1)
        self.assertIn("did you mean 'retry'?", done.stderr)

    def test_a_missing_file(self):
        done = run_outrigger('validate', str(self.directory / 'nothing.yaml'))
        self.assertEqual(done.returncode, 1)
        self.assertIn('nothing.yaml', done.stderr)

    def test_substitution_cannot_inject_structure(self):
        path = self.directory / 'web.yaml'
        path.write_text(GOOD.replace('service: web', 'service: "${EVIL}"'))
        done = run_outrigger('validate', str(path), env={'EVIL': 'x}\nservices: {}\n#'})
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r'^\S*web\.yaml:2:\d+: error: node\.service: ')
        self.assertEqual(done.stderr.count(': error: '), 1, 'the value was one value, not a mapping')


class Samples(Case):
    """Everything that the repository presents as a configuration is valid."""

    def test_the_readme(self):
        text = (ROOT / 'README.md').read_text()
        samples = [s for s in re.findall(r'```yaml\n(.*?)```', text, re.S) if 'version: 1' in s]
        self.assertTrue(samples)
        for i, sample in enumerate(samples):
            path = self.directory / f'readme{i}.yaml'
            path.write_text(sample)
            done = run_outrigger('validate', str(path))
            others = [line for line in done.stderr.splitlines() if ': error: ' in line and '/etc/outrigger' not in line]
            self.assertEqual(others, [])

    def test_the_samples_that_are_installed(self):
        for name in ('example', 'minimal'):
            done = run_outrigger('validate', str(ROOT / f'config/{name}.yaml'))
            others = [line for line in done.stderr.splitlines() if ': error: ' in line and 'cannot read /' not in line]
            self.assertEqual(others, [], name)


if __name__ == '__main__':
    main()
