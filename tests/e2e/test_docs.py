"""What README and the pages show is run: README's commands in their order, every YAML block, every metric.

A block of YAML that is a part of a configuration is completed by `version: 1` and a node. One that is not a
configuration stands under a comment that says what it is: <!-- endpoints file -->.
"""
import os
import re
import subprocess
from pathlib import Path

from harness import BINARY, ROOT, Case, fetch, free_port, main, run_outrigger

PAGES = [ROOT / 'README.md', *sorted((ROOT / 'docs').glob('*.md'))]


class Readme(Case):
    def test_its_commands_can_be_pasted_in_order(self):
        text = (ROOT / 'README.md').read_text()
        script = next(body for body in re.findall(r'```sh\n(.*?)```', text, re.S) if 'cert issue' in body)
        first, path, rest = script.split('\n', 2)
        self.assertEqual(first, './dev build outrigger')
        self.assertIn('build/release/bin', path)
        ports = {port: str(free_port()) for port in sorted(set(re.findall(r'127\.0\.0\.1:(1\d{4}|9001)', rest)) | {'18080'})}
        # The default admin port of the second one is said here, so that tests can run beside others.
        rest = rest.replace('node: web\n', 'node: web\nadmin: 127.0.0.1:15000\n')
        for port, free in ports.items():
            rest = re.sub(rf'\b{port}\b', free, rest)
        rest = rest.replace('/tmp/try', str(self.directory / 'try'))
        environment = {**os.environ, 'PATH': f'{Path(BINARY).resolve().parent}:{os.environ["PATH"]}'}
        run = subprocess.run(['bash', '-emc', rest], capture_output=True, text=True, timeout=120, env=environment)
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
        blocks = [(page.name, before.rstrip().endswith('<!-- endpoints file -->'), body) for page in PAGES
                  for before, body in re.findall(r'((?:<!--[^\n]*-->\n+)?)```yaml\n(.*?)```', page.read_text(), re.S)]
        self.assertGreater(len(blocks), 10)
        endpoints.write_text('{}\n')
        for page, is_list, body in blocks:
            if is_list:
                endpoints.write_text(body)
                body = 'registries: {r: {type: file, path: endpoints.yaml}}\ndefaults: {mtls: disabled}\nservices: {orders: {registry: r}}\n'
            if 'version:' not in body:
                body = 'version: 1\n' + ('' if re.search(r'^node:', body, re.M) else 'node: web\n') + body
            for name in ('tls.crt', 'tls.key', 'ca.crt'):
                body = re.sub(rf'[\w./-]*\b{name}', str(self.directory / name), body)
            # The admin page may be ahead of the program by these two keys, and by nothing else.
            for key in ('probes', 'token_file'):
                if page == 'admin.md' and 'Not in this version' in run_outrigger('explain', f'admin.{key}').stdout:
                    body = re.sub(rf'^ *{key}:.*\n', '', body, flags=re.M)
            token = self.directory / 'admin-token'
            token.write_text('a-token-that-is-long-enough-for-anybody\n')
            token.chmod(0o600)
            body = re.sub(r'[\w./-]*\badmin-token', str(token), body)
            path = self.directory / 'page.yaml'
            path.write_text(body)
            done = run_outrigger('validate', str(path))
            self.assertEqual(done.returncode, 0, f'{page}:\n{body}\n{done.stderr}')


class Metrics(Case):
    def test_the_page_has_every_family_that_a_mesh_exports(self):
        page = set(re.findall(r'^\| `((?:outrigger|process)_\w+)` \|', (ROOT / 'docs/metrics.md').read_text(), re.M))
        app = self.origin(lambda request: (200, {}, request.body))
        caller, callee = self.pair(app.port, log=str(self.directory / 'access.log'))
        for method in ('GET', 'POST', 'HEAD'):
            self.assertEqual(fetch(caller.port, method=method).status, 200)
        exported = set()
        for daemon in (caller, callee):
            exported |= set(re.findall(r'^# TYPE (\w+) ', daemon.get('/stats/prometheus')[2], re.M))
        self.assertGreater(len(exported), 30)
        self.assertEqual(exported - page, set(), 'exported and not on the page')


if __name__ == '__main__':
    main()
