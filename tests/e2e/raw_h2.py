"""HTTP/2 by hand: frames, and one end of a connection, for tests that send what no library would.
Header blocks are written byte by byte; of a received block only the status is read."""
import collections
import select
import socket
import ssl
import struct
import time

MAGIC = b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS = 0x1, 0x1, 0x4
PROTOCOL_ERROR, FLOW_CONTROL_ERROR, CANCEL, ENHANCE_YOUR_CALM = 1, 3, 8, 11
MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE = 3, 4

Frame = collections.namedtuple('Frame', 'type flags stream payload')


def frame(kind, flags, stream, payload=b''):
    return struct.pack('>I', len(payload))[1:] + bytes((kind, flags)) + struct.pack('>I', stream) + payload


def settings(*pairs):
    return frame(SETTINGS, 0, 0, b''.join(struct.pack('>HI', *pair) for pair in pairs))


def settings_ack():
    return frame(SETTINGS, ACK, 0)


def ping(opaque=b'12345678', flags=0):
    return frame(PING, flags, 0, opaque)


def goaway(last, code=0):
    return frame(GOAWAY, 0, 0, struct.pack('>II', last, code))


def rst_stream(stream, code=CANCEL):
    return frame(RST_STREAM, 0, stream, struct.pack('>I', code))


def window_update(stream, increment):
    return frame(WINDOW_UPDATE, 0, stream, struct.pack('>I', increment))


def string(text):
    """A string literal, not Huffman-coded (RFC 7541 section 5.2)."""
    size = len(text)
    if size < 127:
        return bytes((size,)) + text
    prefix, size = b'\x7f', size - 127
    while size >= 128:
        prefix, size = prefix + bytes((size & 0x7f | 0x80,)), size >> 7
    return prefix + bytes((size,)) + text


def literal(name, value, added=False):
    """A field with a literal name, which is added to the table or not."""
    return (b'\x40' if added else b'\0') + string(name) + string(value)


def request_block(method=b'GET', path=b'/', authority=b'orders', more=b''):
    return (literal(b':method', method) + literal(b':scheme', b'http') + literal(b':path', path) +
            literal(b':authority', authority) + more)


def request(stream, block=None, flags=END_STREAM | END_HEADERS):
    return frame(HEADERS, flags, stream, request_block() if block is None else block)


def number(payload, at=0):
    return struct.unpack_from('>I', payload, at)[0]


def digits(coded):
    """Huffman-coded digits (RFC 7541 appendix B): 0 to 2 take five bits, the others six."""
    bits, text = ''.join(f'{byte:08b}' for byte in coded), ''
    while len(bits) >= 5 and (bits[:5] < '00011' or len(bits) >= 6):
        size = 5 if bits[:5] < '00011' else 6
        code = int(bits[:size], 2)
        text += str(code if size == 5 else code - 0b011001 + 3)
        bits = bits[size:]
    return text


def status_of(block):
    """The status, which is a block's first field; None if it is in the dynamic table, which is not
    kept here."""
    if block[0] & 0xe0 == 0x20:  # a table size comes first
        size = 1
        while block[0] == 0x3f and block[size] & 0x80:
            size += 1
        return status_of(block[size + (block[0] == 0x3f):])
    known = {0x88: 200, 0x89: 204, 0x8a: 206, 0x8b: 304, 0x8c: 400, 0x8d: 404, 0x8e: 500}
    if block[0] in known:
        return known[block[0]]
    if block[0] & 0x80:
        return None
    value = block[2:2 + (block[1] & 0x7f)]
    return int(digits(value) if block[1] & 0x80 else value)


def ready(connection, events, seconds):
    """Which of these a socket is ready for; poll, since select is limited to about a thousand descriptors."""
    poller = select.poll()
    poller.register(connection, events)
    return sum(event for _, event in poller.poll(max(seconds, 0) * 1000))


