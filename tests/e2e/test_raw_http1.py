"""Raw HTTP/1 messages, good and malformed, over sockets, against a backend that records every byte.

A message is sent whole, split in two at every position, and byte by byte; the verdict must be the same
each time. What is refused gets 400, 431, 414, 501 or a closed connection. A message refused in its
head sends no byte upstream; one refused in its body sends no byte at or after the error, and the
upstream sees a truncated message, never a complete one.
"""
import itertools
import threading
import time

from harness import SANITIZER, Case, Client, Stream, main

H = b'host: orders\r\n'
POST = b'POST / HTTP/1.1\r\n' + H
CHUNKED = POST + b'transfer-encoding: chunked\r\n\r\n'


def get(extra=b'', line=b'GET / HTTP/1.1', host=H):
    return line + b'\r\n' + host + extra + b'\r\n'


# Heads that must be accepted, with the body the backend must see.
GOOD = [
    (get(), b''),
    (get(b'x: \r\n'), b''),
    (get(b'x:y\r\n'), b''),
    (get(b'x:\t y \t\r\n'), b''),
    (get(b'X-Weird!#$%&\'*+-.^`|~1: ok\r\n'), b''),
    (get(b'x: caf\xc3\xa9 \x80\xff\r\n'), b''),
    (get(line=b'GET /a/b;c=d?e=f&g=%20 HTTP/1.1'), b''),
    (get(line=b'OPTIONS * HTTP/1.1'), b''),
    (get(line=b'M-SEARCH / HTTP/1.1'), b''),
    (get(line=b'GET http://orders/ HTTP/1.1'), b''),
    (b'\r\n' + get(), b''),
    (POST + b'content-length: 0\r\n\r\n', b''),
    (POST + b'content-length: 5\r\n\r\nhello', b'hello'),
    (POST + b'Content-Length:5\r\n\r\nhello', b'hello'),
    (POST + b'content-length: 0005\r\n\r\nhello', b'hello'),
    (CHUNKED + b'0\r\n\r\n', b''),
    (CHUNKED + b'5\r\nhello\r\n0\r\n\r\n', b'hello'),
    (CHUNKED + b'A\r\n0123456789\r\n1\r\n!\r\n000\r\n\r\n', b'0123456789!'),
    (CHUNKED + b'5;name=value;other="quoted"\r\nhello\r\n0;last\r\n\r\n', b'hello'),
    (CHUNKED + b'5\r\nhello\r\n0\r\nx-trailer: 1\r\n\r\n', b'hello'),
    (POST + b'Transfer-Encoding: CHUNKED\r\n\r\n2\r\nok\r\n0\r\n\r\n', b'ok'),
    (b'GET / HTTP/1.0\r\n' + H + b'\r\n', b''),
]

