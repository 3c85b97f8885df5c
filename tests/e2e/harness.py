"""Shared by the end-to-end tests: daemons, certificates, origins, clients.

A test describes a small world (origins, one or two sidecars as configuration text), drives it over
real sockets on loopback and asks the admin port what happened. Everything a test has started is ended
by process ID when the test ends; a daemon that does not exit with code 0, or that triggered a
sanitizer report, fails the test.
"""
import contextlib
import http.client
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BINARY = os.environ.get('OUTRIGGER', str(ROOT / 'build/release/bin/outrigger'))
TOOLS = Path(os.environ.get('OUTRIGGER_TOOLS', ROOT / 'build/tools'))
SANITIZER = os.environ.get('OUTRIGGER_SANITIZE', '')
# A sanitized daemon is several times slower: timeouts are generous everywhere, and some tests are smaller.
# Workers of a daemon whose test does not set their number; .ci/run uses several under tsan.
WORKERS = int(os.environ.get('OUTRIGGER_WORKERS', 1))
PATIENCE = 60 if SANITIZER else 20
SKIPPED = 77
# A test that lacks a program is skipped, and fails if this is set.
NO_SKIP = bool(os.environ.get('OUTRIGGER_NO_SKIP'))
DOMAIN = 'test.local'


# --- the machine ---------------------------------------------------------------------------------

def find_tool(name):
    """A program from build/tools or from the system; None if there is none."""
    path = TOOLS / 'bin' / name
    if path.exists():
        return str(path)
    return shutil.which(name, path=os.environ.get('PATH', '') + ':/usr/bin:/usr/sbin')


def tool_file(path):
    """A file that came with a tool, such as an nginx module."""
    for base in (TOOLS / 'root', Path('/')):
        if (base / path).exists():
            return str(base / path)
    return None


def needs(name):
    """Skips one test if a program is not installed."""
    return unittest.skipUnless(find_tool(name), f'{name} is not on this machine')


_given = set()


def free_port():
    """An unused port, below the range of the kernel's source ports, so that a busy test's outgoing
    connections cannot take it before the daemon binds it; above the fixed ones of the demo and the
    benchmarks."""
    for _ in range(1000):
        port = random.randrange(20100, 32000)
        if port in _given:
            continue
        with socket.socket() as probe:
            with contextlib.suppress(OSError):
                probe.bind(('0.0.0.0', port))
                _given.add(port)
                return port
    raise RuntimeError('no free port')


def raise_fd_limit():
    import resource
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def wait_for(what, condition, seconds=None):
    """Polls until the condition holds and returns its value."""
    end = time.monotonic() + (seconds or PATIENCE)
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f'waited in vain for {what}')
        time.sleep(0.02)


class Threads:
    """Calls in threads of their own; join() raises what one of them raised, which a plain thread would only print."""

    def __init__(self, *calls):
        self.errors = []
        self.threads = [threading.Thread(target=self._run, args=(call,)) for call in calls]
        for thread in self.threads:
            thread.start()

    def _run(self, call):
        try:
            call()
        except BaseException as error:
            self.errors.append(error)

    def join(self):
        for thread in self.threads:
            thread.join()
        if self.errors:
            raise self.errors[0]


def listening(port, host='127.0.0.1'):
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((host, port)) == 0


def family(pid):
    """A process and everything below it."""
    found = [pid]
    with contextlib.suppress(FileNotFoundError):
        for thread in os.listdir(f'/proc/{pid}/task'):
            for child in Path(f'/proc/{pid}/task/{thread}/children').read_text().split():
                found += family(int(child))
    return found


def rss_kib(pid):
    return int(re.search(r'VmRSS:\s+(\d+)', Path(f'/proc/{pid}/status').read_text()).group(1))


def fd_count(pid):
    return len(os.listdir(f'/proc/{pid}/fd'))


# --- certificates --------------------------------------------------------------------------------

