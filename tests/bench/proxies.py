"""The proxies under comparison, each given the same part to play.

A hop says where to listen, where to send, and what is spoken on either side. Every proxy runs one
worker without an access log; each is set up as its own manual recommends for this work (connections
to the origin kept and shared, TLS 1.3 on both sides, buffers that hold the answer), so that a better
figure of ours means something.
"""
import json
import subprocess
from dataclasses import dataclass

import machine
from machine import Pinned, find_tool, free_port, tool, tool_file


@dataclass(frozen=True)
class Hop:
    listen: int
    to: int
    listen_tls: bool = False   # mTLS towards the caller
    listen_h2: bool = False    # offer HTTP/2 there (by ALPN)
    listen_h2c: bool = False   # HTTP/2 with prior knowledge in clear text
    to_tls: bool = False       # mTLS towards the next hop
    to_h2: bool = False        # and HTTP/2 inside
    tcp: bool = False          # opaque bytes
    buffer: int | None = None  # KiB an operator would give a proxy for answers of this size; None: its default


def make_certificates(d):
    """A CA, a caller `a` and a callee `b`, P-256, with SPIFFE and DNS names."""
    def openssl(*arguments):
        subprocess.run(['openssl', *map(str, arguments)], check=True, capture_output=True)
    key = ('-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '30')
    openssl('req', '-x509', *key, '-keyout', d / 'ca.key', '-out', d / 'ca.pem', '-subj', '/CN=bench ca')
    for name in ('a', 'b'):
        openssl('req', *key[:-2], '-keyout', d / f'{name}.key', '-out', d / f'{name}.csr', '-subj', f'/CN={name}')
        names = d / f'{name}.ext'
        names.write_text(f'subjectAltName=URI:spiffe://bench/ns/default/sa/{name},DNS:{name}.local\n')
        openssl('x509', '-req', '-in', d / f'{name}.csr', '-CA', d / 'ca.pem', '-CAkey', d / 'ca.key', '-CAcreateserial', '-days', '30',
                '-extfile', names, '-out', d / f'{name}.pem')
        (d / f'{name}.both.pem').write_text((d / f'{name}.pem').read_text() + (d / f'{name}.key').read_text())


class Floor:
    name = 'floor'
    peer = False

    def argv(self, d, hop):
        if hop.listen_tls or hop.to_tls or hop.listen_h2c:
            return None
        program = d / 'floor'
        if not program.exists():
            subprocess.run(['gcc', '-O2', '-o', program, machine.ROOT / 'tests/bench/floor.c'], check=True)
        return [program, hop.listen, hop.to]


class Haproxy:
    name = 'haproxy'
    peer = True
    connections_max = 4000

    def argv(self, d, hop):
        bind = f'bind 127.0.0.1:{hop.listen}'
        if hop.listen_tls:
            bind += f' ssl crt {d}/b.both.pem ca-file {d}/ca.pem verify required alpn h2,http/1.1'
        if hop.listen_h2c:
            bind += ' proto h2'
        server = f'server next 127.0.0.1:{hop.to}'
        if hop.to_tls:
            server += (f' ssl crt {d}/a.both.pem ca-file {d}/ca.pem verify required verifyhost b.local sni str(b.local)'
                       f' alpn {"h2" if hop.to_h2 else "http/1.1"}')
        mode, option = ('tcp', 'option splice-auto') if hop.tcp else ('http', 'http-reuse always')
        tune = [f'  tune.bufsize {hop.buffer * 1024}'] if hop.buffer else []
        config = d / f'haproxy-{hop.listen}.cfg'
        config.write_text('\n'.join([
            'global', '  nbthread 1', f'  maxconn {self.connections_max}', '  tune.ssl.default-dh-param 2048', *tune,
            'defaults', f'  mode {mode}', '  timeout connect 5s', '  timeout client 60s', '  timeout server 60s',
            'frontend in', f'  {bind}', '  default_backend out',
            'backend out', f'  {option}', f'  {server}', '']))
        return [tool('haproxy'), '-db', '-f', config]


def nginx_common(d, name):
    return (f'worker_processes 1; daemon off; pid {d}/{name}.pid; error_log /dev/null; worker_rlimit_nofile 20000;\n'
            'events { worker_connections 16000; }\n')


def nginx_http(d, name):
    folders = ' '.join(f'{kind}_temp_path {d}/{name}-{kind};' for kind in ('client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'))
    return f'access_log off; keepalive_requests 100000000; {folders}\n'


def nginx_argv(config):
    return [tool('nginx'), '-e', '/dev/null', '-c', config]


class Nginx:
    name = 'nginx'
    peer = True

    def argv(self, d, hop):
        name = f'nginx-{hop.listen}'
        config = d / f'{name}.conf'
        buffers = f'proxy_buffer_size {hop.buffer}k; ' if hop.buffer else ''
        if hop.tcp:
            module = tool_file('usr/lib/nginx/modules/ngx_stream_module.so')
            config.write_text(f'load_module {module};\n{nginx_common(d, name)}'
                              f'stream {{ {buffers}server {{ listen 127.0.0.1:{hop.listen}; proxy_pass 127.0.0.1:{hop.to}; }} }}\n')
            return nginx_argv(config)
        if hop.to_h2:
            return None  # nginx speaks no HTTP/2 to its upstreams
        if hop.buffer:
            buffers += f'proxy_buffers 8 {hop.buffer}k; proxy_busy_buffers_size {2 * hop.buffer}k;'
        listen = f'listen 127.0.0.1:{hop.listen}' + ' ssl' * hop.listen_tls + ' http2' * (hop.listen_h2c or hop.listen_h2) + ';'
        server = upstream = ''
        if hop.listen_tls:
            server = (f'ssl_certificate {d}/b.pem; ssl_certificate_key {d}/b.key; ssl_client_certificate {d}/ca.pem;'
                      ' ssl_verify_client on; ssl_session_cache shared:S:10m; ssl_protocols TLSv1.3;')
        if hop.to_tls:
            upstream = (f'proxy_ssl_certificate {d}/a.pem; proxy_ssl_certificate_key {d}/a.key; proxy_ssl_trusted_certificate {d}/ca.pem;'
                        ' proxy_ssl_verify on; proxy_ssl_name b.local; proxy_ssl_server_name on; proxy_ssl_session_reuse on;'
                        ' proxy_ssl_protocols TLSv1.3;')
        config.write_text(f'''{nginx_common(d, name)}http {{
  {nginx_http(d, name)}  {server} {upstream} {buffers}
  upstream next {{ server 127.0.0.1:{hop.to}; keepalive 512; keepalive_requests 100000000; }}
  server {{
    {listen}
    location / {{
      proxy_pass {"https" if hop.to_tls else "http"}://next;
      proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
    }}
  }}
}}
''')
        return nginx_argv(config)


class Nghttpx:
    name = 'nghttpx'
    peer = True

    def argv(self, d, hop):
        if hop.tcp:
            return None
        backend = f'-b127.0.0.1,{hop.to};' + ';proto=h2' * hop.to_h2 + ';tls;sni=b.local' * hop.to_tls
        argv = [tool('nghttpx'), '--conf=/dev/null', '-n1', '--workers=1', '--no-via', '--errorlog-file=/dev/null', '--accesslog-file=/dev/null',
                backend, f'-f127.0.0.1,{hop.listen}' + ';no-tls' * (not hop.listen_tls)]
        if hop.to_tls:
            argv += [f'--client-private-key-file={d}/a.key', f'--client-cert-file={d}/a.pem', f'--cacert={d}/ca.pem']
        if hop.listen_tls:
            argv += ['--verify-client', f'--verify-client-cacert={d}/ca.pem', f'{d}/b.key', f'{d}/b.pem']
        return argv


EXTENSION = 'type.googleapis.com/envoy.extensions.'


def envoy_address(port):
    return {'socket_address': {'address': '127.0.0.1', 'port_value': port}}


def envoy_tls(d, who, alpn, peer=None):
    """Both sides show certificates of the bench's CA; TLS 1.3 alone."""
    trust = {'trusted_ca': {'filename': f'{d}/ca.pem'}}
    if peer:
        trust['match_typed_subject_alt_names'] = [{'san_type': 'DNS', 'matcher': {'exact': peer}}]
    return {'tls_params': {'tls_minimum_protocol_version': 'TLSv1_3', 'tls_maximum_protocol_version': 'TLSv1_3'},
            'tls_certificates': [{'certificate_chain': {'filename': f'{d}/{who}.pem'}, 'private_key': {'filename': f'{d}/{who}.key'}}],
            'validation_context': trust, 'alpn_protocols': alpn}


class Envoy:
    """A release build with one worker: listener, connection manager and router (tcp_proxy for opaque bytes), with nothing that a
    proxy need not do. Off are admin, hot restart, the statistics of listeners, routes and clusters, the router's dynamic ones and
    its x-envoy-* headers; what stays as released are codecs, windows, buffers and the request id."""
    name = 'envoy'
    peer = True

    def listener(self, d, hop):
        if hop.tcp:
            terminal = {'name': 'envoy.filters.network.tcp_proxy', 'typed_config': {
                '@type': EXTENSION + 'filters.network.tcp_proxy.v3.TcpProxy', 'stat_prefix': 'bench', 'cluster': 'next'}}
        else:
            router = {'name': 'envoy.filters.http.router', 'typed_config': {
                '@type': EXTENSION + 'filters.http.router.v3.Router', 'dynamic_stats': False, 'suppress_envoy_headers': True}}
            terminal = {'name': 'envoy.filters.network.http_connection_manager', 'typed_config': {
                '@type': EXTENSION + 'filters.network.http_connection_manager.v3.HttpConnectionManager',
                'stat_prefix': 'bench', 'http_filters': [router],
                'codec_type': 'HTTP2' if hop.listen_h2c else 'AUTO' if hop.listen_tls else 'HTTP1',
                'http_protocol_options': {'accept_http_10': True},  # ab speaks it
                'route_config': {'virtual_hosts': [{'name': 'all', 'domains': ['*'], 'routes': [
                    {'match': {'prefix': '/'}, 'route': {'cluster': 'next', 'timeout': '0s'}}]}]}}}
        chain = {'filters': [terminal]}
        if hop.listen_tls:
            chain['transport_socket'] = {'name': 'envoy.transport_sockets.tls', 'typed_config': {
                '@type': EXTENSION + 'transport_sockets.tls.v3.DownstreamTlsContext', 'require_client_certificate': True,
                'common_tls_context': envoy_tls(d, 'b', ['h2', 'http/1.1'])}}
        return {'name': 'in', 'address': envoy_address(hop.listen), 'filter_chains': [chain]}

    def cluster(self, d, hop):
        no_limit = {f'max_{what}': 1_000_000 for what in ('connections', 'pending_requests', 'requests', 'retries')}
        found = {'name': 'next', 'type': 'STATIC', 'circuit_breakers': {'thresholds': [no_limit]},
                 'load_assignment': {'cluster_name': 'next', 'endpoints': [
                     {'lb_endpoints': [{'endpoint': {'address': envoy_address(hop.to)}}]}]}}
        if not hop.tcp:
            found['typed_extension_protocol_options'] = {'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
                '@type': EXTENSION + 'upstreams.http.v3.HttpProtocolOptions',
                'explicit_http_config': {'http2_protocol_options' if hop.to_h2 else 'http_protocol_options': {}}}}
        if hop.to_tls:
            found['transport_socket'] = {'name': 'envoy.transport_sockets.tls', 'typed_config': {
                '@type': EXTENSION + 'transport_sockets.tls.v3.UpstreamTlsContext', 'sni': 'b.local',
                'common_tls_context': envoy_tls(d, 'a', ['h2' if hop.to_h2 else 'http/1.1'], 'b.local')}}
        return found

    def argv(self, d, hop):
        only = [{'prefix': prefix} for prefix in ('server.', 'listener_manager.', 'cluster_manager.')]
        config = d / f'envoy-{hop.listen}.json'
        config.write_text(json.dumps({
            'static_resources': {'listeners': [self.listener(d, hop)], 'clusters': [self.cluster(d, hop)]},
            'stats_config': {'stats_matcher': {'inclusion_list': {'patterns': only}}}}))
        return [tool('envoy'), '-c', config, '--concurrency', '1', '--disable-hot-restart', '--log-level', 'error']