# Refused in the head: no byte may reach the backend.
BAD_HEADS = [
    # The request line.
    b'GET /\r\n\r\n', b'GET\r\n\r\n', b'GET / HTTP/1.1 \r\n' + H + b'\r\n', b' GET / HTTP/1.1\r\n' + H + b'\r\n',
    get(line=b'GET  / HTTP/1.1'), get(line=b'GET /  HTTP/1.1'), get(line=b'GET\t/ HTTP/1.1'), get(line=b'GET / x HTTP/1.1'),
    get(line=b'GET / HTTP/1.2'), get(line=b'GET / HTTP/2.0'), get(line=b'GET / HTTP/0.9'), get(line=b'GET / HTTP/1'),
    get(line=b'GET / http/1.1'), get(line=b'GET / HTTP/1.10'), get(line=b'GET / HTTP/1.1\r'), get(line=b'GET / RTSP/1.0'),
    get(line=b'GET / ICE/1.0'), get(line=b'GET / HTTP/\xb11.1'), get(line=b'G(T / HTTP/1.1'), get(line=b'G\x00T / HTTP/1.1'),
    get(line=b'/ HTTP/1.1'), get(line=b'GET x HTTP/1.1'), get(line=b'GET * HTTP/1.1'), get(line=b'GET /#frag HTTP/1.1'),
    get(line=b'GET /\x00 HTTP/1.1'), get(line=b'GET /\x7f HTTP/1.1'), get(line=b'GET http://user@orders/ HTTP/1.1'),
    get(line=b'GET http:///x HTTP/1.1'),
    b'\n' + get(), b'\r' + get(), b'\x00' + get(), b'GET / HTTP/1.1\n' + H + b'\r\n', get()[:-2] + b'\n', get()[:-2] + b'\r\r\n',
    # Host.
    get(host=b''), get(host=b'host: orders\r\nhost: orders\r\n'), get(host=b'host: orders\r\nHost: other\r\n'), get(host=b'host: a,b\r\n'),
    get(host=b'host: a b\r\n'), get(host=b'host: user@orders\r\n'), get(host=b'host: orders/x\r\n'), get(host=b'host: orders:x\r\n'),
    get(host=b'host : orders\r\n'), get(host=b'host:\x00orders\r\n'),
    # Field lines.
    get(b'x : 1\r\n'), get(b'x\t: 1\r\n'), get(b' x: 1\r\n'), get(b'x: 1\r\n y: 2\r\n'), get(b'x: 1\r\n\ty: 2\r\n'), get(b': 1\r\n'), get(b'x\r\n'),
    get(b'x: 1\ny: 2\r\n'), get(b'x: 1\ry: 2\r\n'), get(b'x: \x00\r\n'), get(b'x: a\x01b\r\n'), get(b'x: a\x7fb\r\n'), get(b'x(: 1\r\n'),
    get(b'x\x00: 1\r\n'), get(b'x\xe9: 1\r\n'), get(b'"x": 1\r\n'), get(b'x y: 1\r\n'), get(b'x: 1\n'), get(b'x: 1\r'),
    # Content-Length.
    *(POST + b'content-length:' + v + b'\r\n\r\nhello' for v in (
        b' +5', b' -5', b' 5,', b' 5, 5', b' 5,5', b' 0x5', b' 5 5', b'', b' ', b' 5a', b' five', b' 5.0', b' 5e0', b' \xd9\xa5', b' "5"', b' 5;',
        b' 9223372036854775808', b' 18446744073709551616', b' 18446744073709551621', b' 99999999999999999999999999', b'\x0b5', b' 5\x00')),
    POST + b'content-length: 5\r\ncontent-length: 5\r\n\r\nhello', POST + b'content-length: 5\r\ncontent-length: 6\r\n\r\nhello',
    POST + b'content-length : 5\r\n\r\nhello', POST + b'content-length\t: 5\r\n\r\nhello',
    # Transfer-Encoding, alone and with Content-Length.
    POST + b'content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n', POST + b'transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n',
    b'POST / HTTP/1.0\r\n' + H + b'transfer-encoding: chunked\r\n\r\n0\r\n\r\n',
    *(POST + b'transfer-encoding:' + v + b'\r\n\r\n0\r\n\r\n' for v in (
        b' identity', b' gzip', b' chunked, gzip', b' gzip, chunked', b' chunked, chunked', b' chunked,', b' ,chunked', b' xchunked', b' chunkedx',
        b' "chunked"', b' chunked;q=1', b' \x0bchunked', b' chunked\x00', b'', b' chun ked', b' chunked identity', b" 'chunked'", b'\x0cchunked')),
    POST + b'transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
    POST + b'transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n0\r\n\r\n',
    POST + b'transfer-encoding : chunked\r\n\r\n0\r\n\r\n', POST + b'transfer-encoding\x00: chunked\r\n\r\n0\r\n\r\n',
    POST + b'transfer-encoding:\r\n chunked\r\n\r\n0\r\n\r\n', POST + b'\ttransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
    # Sizes.
    get(b'x' * 9000 + b': 1\r\n'), get(b'x: ' + b'y' * 62000 + b'\r\n'), get(line=b'GET /' + b'x' * 62000 + b' HTTP/1.1'),
    get(b''.join(b'x%d: 1\r\n' % i for i in range(120))),
]

# Refused in the body: (message, the bytes of body before the error).
BAD_BODIES = [(CHUNKED + good + bad, body) for good, body in ((b'', b''), (b'3\r\nabc\r\n', b'abc')) for bad in (
    b'g\r\n', b'0x3\r\nabc\r\n', b'-1\r\n', b'+3\r\nabc\r\n', b' 3\r\nabc\r\n', b'3 \r\nabc\r\n', b'3\nabc\r\n', b'3\rabc\r\n', b'3\r\rabc', b'\r\n',
    b'3_0\r\n', b'fffffffffffffffff\r\n', b'10000000000000000\r\n', b'00000000000000000003\r\nabc\r\n', b'3;a=b\nc\r\nabc\r\n', b'3;a\x00\r\nabc\r\n',
    b'3;a="\r\nabc\r\n', b'3;' + b'x' * 400 + b'\r\nabc\r\n', b'3\r\nabcd\r\n', b'3\r\nabc\n0\r\n\r\n', b'3\r\nabc\r0\r\n\r\n', b'3\r\nabc0\r\n\r\n',
    b'3\r\nabcX\r\n0\r\n\r\n', b'0\n\r\n', b'0\r\n\n', b'0\r\n\rX', b'0\r\nx : 1\r\n\r\n', b'0\r\n x: 1\r\n\r\n', b'0\r\nx\r\n\r\n', b'0\r\nx: \x00\r\n\r\n',
    b'0\r\n: 1\r\n\r\n', b'0\r\nx: ' + b'y' * 9000 + b'\r\n\r\n', b'0\r\n' + b''.join(b't%d: 1\r\n' % i for i in range(40)) + b'\r\n')]
