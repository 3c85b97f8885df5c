"""HTTP/2 conformance over real sockets: the tables of tests/support/h2_cases.h, in clear text and over
mutual TLS, against the daemon as a server, and as a client of a hostile server.

The program h2_cases writes the tables, with what the codec in memory had sent after each step: that
much has to arrive before the next step is sent.
"""
import base64
import contextlib
import hashlib
import json
import select
import socket
import subprocess
import time
from pathlib import Path

import raw_h2
from harness import BINARY, PATIENCE, Case, Client, HttpOrigin, Pki, fetch, free_port, main, raise_fd_limit
from raw_h2 import Peer

WEBSOCKET = b'258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
# In clear text, a connection that does not begin like HTTP/2 is not HTTP/2, and never reaches the codec.
HTTP1 = {
    '3.4 wrong first byte': b'',
    '3.4 an HTTP/1 request': b'HTTP/1.1 200 ',
}
# The time limit of a case over a socket; normally none takes more than a few milliseconds.
SOON = PATIENCE / 2


def load_tables():
    program = Path(BINARY).parent / 'h2_cases'
    return json.loads(subprocess.run([program], capture_output=True, check=True, timeout=60).stdout)


def name(test):
    return ' '.join([test['id'], *(f'({point})' for point in test['points'])])


def progress(peer):
    frames = [f for f in peer.frames if f.type in (raw_h2.DATA, raw_h2.HEADERS)]
    return {
        'heads': sum(f.type == raw_h2.HEADERS for f in frames),
        'data': sum(len(f.payload) for f in frames if f.type == raw_h2.DATA),
        'ends': sum(f.flags & raw_h2.END_STREAM for f in frames),
        'resets': peer.count(raw_h2.RST_STREAM),
        'goaways': peer.count(raw_h2.GOAWAY),
    }


def answered(peer, test, at):
    """Whether the step has had its effect. The last step is waited for no longer than its expectation
    needs: what precedes an error is up to the proxy, and its own responses take time."""
    now, expected = progress(peer), test['steps'][at]['after']
    what = test['expect']['what']
    if given_up(peer, test):
        return True
    if expected['goaways']:
        return now['goaways'] > 0 or (what == 'reset_or_goaway' and now['resets'] > 0)
    if at + 1 == len(test['steps']) and what != 'answer':
        return what != 'reset' or now['resets'] > 0
    return reached(now, expected)


def given_up(peer, test):
    """Whether the daemon has reset the stream itself, because it no longer needs the rest of the request:
    what the other side sends on it then counts as in flight and is not an error."""
    reset = peer.find(raw_h2.RST_STREAM, test['expect']['stream'])
    return test.get('open') and reset is not None and raw_h2.number(reset.payload) == 0


def reached(now, expected):
    return all(now[key] >= value for key, value in expected.items())


def describe(peer):
    words = []
    for f in peer.frames:
        code = ''
        if f.type in (raw_h2.RST_STREAM, raw_h2.GOAWAY):
            code = f' code {raw_h2.number(f.payload, 0 if f.type == raw_h2.RST_STREAM else 4)}'
        words.append(f'[type {f.type} flags {f.flags} stream {f.stream} size {len(f.payload)}{code}]')
    return ' '.join(words) + f' {peer.over or "open"}'


def play_steps(peer, test):
    """Sends the steps one after the other, then checks whether the other side is still alive. Returns
    the DATA sent after each step."""
    sent = []
    for at, step in enumerate(test['steps']):
        if peer.send(bytes.fromhex(step['bytes'])):
            peer.until(lambda: answered(peer, test, at), SOON)
        sent.append(progress(peer)['data'])
    return sent


