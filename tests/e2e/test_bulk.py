"""1 GiB up and down through HTTP/1, HTTP/2 and TCP over two sidecars, without memory growing with it:
what a slow reader does not read is not read from the fast writer."""
import os
import socket
import subprocess
import threading
import time
import zlib

from harness import SANITIZER, Case, Stream, main

SIZE = (64 << 20) if SANITIZER else (1 << 30)
BLOCK = os.urandom((1 << 20) - 8)
# The address sanitizer keeps freed memory for a while, by default more than is measured here.
os.environ.setdefault('ASAN_OPTIONS', 'quarantine_size_mb=16')
# Both sidecars' buffers and the kernel's.
GROWTH_KIB = (128 if SANITIZER else 48) * 1024


def blocks(size):
    """Numbered blocks, so that a lost, duplicated or reordered one changes the sum."""
    for i in range(size >> 20):
        yield i.to_bytes(8, 'big') + BLOCK


def expected_sum(size):
    total = 0
    for block in blocks(size):
        total = zlib.crc32(block, total)
    return total


SUM = expected_sum(SIZE)


def take(connection, size, first=b''):
    """Reads exactly size bytes, or up to the end if that comes first; returns (count, sum)."""
    count, total = len(first), zlib.crc32(first)
    buffer = memoryview(bytearray(1 << 20))
    while count < size:
        got = connection.recv_into(buffer)
        if not got:
            break
        count += got
        total = zlib.crc32(buffer[:got], total)
    return count, total


def http_app(connection):
    stream = Stream(connection)
    while (head := stream.until(b'\r\n\r\n')) is not None:
        if head.startswith(b'GET'):
            connection.sendall(b'HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n' % SIZE)
            for block in blocks(SIZE):
                connection.sendall(block)
        else:
            first, stream.pending = stream.pending, b''
            if b'chunked' in head.lower():
                stream.pending = first
                body, _ = chunked_sum(stream)
                connection.sendall(encode_sum(body))
            else:
                connection.sendall(encode_sum(take(connection, SIZE, first)))


def chunked_sum(stream):
    count = total = 0
    while size := int(stream.until(b'\r\n'), 16):
        while size:
            if not stream.pending and not stream.more():
                raise EOFError
            piece, stream.pending = stream.pending[:size], stream.pending[size:]
            size -= len(piece)
            count += len(piece)
            total = zlib.crc32(piece, total)
        stream.exactly(2)
    stream.until(b'\r\n')
    return (count, total), None


def encode_sum(result):
    body = b'%d %d' % result
    return b'HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s' % (len(body), body)


class Watch:
    """The largest RSS of some daemons while something happens."""

    def __init__(self, *daemons):
        self.daemons = daemons
        self.before = [d.rss() for d in daemons]
        self.peak = list(self.before)
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._look, daemon=True)

    def _look(self):
        while not self.over.wait(0.02):
            self.peak = [max(p, d.rss()) for p, d in zip(self.peak, self.daemons)]

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()

    @property
    def growth(self):
        return max(p - b for p, b in zip(self.peak, self.before))