# In these the error comes after some valid bytes of the chunk.
PARTLY = {b'3\r\nabcd\r\n': 3, b'3\r\nabc\n0\r\n\r\n': 3, b'3\r\nabc\r0\r\n\r\n': 3, b'3\r\nabc0\r\n\r\n': 3, b'3\r\nabcX\r\n0\r\n\r\n': 3}


class Recorder:
    """Responds to every complete request with 200 and records each byte, connection by connection."""

    def __init__(self):
        self.connections = []
        self.lock = threading.Lock()

    def serve(self, connection):
        record = {'bytes': b'', 'whole': 0, 'bodies': [], 'partial': b'', 'open': True}
        with self.lock:
            self.connections.append(record)
        stream = Stream(_Tee(connection, record))
        try:
            while (head := stream.until(b'\r\n\r\n')) is not None:
                lower = head.lower()
                if b'transfer-encoding: chunked' in lower:
                    body = self._chunks(stream, record)
                else:
                    length = next((int(l.split(b':')[1]) for l in lower.split(b'\r\n') if l.startswith(b'content-length:')), 0)
                    body = stream.exactly(length)
                record['bodies'].append(body)
                record['whole'] += 1
                connection.sendall(b'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n')
        except (OSError, EOFError, ValueError, TypeError, AttributeError):
            pass
        record['open'] = False

    @staticmethod
    def _chunks(stream, record):
        record['partial'] = b''
        while size := int(stream.until(b'\r\n'), 16):
            record['partial'] += stream.exactly(size)
            stream.exactly(2)
        while stream.until(b'\r\n'):
            pass
        body, record['partial'] = record['partial'], b''
        return body

    def bytes(self):
        with self.lock:
            return sum(len(c['bytes']) for c in self.connections)

    def whole(self):
        with self.lock:
            return sum(c['whole'] for c in self.connections)


class _Tee:
    def __init__(self, connection, record):
        self.connection, self.record = connection, record

    def recv(self, size):
        data = self.connection.recv(size)
        self.record['bytes'] += data
        return data


def dechunk(sent):
    """The data of the chunks received, and whether the last chunk arrived."""
    data = b''
    while sent:
        size, found, sent = sent.partition(b'\r\n')
        if not found:
            break
        if int(size, 16) == 0:
            return data, True
        data += sent[:int(size, 16)]
        sent = sent[int(size, 16) + 2:]
    return data, False