class Pki:
    """A development CA made by `outrigger cert`, and certificates for the services of one world."""

    def __init__(self, directory, domain=DOMAIN):
        self.directory = Path(directory)
        self.domain = domain
        self.directory.mkdir(parents=True, exist_ok=True)
        self.ca = self.directory / 'ca.crt'
        if not self.ca.exists():
            run_outrigger('cert', 'ca', '--trust-domain', domain, '--out', str(self.directory), check=True)

    def issue(self, service, path=None):
        """Returns (certificate, key) for spiffe://<domain>/<service>."""
        where = self.directory / service.replace('/', '-')
        where.mkdir(exist_ok=True)
        if not (where / 'tls.crt').exists():
            run_outrigger('cert', 'issue', '--ca', str(self.directory), f'spiffe://{self.domain}/{path or service}',
                          '--dns', f'{where.name}.test', '--out', str(where), check=True)
        return where / 'tls.crt', where / 'tls.key'

    def identity(self, service, path=None):
        """The `identity` line of a configuration."""
        cert, key = self.issue(service, path)
        return f'identity: {{trust_domain: {self.domain}, cert: {cert}, key: {key}, ca: {self.ca}}}\n'


# --- daemons -------------------------------------------------------------------------------------

def run_outrigger(*arguments, check=False, timeout=60, env=None):
    """Runs a subcommand until it exits."""
    done = subprocess.run([BINARY, *arguments], capture_output=True, text=True, timeout=timeout,
                          env=None if env is None else {**os.environ, **env})
    if check and done.returncode != 0:
        raise AssertionError(f'outrigger {" ".join(arguments)} exited {done.returncode}:\n{done.stderr}{done.stdout}')
    return done