class Outrigger:
    name = 'outrigger'
    peer = False

    def __init__(self, binary, workers=1, cpus=machine.PROXY_CPU):
        self.binary, self.workers, self.cpus = binary, workers, cpus

    def argv(self, d, hop, admin=None):
        protocol = 'tcp' if hop.tcp else 'http'
        who = 'b' if hop.listen_tls else 'a'
        text = ('version: 1\nnode: {service: bench}\n'
                f'admin: {{listen: "127.0.0.1:{admin or free_port()}"}}\nruntime: {{workers: {self.workers}, drain: 1s}}\ntelemetry: {{access_log: {{path: none}}}}\n')
        if hop.listen_tls or hop.to_tls:
            text += f'identity: {{trust_domain: bench, cert: {d}/{who}.pem, key: {d}/{who}.key, ca: {d}/ca.pem}}\n'
        if hop.listen_tls:
            text += f'inbound:\n  - {{listen: "127.0.0.1:{hop.listen}", app: "127.0.0.1:{hop.to}", protocol: {protocol}}}\n'
        else:
            reach = 'mtls: disabled'
            if hop.to_tls:
                reach = f'wire: {"http2" if hop.to_h2 else "http1"}, expect_ids: ["spiffe://bench/ns/default/sa/b"]'
            text += (f'outbound:\n  - {{listen: "127.0.0.1:{hop.listen}", service: origin}}\n'
                     f'services:\n  origin: {{endpoints: ["127.0.0.1:{hop.to}"], protocol: {protocol}, {reach}}}\n')
        config = d / f'outrigger-{hop.listen}.yaml'
        config.write_text(text)
        return [self.binary, 'run', '-c', config]