class Raw(Case):
    def setUp(self):
        super().setUp()
        self.recorder = Recorder()
        self.backend = self.endpoint(self.recorder.serve)
        self.sidecar = self.plain([self.backend])

    def verdict(self, pieces):
        """The status of the response; 0 if the connection was closed without one."""
        with Client(self.sidecar.port, timeout=10) as client:
            try:
                for piece in pieces:
                    client.send(piece)
                answer = client.read()
                status = answer.status if answer else 0
                if status >= 400 or status == 0:
                    self.assertFalse(client.stream.rest(), 'nothing follows a refusal')
                return status
            except (ConnectionResetError, BrokenPipeError):
                return 0

    def splits(self, message):
        yield [message]
        short = len(message) < 400
        for at in range(1, len(message)) if short and not SANITIZER else range(1, len(message), max(1, len(message) // 12)):
            yield [message[:at], message[at:]]
        if short:
            yield [message[i:i + 1] for i in range(len(message))]

    def test_good(self):
        for message, body in GOOD:
            for pieces in self.splits(message):
                before = self.recorder.whole()
                self.assertEqual(self.verdict(pieces), 200, message)
                self.assertEqual(self.recorder.whole(), before + 1, message)
            self.assertEqual(next(c['bodies'][-1] for c in reversed(self.recorder.connections) if c['bodies']), body, message)

    def refused_head(self, message, pieces):
        before = self.recorder.bytes()
        status = self.verdict(pieces)
        self.assertTrue(status in (0, 400, 404, 405, 414, 431, 501, 505), (status, message[:200], pieces[:2]))
        self.assertEqual(self.recorder.bytes(), before, f'a byte went upstream: {message[:200]}')
        return status

    def test_bad_heads(self):
        for message in BAD_HEADS:
            with self.subTest(message=message[:120]):
                verdicts = {self.refused_head(message, pieces) for pieces in self.splits(message)}
                # A close that overtakes the response is the same verdict. Only what is not HTTP at all gets none.
                self.assertEqual(len(verdicts - {0}), 0 if message[:1] == b'\0' else 1, verdicts)

    def test_bad_bodies(self):
        attempts = itertools.count()
        for message, body in BAD_BODIES:
            with self.subTest(message=message[len(CHUNKED):][:80]):
                extra = PARTLY.get(message[len(CHUNKED) + (len(b'3\r\nabc\r\n') if body else 0):], 0)
                for pieces in self.splits(message.replace(b'POST / ', b'POST /_____ ')):
                    # The backend sees a connection with a delay, that of an earlier message too: the target
                    # tells which one it is.
                    mark = b'%05d' % next(attempts)
                    pieces = [piece.replace(b'_____', mark) for piece in pieces]
                    if mark not in b''.join(pieces):
                        continue  # the mark itself was split
                    whole = self.recorder.whole()
                    status = self.verdict(pieces)
                    self.assertIn(status, (0, 400, 431), (message, status))
                    self.assertEqual(self.recorder.whole(), whole, 'the backend saw a whole request')
                    for record in list(self.recorder.connections):
                        if b'POST /' + mark not in record['bytes']:
                            continue
                        self.eventually(False, lambda r=record: r['open'], 'the upstream connection is ended')
                        _, _, sent = record['bytes'].partition(b'\r\n\r\n')
                        data, ended = dechunk(sent)
                        self.assertFalse(ended, (message, sent))
                        self.assertTrue((body + b'abc'[:extra]).startswith(data), (message, sent))
                self.recorder.connections.clear()

    def test_a_body_cut_short_is_truncation_upstream(self):
        for message in (POST + b'content-length: 10\r\n\r\nhello', CHUNKED + b'5\r\nhello\r\n', CHUNKED + b'a\r\nhello'):
            whole = self.recorder.whole()
            with Client(self.sidecar.port) as client:
                client.send(message)
                self.eventually(True, lambda: self.recorder.connections and b'hello' in self.recorder.connections[-1]['bytes'])
            self.eventually(False, lambda: self.recorder.connections[-1]['open'], 'the upstream connection is ended')
            self.assertEqual(self.recorder.whole(), whole, message)

    def test_every_byte_in_every_place(self):
        """Each octet inside a method, a target, a name and a value: refused unless RFC 9112 allows it, or clients
        send it anyway: raw UTF-8 in a target."""
        token = set(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
        target = set(range(0x21, 0x100)) - {0x7f} - set(b'#%"<>\\^`{|}')
        value = (set(range(0x20, 0x100)) - {0x7f}) | {0x09}
        places = (
            ('method', lambda b: get(line=b'GE' + b + b'T / HTTP/1.1'), token),
            ('target', lambda b: get(line=b'GET /a' + b + b'b HTTP/1.1'), target | set(b'%"<>\\^`{|}')),
            ('name', lambda b: get(b'x-' + b + b'y: 1\r\n'), token | {ord(':')}),
            ('value', lambda b: get(b'x: a' + b + b'b\r\n'), value),
        )
        for place, make, lawful in places:
            for byte in range(256):
                message = make(bytes([byte]))
                before = self.recorder.bytes()
                status = self.verdict([message])
                if byte not in lawful:
                    # A tab or space splits the line, a line end begins another one; all of these are refused.
                    self.assertNotEqual(status, 200, f'{place} {byte:#x}')
                    self.assertEqual(self.recorder.bytes(), before, f'{place} {byte:#x}')
                elif place != 'target' or byte in target:
                    self.assertEqual(status, 200, f'{place} {byte:#x}')

    def test_a_refused_request_takes_nothing_behind_it_along(self):
        """A good request pipelined behind a malformed one is never processed."""
        for message in BAD_HEADS[:40]:
            before = self.recorder.bytes()
            self.verdict([message + get(line=b'GET /smuggled HTTP/1.1')])
            self.assertEqual(self.recorder.bytes(), before, message)

    def test_a_slow_head_is_ended(self):
        with Client(self.sidecar.port, timeout=30) as client:
            begun = time.monotonic()
            client.send(b'GET / HTTP/1.1\r\nhost: or')
            answer = client.read()
            self.assertEqual(answer.status, 408)
            self.assertIsNotNone(answer.header('date'))
            took = time.monotonic() - begun
            self.assertGreater(took, 8)
            if not SANITIZER:
                self.assertLess(took, 14)
        self.assertEqual(self.recorder.bytes(), 0)


if __name__ == '__main__':
    main()