class Process:
    """A child process with its output in a file; ended by process ID."""

    def __init__(self, argv, log, env=None, cwd=None):
        self.log_path = Path(log)
        with open(self.log_path, 'ab') as out:
            self.process = subprocess.Popen([str(a) for a in argv], stdout=out, stderr=out, stdin=subprocess.DEVNULL,
                                            env=None if env is None else {**os.environ, **env}, cwd=cwd)
        self.pid = self.process.pid

    @property
    def log(self):
        return self.log_path.read_text(errors='replace')

    def running(self):
        return self.process.poll() is None

    def send_signal(self, number):
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)

    def stop(self, how=signal.SIGTERM, seconds=None):
        """Ends it and returns its exit code; kills it if it does not exit in time."""
        if self.running():
            self.send_signal(how)
            try:
                self.process.wait(seconds or PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return self.process.returncode


class Outrigger(Process):
    """One daemon under test. `config` is its whole YAML; the admin port must be the one given."""

    def __init__(self, directory, name, config, admin, env=None, extra=()):
        self.name = name
        self.admin = admin
        self.config_path = Path(directory) / f'{name}.yaml'
        self.config_path.write_text(config)
        self.expected_exit = 0
        super().__init__([BINARY, 'run', '-c', self.config_path, *extra], Path(directory) / f'{name}.log', env=env)

    def wait_ready(self):
        def ready():
            if not self.running():
                raise AssertionError(f'{self.name} exited {self.process.returncode}:\n{self.log}')
            with contextlib.suppress(OSError, http.client.HTTPException):
                return self.get('/ready')[0] == 200
        wait_for(f'{self.name} to be ready', ready)
        return self

    def ask(self, method, path, headers=None, body=None):
        """One admin request: (status, headers, body as text)."""
        connection = http.client.HTTPConnection('127.0.0.1', self.admin, timeout=PATIENCE)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read().decode()
        finally:
            connection.close()

    def get(self, path, headers=None):
        return self.ask('GET', path, headers)

    def post(self, path, body=None):
        return self.ask('POST', path, body=body)

    def json(self, path):
        status, _, body = self.get(path)
        assert status == 200, f'{path}: {status} {body[:200]}'
        return json.loads(body)

    def series(self):
        """Every sample of /stats/prometheus as (name, labels, value)."""
        status, _, body = self.get('/stats/prometheus')
        assert status == 200, body[:200]
        return parse_exposition(body)

    def metric(self, name, **labels):
        """The sum of the samples of one name that have all these labels."""
        return sum(value for n, l, value in self.series() if n == name and labels.items() <= l.items())

    def rss(self):
        return rss_kib(self.pid)

    def fds(self):
        return fd_count(self.pid)


SAMPLE = re.compile(r'^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$')
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def parse_exposition(text):
    out = []
    for line in text.splitlines():
        if line and not line.startswith('#'):
            name, labels, value = SAMPLE.match(line).groups()
            out.append((name, dict(LABEL.findall(labels or '')), float(value)))
    return out


# --- origins -------------------------------------------------------------------------------------

class Endpoint:
    """A scriptable server: `serve(connection)` runs in a thread for each accepted connection."""

    def __init__(self, serve, port=None, backlog=4096):
        self.port = port or free_port()
        self.serve = serve
        self.accepted = 0
        self.open = set()
        self.lock = threading.Lock()
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(('127.0.0.1', self.port))
        self.listener.listen(backlog)
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                self.accepted += 1
                self.open.add(connection)
            threading.Thread(target=self._run, args=(connection,), daemon=True).start()

    def _run(self, connection):
        try:
            self.serve(connection)
        except OSError:
            pass
        finally:
            with self.lock:
                self.open.discard(connection)
            connection.close()

    def drop_connections(self):
        """Closes all open connections, as a crash would, and continues to accept."""
        with self.lock:
            victims = list(self.open)
        for connection in victims:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def stop(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.drop_connections()


class Request:
    def __init__(self, method, target, version, headers, body, trailers):
        self.method, self.target, self.version = method, target, version
        self.headers, self.body, self.trailers = headers, body, trailers

    def header(self, name, default=None):
        for key, value in self.headers:
            if key.lower() == name.lower():
                return value
        return default

    def all(self, name):
        return [v for k, v in self.headers if k.lower() == name.lower()]


class Stream:
    """Buffered reading from a socket, for both sides of HTTP/1."""

    def __init__(self, connection):
        self.connection = connection
        self.pending = b''

    def more(self):
        data = self.connection.recv(65536)
        self.pending += data
        return bool(data)

    def until(self, mark):
        while mark not in self.pending:
            if not self.more():
                return None
        head, _, self.pending = self.pending.partition(mark)
        return head

    def exactly(self, size):
        while len(self.pending) < size:
            if not self.more():
                raise EOFError(f'{len(self.pending)} of {size} bytes')
        data, self.pending = self.pending[:size], self.pending[size:]
        return data

    def rest(self):
        while self.more():
            pass
        data, self.pending = self.pending, b''
        return data

    def chunked(self):
        body, trailers = b'', []
        while True:
            size = int(self.until(b'\r\n').split(b';')[0], 16)
            if size == 0:
                while line := self.until(b'\r\n'):
                    name, _, value = line.decode('latin-1').partition(':')
                    trailers.append((name, value.strip()))
                return body, trailers
            body += self.exactly(size)
            assert self.exactly(2) == b'\r\n'


def parse_head(head):
    first, *lines = head.decode('latin-1').split('\r\n')
    return first, [(k, v.strip()) for k, _, v in (line.partition(':') for line in lines)]


class HttpOrigin(Endpoint):
    """An HTTP/1.1 origin. `answer(request)` returns (status, headers, body) or raw bytes, or None to
    close the connection without a response. Requests are recorded, unless there will be too many."""

    def __init__(self, answer=None, port=None, recording=True):
        self.requests = []
        self.recording = recording
        self.answer = answer or (lambda request: (200, {}, b'ok'))
        super().__init__(self._serve, port)

    def _serve(self, connection):
        stream = Stream(connection)
        while (head := stream.until(b'\r\n\r\n')) is not None:
            request = self._read(stream, head, connection)
            if self.recording:
                with self.lock:
                    self.requests.append(request)
            reply = self.answer(request)
            if reply is None:
                return
            connection.sendall(reply if isinstance(reply, bytes) else encode(reply, request.method))
            if (request.header('connection') or '').lower() == 'close':
                return

    def _read(self, stream, head, connection):
        line, headers = parse_head(head)
        method, target, version = line.split(' ')
        request = Request(method, target, version, headers, b'', [])
        if (request.header('expect') or '').lower() == '100-continue':
            connection.sendall(b'HTTP/1.1 100 Continue\r\n\r\n')
        if (request.header('transfer-encoding') or '').lower() == 'chunked':
            request.body, request.trailers = stream.chunked()
        elif length := request.header('content-length'):
            request.body = stream.exactly(int(length))
        return request


def encode(reply, method='GET'):
    status, headers, body = reply
    lines = [f'HTTP/1.1 {status} X'] + [f'{k}: {v}' for k, v in dict(headers).items()]
    if status >= 200 and status not in (204, 304) and not any(k.lower() == 'transfer-encoding' for k in headers):
        lines.append(f'content-length: {len(body)}')
    return '\r\n'.join(lines).encode() + b'\r\n\r\n' + (b'' if method == 'HEAD' else body)


# --- clients -------------------------------------------------------------------------------------

class Answer:
    def __init__(self, status, headers, body, trailers=()):
        self.status, self.headers, self.body, self.trailers = status, headers, body, list(trailers)

    def header(self, name):
        return next((v for k, v in self.headers if k.lower() == name.lower()), None)

    @property
    def text(self):
        return self.body.decode(errors='replace')


class Client:
    """A keep-alive HTTP/1 client that exposes every detail."""

    def __init__(self, port, host='127.0.0.1', timeout=None):
        self.socket = socket.create_connection((host, port), timeout or PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.stream = Stream(self.socket)
        self.interim = []

    def send(self, data):
        self.socket.sendall(data)

    def request(self, method, target, headers=None, body=None, host='orders'):
        lines = [f'{method} {target} HTTP/1.1', f'host: {host}'] + [f'{k}: {v}' for k, v in (headers or {}).items()]
        if body is not None:
            lines.append(f'content-length: {len(body)}')
        self.send('\r\n'.join(lines).encode('latin-1') + b'\r\n\r\n' + (body or b''))
        return self.read(method)

    def read(self, method='GET'):
        """The next final response; None if the connection was closed instead."""
        while True:
            head = self.stream.until(b'\r\n\r\n')
            if head is None:
                return None
            line, headers = parse_head(head)
            answer = Answer(int(line.split(' ')[1]), headers, b'')
            if answer.status == 101 or answer.status >= 200:
                break
            self.interim.append(answer.status)
        if method == 'HEAD' or answer.status in (101, 204, 304):
            return answer
        if (answer.header('transfer-encoding') or '').lower() == 'chunked':
            answer.body, answer.trailers = self.stream.chunked()
        elif (length := answer.header('content-length')) is not None:
            answer.body = self.stream.exactly(int(length))
        else:
            answer.body = self.stream.rest()
        return answer

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def fetch(port, target='/', method='GET', headers=None, body=None, host='orders', timeout=None):
    """One request on a new connection."""
    with Client(port, timeout=timeout) as client:
        return client.request(method, target, headers, body, host)


def curl(*arguments, timeout=120):
    done = subprocess.run(['curl', '-sS', '--noproxy', '*', *[str(a) for a in arguments]], capture_output=True, timeout=timeout)
    return done.returncode, done.stdout, done.stderr.decode(errors='replace')


# --- test cases ----------------------------------------------------------------------------------

def head(service, admin, identity='', workers=WORKERS, drain='2s', log='none', runtime=''):
    return (f'version: 1\nnode: {{service: {service}}}\nadmin: {{listen: "127.0.0.1:{admin}"}}\n'
            f'runtime: {{workers: {workers}, drain: {drain}, drain_min: 0s{runtime and ", " + runtime}}}\n{identity}'
            f'telemetry: {{access_log: {{path: {log}}}}}\n')


class Case(unittest.TestCase):
    """Gives a test its folder, and ends what it has started in reverse order."""

    @classmethod
    def setUpClass(cls):
        if not Path(BINARY).exists():
            raise RuntimeError(f'{BINARY} is not built')

    def setUp(self):
        self.directory = Path(tempfile.mkdtemp(prefix='outrigger-e2e-'))
        self.daemons = []
        self.addCleanup(self._end)

    def _end(self):
        failures = []
        for daemon in reversed(self.daemons):
            code = daemon.stop()
            if daemon.expected_exit is not None and code != daemon.expected_exit:
                failures.append(f'{daemon.name} exited {code}, not {daemon.expected_exit}')
            if re.search(r'(Address|Leak|Thread|UndefinedBehavior)Sanitizer|runtime error:', daemon.log):
                failures.append(f'{daemon.name}: a sanitizer spoke')
        if failures or not self._outcome.success:
            for daemon in self.daemons:
                print(f'--- {daemon.name} ({daemon.config_path})\n{daemon.config_path.read_text()}\n--- log\n{daemon.log[-(40000 if SANITIZER else 6000):]}',
                      file=sys.stderr)
        shutil.rmtree(self.directory, ignore_errors=True)
        if failures:
            self.fail('; '.join(failures))

    def start(self, name, config, admin, ready=True, env=None):
        if any(d.name == name for d in self.daemons):
            name += f'-{len(self.daemons)}'
        daemon = Outrigger(self.directory, name, config, admin, env=env)
        self.daemons.append(daemon)
        return daemon.wait_ready() if ready else daemon

    def origin(self, answer=None, port=None):
        origin = HttpOrigin(answer, port)
        self.addCleanup(origin.stop)
        return origin

    def endpoint(self, serve, port=None):
        endpoint = Endpoint(serve, port)
        self.addCleanup(endpoint.stop)
        return endpoint

    def client(self, port, **how):
        client = Client(port, **how)
        self.addCleanup(client.close)
        return client

    def caller(self, services, name='web', routes='', extra='', outbound=None, workers=WORKERS, drain='2s', log='none',
               identity='', service='orders', env=None, listener='', runtime=''):
        """A sidecar with one outbound listener; sets .port to it. `listener` and `runtime`: more of their fields."""
        admin, port = free_port(), free_port()
        more = listener and ', ' + listener
        listeners = outbound or f'  - {{listen: "127.0.0.1:{port}", service: {service}{more}}}\n'
        config = (head(name, admin, identity, workers, drain, log, runtime) +
                  f'outbound:\n{listeners}services:\n{services}{routes}{extra}')
        daemon = self.start(name, config, admin, env=env)
        daemon.port = port
        return daemon

    def plain(self, endpoints, options='', **how):
        """A caller's sidecar that reaches `orders` in clear text."""
        listed = ', '.join(f'"127.0.0.1:{e if isinstance(e, int) else e.port}"' for e in endpoints)
        return self.caller(f'  orders: {{endpoints: [{listed}], mtls: disabled{options and ", " + options}}}\n', **how)

    def callee(self, app, pki, name='orders', protocol='auto', workers=WORKERS, drain='2s', log='none', options=''):
        """A sidecar with one inbound listener in front of an app; sets .port to it."""
        admin, port = free_port(), free_port()
        config = head(name, admin, pki.identity(name), workers, drain, log) + (
            f'inbound:\n  - {{listen: "127.0.0.1:{port}", app: "127.0.0.1:{app}", protocol: {protocol}{options and ", " + options}}}\n')
        daemon = self.start(name, config, admin)
        daemon.port = port
        return daemon

    def pair(self, app, protocol='http', wire='auto', options='', workers=WORKERS, log='none', inbound='auto', listeners=''):
        """Two sidecars over mTLS: returns (caller, callee). `listeners`: more fields of both listeners."""
        pki = Pki(self.directory / 'pki')
        callee = self.callee(app, pki, protocol=inbound, workers=workers, log='none' if log == 'none' else f'{log}.callee',
                             options=listeners)
        caller = self.caller(
            f'  orders: {{endpoints: ["127.0.0.1:{callee.port}"], protocol: {protocol}, wire: {wire}{options and ", " + options}}}\n',
            identity=pki.identity('web'), workers=workers, log=log, listener=listeners)
        return caller, callee

    def eventually(self, expected, value, what='value', seconds=None):
        """Waits until value() equals what is expected; otherwise fails with the last value."""
        end = time.monotonic() + (seconds or PATIENCE)
        while (got := value()) != expected and time.monotonic() < end:
            time.sleep(0.02)
        self.assertEqual(got, expected, what)


def skip_file(reason):
    """Ends a test file that cannot run on this machine at all."""
    print(reason, file=sys.stderr)
    sys.exit(1 if NO_SKIP else SKIPPED)


def main():
    """Runs the file's tests; 77 tells ctest that every one of them was skipped."""
    program = unittest.main(module='__main__', exit=False, verbosity=2)
    result = program.result
    if NO_SKIP:
        for test, reason in result.skipped:
            print(f'SKIPPED, which counts as a failure here: {test}: {reason}', file=sys.stderr)
    if not result.wasSuccessful() or result.testsRun == 0 or (NO_SKIP and result.skipped):
        sys.exit(1)
    sys.exit(SKIPPED if len(result.skipped) == result.testsRun else 0)