def judge(peer, test):
    """Why it is not as expected, or an empty string."""
    expect = test['expect']
    alive = peer.alive(SOON)
    if peer.frames and (peer.frames[0].type, peer.frames[0].flags) != (raw_h2.SETTINGS, 0):
        return 'not SETTINGS first'
    if (wanted := bytes.fromhex(expect['contains'])) and wanted not in peer.bytes:
        return 'a frame is missing'
    if (unwanted := bytes.fromhex(expect['lacks'])) and unwanted in peer.bytes:
        return 'a frame too many'
    code = peer.goaway_code()
    reset = peer.find(raw_h2.RST_STREAM, expect['stream'])
    reset_code = None if reset is None else raw_h2.number(reset.payload)
    what = expect['what']
    if what == 'quiet':
        return None if code in (None, 0) and (alive or peer.finished(SOON)) else 'an error, or no end'
    if what in ('alive', 'answer'):
        if not alive or code is not None:
            return 'not alive'
        return 'reset' if what == 'answer' and reset_code not in (None, 0) else None
    if what in ('reset', 'reset_or_goaway') and reset_code in expect['codes']:
        return None if alive else 'not alive after the reset'
    if what == 'reset':
        return 'no RST_STREAM as expected'
    if code is None and given_up(peer, test):
        return None if alive else 'not alive'
    if code not in expect['codes']:
        return 'no GOAWAY as expected'
    return None if peer.finished(SOON) else 'GOAWAY, but the connection goes on'


class Origin(HttpOrigin):
    """Responds to complete requests with "hello world", and accepts WebSockets; ignores incomplete
    requests."""

    def __init__(self):
        super().__init__(self._answer)

    def _serve(self, connection):
        with contextlib.suppress(EOFError, AttributeError, ValueError):
            super()._serve(connection)

    @staticmethod
    def _answer(request):
        key = request.header('sec-websocket-key')
        if key is None:
            return 200, {}, b'hello world'
        accept = base64.b64encode(hashlib.sha1(key.encode() + WEBSOCKET).digest()).decode()
        return (f'HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n'
                f'sec-websocket-accept: {accept}\r\n\r\n').encode()


class AsServer(Case):
    """The daemon's own ports."""

    def setUp(self):
        super().setUp()
        # Where a thousand streams are allowed, a request on each of them takes a connection to the app.
        raise_fd_limit()
        self.app = Origin()
        self.addCleanup(self.app.stop)

    def crowd(self, peer, test):
        """One stream more than this port allows, which depends on how much it trusts its peers."""
        peer.until(lambda: peer.find(raw_h2.SETTINGS), SOON)
        payload = peer.find(raw_h2.SETTINGS).payload
        pairs = [(raw_h2.number(b'\0\0' + payload[i:i + 2]), raw_h2.number(payload, i + 2)) for i in range(0, len(payload), 6)]
        streams = dict(pairs)[raw_h2.MAX_CONCURRENT_STREAMS]
        block = raw_h2.request_block(b'POST')
        whole = b''.join(raw_h2.request(1 + 2 * i, block, raw_h2.END_HEADERS) for i in range(streams + 1))
        step = {**test['steps'][0], 'bytes': whole.hex()}
        return {**test, 'steps': [step], 'expect': {**test['expect'], 'stream': 1 + 2 * streams}}

    def try_case(self, test, port, context):
        peer = raw_h2.connect(port, context, preface=not test['own_preface'])
        try:
            if test['id'].startswith('5.1.2 more streams'):
                test = self.crowd(peer, test)
            if context is None and test['id'] in HTTP1:
                return self.judge_http1(peer, test)
            play_steps(peer, test)
            why = judge(peer, test)
            if why is None and test['expect']['what'] == 'answer':
                why = self.judge_answer(peer, test)
            return why and f'{name(test)}: {why}: {describe(peer)}'
        finally:
            peer.close()

    @staticmethod
    def judge_http1(peer, test):
        peer.send(bytes.fromhex(test['steps'][0]['bytes']))
        peer.until(lambda: peer.bytes or not HTTP1[test['id']], SOON)
        peer.socket.shutdown(socket.SHUT_WR)
        if not peer.finished(SOON) or not peer.bytes.startswith(HTTP1[test['id']]):
            return f'{name(test)}: {peer.over} {peer.bytes}'
        return None

    @staticmethod
    def judge_answer(peer, test):
        expect = test['expect']
        statuses = [raw_h2.status_of(f.payload) for f in peer.frames
                    if f.type == raw_h2.HEADERS and f.stream == expect['stream']]
        if expect['status'] not in statuses:
            return f'{statuses}, not {expect["status"]}'
        sizes = [len(f.payload) for f in peer.frames if f.type == raw_h2.DATA and f.stream == expect['stream']]
        return 'other DATA frames' if expect['data_sizes'] and sizes != expect['data_sizes'] else None

    def run_table(self, sidecar, context=None):
        cases = load_tables()['server']
        failures = [why for test in cases if (why := self.try_case(test, sidecar.port, context))]
        self.assertEqual(len(failures), 0, f'of {len(cases)} cases:\n' + '\n'.join(failures))
        # Guards against tables that have lost cases.
        self.assertGreater(len(cases), 280)
        self.eventually(0, lambda: sidecar.metric('outrigger_requests_active'), 'no request is left')

    def test_in_clear_text(self):
        sidecar = self.callee(self.app.port, Pki(self.directory / 'pki'), protocol='http',
                              options='mtls: disabled, upgrades: [websocket, CONNECT]')
        self.run_table(sidecar)
        self.assertEqual(fetch(sidecar.port).status, 200)

    def test_over_mutual_tls(self):
        pki = Pki(self.directory / 'pki')
        self.run_table(self.callee(self.app.port, pki, options='upgrades: [websocket, CONNECT]'), raw_h2.client_context(pki, 'web'))