class Peer:
    """One end of a connection, in clear text or TLS. Records everything received."""

    def __init__(self, connection):
        self.socket = connection
        self.socket.setblocking(False)
        self.bytes = b''
        self.frames = []
        self.over = None  # 'closed' or 'reset', by the other side
        self._half = b''

    def wait_readable(self, seconds):
        pending = getattr(self.socket, 'pending', lambda: 0)()
        return bool(pending or ready(self.socket, select.POLLIN, seconds))

    def read(self, seconds):
        """Reads what is there, waiting for it up to this long; False if nothing arrived."""
        if self.over or not self.wait_readable(seconds):
            return False
        try:
            data = self.socket.recv(262144)
        except (BlockingIOError, ssl.SSLWantReadError):
            return False
        except ssl.SSLEOFError:
            data = b''
        except OSError:
            self.over = 'reset'
            return False
        if not data:
            self.over = 'closed'
            return False
        self.bytes += data
        self._half += data
        if self._half.startswith(MAGIC):
            self._half = self._half[len(MAGIC):]
        while len(self._half) >= 9 and len(self._half) >= (end := 9 + (number(b'\0' + self._half[:3]))):
            kind, flags, stream = struct.unpack_from('>BBI', self._half, 3)
            self.frames.append(Frame(kind, flags, stream & 0x7fffffff, self._half[9:end]))
            self._half = self._half[end:]
        return True

    def until(self, condition, seconds):
        """Reads until the condition holds; False if the connection or the time ended first."""
        end = time.monotonic() + seconds
        while not condition():
            if self.over or time.monotonic() > end:
                return False
            self.read(min(1, end - time.monotonic()))
        return True

    def send(self, data, seconds=20, reading=True):
        """Sends all of it; False if the other side no longer accepts it. Reads meanwhile, unless told
        otherwise, so that two ends that only write do not block each other."""
        end = time.monotonic() + seconds
        view = memoryview(data)
        while view and self.over != 'reset':
            try:
                view = view[self.socket.send(view):]
                continue
            except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                pass
            except OSError:
                # What it sent before it closed can still be read.
                while self.read(0.2):
                    pass
                self.over = self.over or 'reset'
                return False
            if time.monotonic() > end:
                return False
            if ready(self.socket, select.POLLOUT | (select.POLLIN if reading and not self.over else 0), 0.2) & select.POLLIN:
                self.read(0)
        return not view

    def find(self, kind, stream=None):
        return next((f for f in self.frames if f.type == kind and (stream is None or f.stream == stream)), None)

    def count(self, kind):
        return sum(f.type == kind for f in self.frames)

    def goaway_code(self):
        found = self.find(GOAWAY)
        return None if found is None else number(found.payload, 4)

    def alive(self, seconds, opaque=b'alive???'):
        """Whether a PING is acknowledged."""
        self.send(ping(opaque), seconds)
        return self.until(lambda: any(f.type == PING and f.flags == ACK and f.payload == opaque for f in self.frames), seconds)

    def finished(self, seconds):
        """Whether the other side closes."""
        self.until(lambda: False, seconds)
        return self.over is not None

    def close(self):
        self.socket.close()


def connection_window(peer):
    """How many bytes of DATA the other side has allowed on all streams together."""
    return 65_535 + sum(number(f.payload) for f in peer.frames if f.type == WINDOW_UPDATE and f.stream == 0)


def connect(port, context=None, preface=True):
    """A client's end; with a TLS context it must get h2 by ALPN."""
    connection = socket.create_connection(('127.0.0.1', port), 20)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if context is not None:
        connection = context.wrap_socket(connection)
        assert connection.selected_alpn_protocol() == 'h2', connection.selected_alpn_protocol()
    peer = Peer(connection)
    if preface:
        peer.send(MAGIC + settings() + settings_ack())
    return peer


def client_context(pki, service):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(pki.ca)
    context.load_cert_chain(*map(str, pki.issue(service)))
    context.set_alpn_protocols(['h2'])
    return context


def server_context(pki, service):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(pki.ca)
    context.load_cert_chain(*map(str, pki.issue(service)))
    context.set_alpn_protocols(['h2'])
    return context