def start(proxy, d, hops, log):
    """Starts the hops, the last one first; None when this proxy cannot play one of them."""
    commands = [proxy.argv(d, hop) for hop in hops]
    if None in commands:
        return None
    running = []
    try:
        for hop, argv in reversed(list(zip(hops, commands))):
            machine.must_be_free(hop.listen)
            running.append(Pinned(argv, log, getattr(proxy, 'cpus', machine.PROXY_CPU)))
            running[-1].wait_port(hop.listen)
    except Exception:
        for one in running:
            one.stop()
        raise
    return running


def start_origin(d, port, log):
    """nginx with files of 1 KiB, 16 KiB and 1 MiB, on the load's CPU."""
    machine.must_be_free(port)
    files = d / 'www'
    files.mkdir()
    for name, size in (('1k', 1 << 10), ('16k', 16 << 10), ('1m', 1 << 20)):
        (files / name).write_bytes(b'x' * size)
    config = d / 'origin.conf'
    config.write_text(f'''{nginx_common(d, "origin")}http {{
  {nginx_http(d, "origin")}  open_file_cache max=10; sendfile on; tcp_nopush on;
  server {{ listen 127.0.0.1:{port} backlog=4096; root {files}; }}
}}
''')
    return Pinned(nginx_argv(config), log, machine.LOAD_CPU).wait_port(port)


def versions(binary):
    of = machine.version_of
    return {
        'outrigger': of([binary, 'version'], r'(\d+\.\d+\.\d+)'),
        'haproxy': of([tool('haproxy'), '-v'], r'version (\S+)'),
        'nginx': of([tool('nginx'), '-v'], r'nginx/(\S+)'),
        'envoy': of([tool('envoy'), '--version'], r'/(\d+\.\d+\.\d+)/') if find_tool('envoy') else 'absent',
        'nghttpx': of([tool('nghttpx'), '--version'], r'nghttp2/(\S+)'),
        'wrk': of([tool('wrk'), '-v'], r'wrk (?:debian/)?(\S+)'),
        'h2load': of([tool('h2load'), '--version'], r'nghttp2/(\S+)'),
        'ab': of([tool('ab'), '-V'], r'Version (\S+)'),
        'openssl': of(['openssl', 'version'], r'OpenSSL (\S+)'),
    }