class AsClient(Case):
    """The daemon's connections to endpoints, one of which is hostile."""

    def setUp(self):
        super().setUp()
        self.context = None
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(('127.0.0.1', free_port()))
        self.listener.listen(16)
        self.addCleanup(self.listener.close)
        self.listed = f'127.0.0.1:{self.listener.getsockname()[1]}'

    def accept(self):
        self.listener.settimeout(SOON)
        connection, _ = self.listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.context is not None:
            connection.settimeout(SOON)
            connection = self.context.wrap_socket(connection, server_side=True)
            assert connection.selected_alpn_protocol() == 'h2'
        return Peer(connection)

    @staticmethod
    def ask(port, test):
        """Sends the request, or the beginning of an incomplete one."""
        client = Client(port, timeout=SOON)
        head = f'{test["method"]} / HTTP/1.1\r\nhost: orders\r\nconnection: close\r\n'
        body = b''
        if test['open']:
            head += 'transfer-encoding: chunked\r\n'
        elif test['body']:
            head += f'content-length: {test["body"]}\r\n'
            body = b'b' * test['body']
        client.send(head.encode() + b'\r\n' + body)
        return client

    @staticmethod
    def see(client, method):
        """What the client gets until its connection ends: (status, whole). A truncated response may end
        before its first byte."""
        data = b''
        try:
            while more := client.socket.recv(65536):
                data += more
        except TimeoutError:
            return 'a client that hangs', data
        except OSError:
            pass  # truncated on purpose, so that it does not look complete
        finally:
            client.close()
        while data.startswith(b'HTTP/1.1 1'):
            data = data.partition(b'\r\n\r\n')[2]
        head, mark, body = data.partition(b'\r\n\r\n')
        if not mark:
            return None, False
        status, head = int(head.split(b' ')[1]), head.lower()
        if method == 'HEAD' or status in (204, 304):
            return status, not body
        if b'transfer-encoding: chunked' in head:
            return status, body.endswith(b'0\r\n\r\n') or b'\r\n0\r\n' in body
        length = [line.split(b':')[1] for line in head.split(b'\r\n') if line.startswith(b'content-length:')]
        return status, len(length) == 1 and int(length[0]) == len(body)

    @staticmethod
    def judge_seen(test, seen):
        status, whole = seen
        if test['end'] == 'complete':
            sane = whole and status in (200, 204, 304)
        elif not test['began']:
            sane = whole and status in (502, 503)
        elif test['method'] == 'HEAD' or status in (204, 304):
            sane = status in (None, 200, 204, 304, 502)  # they end with their head
        else:
            sane = not whole or status in (502, 503)
        return None if sane and not isinstance(status, str) else f'the client got {seen}'

    def clean(self, port, old):
        """The next request is served, on a new connection or on the old one; then everything is closed."""
        with Client(port, timeout=SOON) as client:
            client.send(b'GET /clean HTTP/1.1\r\nhost: orders\r\nconnection: close\r\n\r\n')
            peers, last = [old], max((f.stream for f in old.frames), default=0)
            serving = None
            end = time.monotonic() + SOON
            while serving is None and time.monotonic() < end:
                if raw_h2.ready(self.listener, select.POLLIN, 0):
                    peers.append(self.accept())
                    peers[-1].send(raw_h2.settings() + raw_h2.settings_ack())
                for peer in peers:
                    peer.read(0.002)
                    for f in peer.frames:
                        if f.type == raw_h2.HEADERS and (peer is not old or f.stream > last):
                            serving = peer, f.stream
            if serving is None:
                return 'the next request does not come'
            peer, stream = serving
            peer.send(raw_h2.frame(raw_h2.HEADERS, raw_h2.END_HEADERS, stream, b'\x88') +
                      raw_h2.frame(raw_h2.DATA, raw_h2.END_STREAM, stream, b'clean'))
            answer = client.read()
        # The daemon has to close before the next case: it must not find this connection in its pool.
        for peer in peers:
            if not peer.over:
                peer.send(raw_h2.goaway(0x7fffffff))
                if not peer.finished(SOON):
                    return 'the connection stays open behind GOAWAY'
            peer.close()
        if answer is None or (answer.status, answer.body) != (200, b'clean'):
            return f'the next request got {answer and answer.status} {answer and answer.body[:100]}'
        return None

    def try_case(self, test, port):
        client = self.ask(port, test)
        peer = self.accept()
        peer.until(lambda: reached(progress(peer), test['before']), SOON)
        if not test['own_preface']:
            peer.send(raw_h2.settings() + raw_h2.settings_ack())
        sent = play_steps(peer, test)
        why = judge(peer, test)
        if why is None and not peer.bytes.startswith(raw_h2.MAGIC):
            why = 'the magic is not first'
        if why is None and test['sent'] and sent != test['sent']:
            why = f'{sent} bytes sent'
        seen = self.see(client, test['method'])
        why = why or self.judge_seen(test, seen)
        description = describe(peer)
        why = self.clean(port, peer) if why is None else why
        peer.close()
        return why and f'{name(test)}: {why}: {description}'

    def run_table(self, sidecar):
        cases = load_tables()['client']
        failures = []
        for test in cases:
            if why := self.try_case(test, sidecar.port):
                failures.append(why)
                # What is left of this one must not affect the next case.
                sidecar = self.renew()
        self.assertEqual(len(failures), 0, f'of {len(cases)} cases:\n' + '\n'.join(failures))
        self.assertGreater(len(cases), 200)
        self.eventually(0, lambda: sidecar.metric('outrigger_requests_active'), 'no request is left')

    def renew(self):
        if self.daemons:
            self.daemons[-1].stop()
        with contextlib.suppress(BlockingIOError):
            self.listener.setblocking(False)
            while True:
                self.listener.accept()[0].close()
        return self.start_sidecar()

    def test_in_clear_text(self):
        self.start_sidecar = lambda: self.caller(
            f'  orders: {{endpoints: ["{self.listed}"], mtls: disabled, wire: http2, retry: 0}}\n')
        self.run_table(self.start_sidecar())

    def test_over_mutual_tls(self):
        pki = Pki(self.directory / 'pki')
        self.context = raw_h2.server_context(pki, 'orders')
        self.start_sidecar = lambda: self.caller(
            f'  orders: {{endpoints: ["{self.listed}"], wire: http2, retry: 0}}\n', identity=pki.identity('web'))
        self.run_table(self.start_sidecar())


if __name__ == '__main__':
    main()