class Bulk(Case):
    def world(self, **how):
        app = self.endpoint(http_app)
        return self.pair(app.port, options='timeout: 300s', **how)

    def check_growth(self, watch, what):
        print(f'{what}: {SIZE >> 20} MiB, RSS grew by {watch.growth} KiB', flush=True)
        self.assertLess(watch.growth, GROWTH_KIB, what)

    def test_http1_down(self):
        caller, callee = self.world()
        client = self.client(caller.port, timeout=300)
        with Watch(caller, callee) as watch:
            client.send(b'GET /big HTTP/1.1\r\nhost: orders\r\n\r\n')
            head = client.stream.until(b'\r\n\r\n')
            self.assertIn(b' 200 ', head)
            self.assertEqual(take(client.socket, SIZE, client.stream.pending), (SIZE, SUM))
        self.check_growth(watch, 'HTTP/1 down')

    def test_http1_up(self):
        caller, callee = self.world()
        client = self.client(caller.port, timeout=300)
        with Watch(caller, callee) as watch:
            client.send(b'POST /big HTTP/1.1\r\nhost: orders\r\ncontent-length: %d\r\n\r\n' % SIZE)
            for block in blocks(SIZE):
                client.send(block)
            answer = client.read()
        self.assertEqual(answer.text, f'{SIZE} {SUM}')
        self.check_growth(watch, 'HTTP/1 up')

    def curl(self, caller, *arguments):
        return subprocess.Popen(['curl', '-sS', '--noproxy', '*', '--http2-prior-knowledge', '-H', 'host: orders', *arguments,
                                 f'http://127.0.0.1:{caller.port}/big'], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def test_http2_down(self):
        caller, callee = self.world()
        with Watch(caller, callee) as watch, self.curl(caller) as run:
            count = total = 0
            while data := os.read(run.stdout.fileno(), 1 << 20):
                count += len(data)
                total = zlib.crc32(data, total)
        self.assertEqual((run.returncode, count, total), (0, SIZE, SUM))
        self.check_growth(watch, 'HTTP/2 down')

    def test_http2_up(self):
        caller, callee = self.world()
        with Watch(caller, callee) as watch, self.curl(caller, '-T', '-', '-X', 'POST') as run:
            for block in blocks(SIZE):
                run.stdin.write(block)
            run.stdin.close()
            answer = run.stdout.read().decode()
        self.assertEqual(answer, f'{SIZE} {SUM}')
        self.check_growth(watch, 'HTTP/2 up')

    def tcp(self, serve):
        caller, callee = self.pair(self.endpoint(serve).port, protocol='tcp', inbound='tcp')
        connection = socket.create_connection(('127.0.0.1', caller.port), 300)
        self.addCleanup(connection.close)
        return connection, Watch(caller, callee)

    def test_tcp_down(self):
        def serve(connection):
            for block in blocks(SIZE):
                connection.sendall(block)
        connection, watch = self.tcp(serve)
        with watch:
            self.assertEqual(take(connection, SIZE + 1), (SIZE, SUM))
        self.check_growth(watch, 'TCP down')

    def test_tcp_up_and_the_answer_after_the_end(self):
        def serve(connection):
            connection.sendall(b'%d %d' % take(connection, SIZE + 1))
        connection, watch = self.tcp(serve)
        with watch:
            for block in blocks(SIZE):
                connection.sendall(block)
            connection.shutdown(socket.SHUT_WR)
            self.assertEqual(connection.recv(100), b'%d %d' % (SIZE, SUM))
        self.check_growth(watch, 'TCP up')


class SlowReader(Case):
    """The writer stalls: backpressure reaches the origin's own socket."""
    OFFERED = 256 << 20
    # Four kernel socket buffers on the path, and our watermarks.
    TAKEN_MAX = 64 << 20

    def stalled(self, sent):
        last = -1
        while last != sent[0]:
            last = sent[0]
            time.sleep(1.0)
        return last

    def offer(self, sent):
        def push(connection):
            block = b'x' * (256 << 10)
            while sent[0] < self.OFFERED:
                connection.sendall(block)
                sent[0] += len(block)
        return push

    def test_http_download_that_is_not_read(self):
        for wire in ('http1', 'http2'):
            sent = [0]
            push = self.offer(sent)

            def serve(connection):
                Stream(connection).until(b'\r\n\r\n')
                connection.sendall(b'HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n' % self.OFFERED)
                push(connection)
            caller, callee = self.pair(self.endpoint(serve).port, wire=wire)
            client = self.client(caller.port, timeout=60)
            with Watch(caller, callee) as watch:
                client.send(b'GET / HTTP/1.1\r\nhost: orders\r\n\r\n')
                client.stream.until(b'\r\n\r\n')
                self.assertLess(self.stalled(sent), self.TAKEN_MAX, wire)
                self.assertLess(watch.growth, GROWTH_KIB, wire)
                count, _ = take(client.socket, self.OFFERED, client.stream.pending)
            self.assertEqual(count, self.OFFERED, f'{wire}: after the pause everything arrives')

    def test_tcp_that_is_not_read(self):
        sent = [0]
        push = self.offer(sent)
        caller, callee = self.pair(self.endpoint(lambda c: (c.recv(1), push(c))).port, protocol='tcp', inbound='tcp')
        connection = socket.create_connection(('127.0.0.1', caller.port), 60)
        self.addCleanup(connection.close)
        connection.sendall(b'.')
        with Watch(caller, callee) as watch:
            self.assertLess(self.stalled(sent), self.TAKEN_MAX)
            self.assertLess(watch.growth, GROWTH_KIB)
            self.assertEqual(take(connection, self.OFFERED + 1)[0], self.OFFERED)

    def test_one_stalled_stream_does_not_hold_up_the_others(self):
        """Two streams share one connection between the sidecars; one reader sleeps, the other works."""
        sent = [0]

        def serve(connection):
            stream = Stream(connection)
            while (head := stream.until(b'\r\n\r\n')) is not None:
                size = self.OFFERED if b'/big' in head else 2
                connection.sendall(b'HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n' % size)
                for _ in range(size >> 20):
                    connection.sendall(b'x' * (1 << 20))
                    sent[0] += 1 << 20
                if size == 2:
                    connection.sendall(b'ok')
        caller, _ = self.pair(self.endpoint(serve).port, wire='http2')
        sleeper = self.client(caller.port)
        sleeper.send(b'GET /big HTTP/1.1\r\nhost: orders\r\n\r\n')
        sleeper.stream.until(b'\r\n\r\n')
        self.assertLess(self.stalled(sent), self.OFFERED)
        worker = self.client(caller.port)
        for _ in range(50):
            self.assertEqual(worker.request('GET', '/small').body, b'ok')


if __name__ == '__main__':
    main()
