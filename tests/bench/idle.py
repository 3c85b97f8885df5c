"""Two figures beside the cost of a request: the memory of connections that do nothing, and the system
calls that requests are made of."""
import re
import signal
import socket
import ssl
import struct
import subprocess
import tempfile
import time

import loads
import machine
import proxies
from proxies import Hop

KINDS = {'h1': 'HTTP/1.1 in clear text', 'tls': 'HTTP/1.1 over mTLS', 'h2': 'HTTP/2 over mTLS'}


def h2_frame(kind, flags, stream, payload=b''):
    return struct.pack('>I', len(payload))[1:] + bytes((kind, flags)) + struct.pack('>I', stream) + payload


# Preface, empty SETTINGS, and GET /1k as a HEADERS frame that ends its stream: indexed :method GET and
# :scheme https, then literal :path and :authority.
H2_REQUEST = (b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' + h2_frame(4, 0, 0)
              + h2_frame(1, 0x5, 1, b'\x82\x87' + b'\x04\x03/1k' + b'\x01\x07b.local'))
H2_SETTINGS_ACK = h2_frame(4, 1, 0)
H1_REQUEST = b'GET /1k HTTP/1.1\r\nHost: b.local\r\n\r\n'


def connect(kind, port, context):
    """A connection that has had one answer and then falls silent."""
    connection = socket.create_connection(('127.0.0.1', port), 10)
    if context:
        connection = context.wrap_socket(connection, server_hostname='b.local')
    connection.sendall(H2_REQUEST if kind == 'h2' else H1_REQUEST)
    got = b''
    while got.count(b'x') < 1024:
        more = connection.recv(8192)
        if not more:
            raise RuntimeError(f'closed after {got[:60]!r}')
        got += more
    if kind == 'h2':
        connection.sendall(H2_SETTINGS_ACK)
    return connection


def client_context(kind, d):
    if kind == 'h1':
        return None
    context = ssl.create_default_context(cafile=str(d / 'ca.pem'))
    context.load_cert_chain(d / 'a.pem', d / 'a.key')
    context.set_alpn_protocols(['h2' if kind == 'h2' else 'http/1.1'])
    return context


def one(proxy, kind, d, log, port, origin, count):
    hop = Hop(port, origin, listen_tls=kind != 'h1', listen_h2=kind == 'h2')
    running = proxies.start(proxy, d, (hop,), log)
    try:
        def rss():
            return machine.rss_of_all([pid for r in running for pid in r.pids()])
        context = client_context(kind, d)
        cold = rss()
        warm = [connect(kind, port, context) for _ in range(20)]
        time.sleep(0.5)
        before = rss()
        idle = [connect(kind, port, context) for _ in range(count)]
        time.sleep(2)
        during = rss()
        for connection in warm + idle:
            connection.close()
        time.sleep(1.5)
        return {'start_kib': cold, 'warm_kib': before, 'per_connection_kib': (during - before) / count, 'after_close_kib': rss()}
    finally:
        for r in running:
            r.stop()


def measure(chosen, d, log, port, origin, count):
    found = {}
    proxies.Haproxy.connections_max = max(4000, count + 500)  # callers; descriptors for the other side come on top
    for kind, what in KINDS.items():
        rows = {}
        for proxy in chosen:
            if proxy.name == 'floor':
                continue
            try:
                rows[proxy.name] = one(proxy, kind, d, log, port, origin, count)
            except (RuntimeError, OSError) as error:
                rows[proxy.name] = {'error': str(error)[:200]}
        found[kind] = {'what': what, 'connections': count, 'rows': rows}
    return found


CALL = re.compile(r'^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$', re.M)


def system_calls(proxy, d, log, scenarios, requests=10_000):
    """Attaches strace to a warm proxy and counts while an exact number of requests passes."""
    found = {}
    for scenario in scenarios:
        running = proxies.start(proxy, d, scenario.hops, log)
        url = f'http://127.0.0.1:{scenario.hops[0].listen}{scenario.path}'
        connections, streams = scenario.options['connections'], scenario.options.get('streams')
        try:
            loads.exactly(url, requests, connections, streams)
            with tempfile.NamedTemporaryFile('r', prefix='strace-') as counts:
                attach = [a for r in running for pid in r.pids() for a in ('-p', str(pid))]
                strace = subprocess.Popen([machine.tool('strace'), '-c', '-f', '-o', counts.name, *attach], stderr=subprocess.PIPE, text=True)
                strace.stderr.readline()  # "Process N attached"
                time.sleep(0.3)
                loads.exactly(url, requests, connections, streams)
                strace.send_signal(signal.SIGINT)
                strace.wait(30)
                found[scenario.name] = {'requests': requests, 'calls': {name: int(n) for n, name in CALL.findall(counts.read()) if name != 'total'}}
        finally:
            for r in running:
                r.stop()
    return found
