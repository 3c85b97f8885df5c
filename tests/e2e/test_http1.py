"""HTTP/1.1 through one sidecar, in clear text: what a caller and an origin see from each other."""
import socket
import struct
import threading

from harness import PATIENCE, Case, Client, Stream, curl, fetch, main


class Http1(Case):
    def setUp(self):
        super().setUp()
        self.upstream = self.origin(self.answer)
        self.sidecar = self.plain([self.upstream])
        self.port = self.sidecar.port

    def answer(self, request):
        path = request.target.split('?')[0]
        if path == '/empty':
            return 204, {}, b''
        if path == '/unchanged':
            return 304, {'etag': '"x"'}, b''
        if path == '/chunked':
            return (b'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n'
                    b'5\r\nhello\r\n6\r\n world\r\n0\r\nx-sum: 11\r\n\r\n')
        if path == '/until-close':
            return None
        if path == '/early-hints':
            return b'HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'
        if path == '/hop':
            return 200, {'connection': 'x-secret', 'x-secret': '1', 'keep-alive': 'timeout=5', 'x-kept': '1'}, b''
        return 200, {'x-method': request.method}, request.body or b'ok'

    def test_get(self):
        answer = fetch(self.port, '/a?b=c')
        self.assertEqual((answer.status, answer.body), (200, b'ok'))
        seen = self.upstream.requests[-1]
        self.assertEqual((seen.method, seen.target, seen.version), ('GET', '/a?b=c', 'HTTP/1.1'))
        self.assertEqual(seen.all('host'), ['orders'])

    def test_every_method(self):
        for method in ('GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH', 'PROPFIND'):
            body = b'body' if method in ('POST', 'PUT', 'PATCH') else None
            answer = fetch(self.port, '/m', method, body=body)
            self.assertEqual(answer.status, 200, method)
            self.assertEqual(answer.header('x-method'), method)
            if method != 'HEAD':
                self.assertEqual(answer.body, body or b'ok', method)

    def test_head_keeps_its_content_length_and_has_no_body(self):
        with Client(self.port) as client:
            answer = client.request('HEAD', '/m')
            self.assertEqual(answer.header('content-length'), '2')
            self.assertEqual(client.request('GET', '/m').body, b'ok', 'the connection is in step after HEAD')

    def test_answers_without_body(self):
        with Client(self.port) as client:
            for path, status in (('/empty', 204), ('/unchanged', 304), ('/empty', 204)):
                self.assertEqual(client.request('GET', path).status, status)
            self.assertEqual(client.request('GET', '/m').body, b'ok')

    def test_chunked_answer_with_trailers(self):
        with Client(self.port) as client:
            answer = client.request('GET', '/chunked', {'te': 'trailers'})
            self.assertEqual(answer.body, b'hello world')
            self.assertIn(('x-sum', '11'), [(k.lower(), v) for k, v in answer.trailers])
            self.assertEqual(client.request('GET', '/m').status, 200)

    def test_chunked_request_with_trailers(self):
        with Client(self.port) as client:
            client.send(b'POST /up HTTP/1.1\r\nhost: orders\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n'
                        b'3;ext=1\r\nabc\r\n4\r\ndefg\r\n0\r\nx-sum: 7\r\n\r\n')
            self.assertEqual(client.read().body, b'abcdefg')
        seen = self.upstream.requests[-1]
        self.assertEqual(seen.body, b'abcdefg')
        self.assertIn(('x-sum', '7'), [(k.lower(), v) for k, v in seen.trailers])
        self.assertIsNone(seen.header('content-length'))

    def test_keep_alive_uses_one_connection_on_both_sides(self):
        with Client(self.port) as client:
            for _ in range(50):
                self.assertEqual(client.request('GET', '/').status, 200)
        self.assertEqual(self.upstream.accepted, 1)

    def test_pipelined_requests_are_answered_in_order(self):
        with Client(self.port) as client:
            client.send(b''.join(b'POST /%d HTTP/1.1\r\nhost: orders\r\ncontent-length: 4\r\n\r\n%04d' % (i, i) for i in range(100)))
            self.assertEqual([client.read().body for _ in range(100)], [b'%04d' % i for i in range(100)])

    def test_http_1_0(self):
        with Client(self.port) as client:
            client.send(b'GET /chunked HTTP/1.0\r\nhost: orders\r\n\r\n')
            answer = client.read()
            self.assertEqual(answer.status, 200)
            self.assertIsNone(answer.header('transfer-encoding'), 'HTTP/1.0 knows no chunks')
            self.assertEqual(answer.body, b'hello world')
            self.assertFalse(client.stream.more(), 'an HTTP/1.0 connection ends with its answer')

    def test_http_1_0_keep_alive(self):
        with Client(self.port) as client:
            for _ in range(2):
                client.send(b'GET / HTTP/1.0\r\nhost: orders\r\nconnection: keep-alive\r\n\r\n')
                answer = client.read()
                self.assertEqual((answer.status, (answer.header('connection') or '').lower()), (200, 'keep-alive'))

    def test_connection_close_is_obeyed(self):
        with Client(self.port) as client:
            answer = client.request('GET', '/', {'connection': 'close'})
            self.assertEqual((answer.header('connection') or '').lower(), 'close')
            self.assertFalse(client.stream.more())

    def test_expect_continue(self):
        with Client(self.port) as client:
            client.send(b'POST /e HTTP/1.1\r\nhost: orders\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n')
            self.assertEqual(client.stream.until(b'\r\n\r\n').split(b' ')[1], b'100')
            client.send(b'abc')
            self.assertEqual(client.read().body, b'abc')

    def test_other_interim_answers_pass(self):
        with Client(self.port) as client:
            self.assertEqual(client.request('GET', '/early-hints').body, b'ok')
            self.assertEqual(client.interim, [103])

    def test_hop_by_hop_headers_are_removed(self):
        answer = fetch(self.port, '/hop', headers={'connection': 'x-private', 'x-private': '1', 'keep-alive': '9',
                                                   'proxy-connection': 'x', 'te': 'gzip', 'x-public': '1'})
        self.assertIsNone(answer.header('x-secret'))
        self.assertIsNone(answer.header('keep-alive'))
        self.assertEqual(answer.header('x-kept'), '1')
        seen = self.upstream.requests[-1]
        for name in ('x-private', 'keep-alive', 'proxy-connection', 'te'):
            self.assertIsNone(seen.header(name), name)
        self.assertEqual(seen.header('x-public'), '1')

    def test_request_id_and_trace_context_are_made_or_kept(self):
        fetch(self.port)
        seen = self.upstream.requests[-1]
        self.assertTrue(seen.header('x-request-id'))
        self.assertRegex(seen.header('traceparent'), r'^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$')
        trace = '0af7651916cd43dd8448eb211c80319c'
        fetch(self.port, headers={'x-request-id': 'mine', 'traceparent': f'00-{trace}-b7ad6b7169203331-01'})
        seen = self.upstream.requests[-1]
        self.assertEqual(seen.all('x-request-id'), ['mine'])
        self.assertEqual(seen.header('traceparent')[3:35], trace)

    def test_two_requests_have_two_ids(self):
        fetch(self.port)
        fetch(self.port)
        ids = [r.header('x-request-id') for r in self.upstream.requests]
        self.assertEqual(len(set(ids)), 2)

    def test_repeated_headers_stay_repeated_and_in_order(self):
        with Client(self.port) as client:
            client.send(b'GET / HTTP/1.1\r\nhost: orders\r\nx-a: 1\r\nX-B: 2\r\nx-a: 3\r\ncookie: a=1\r\ncookie: b=2\r\n\r\n')
            client.read()
        seen = self.upstream.requests[-1]
        self.assertEqual(seen.all('x-a'), ['1', '3'])
        self.assertEqual(seen.all('cookie'), ['a=1', 'b=2'])

    def test_a_body_of_every_awkward_size(self):
        with Client(self.port) as client:
            for size in (0, 1, 4095, 4096, 4097, 65535, 65536, 65537, 1 << 20):
                body = bytes(size)
                self.assertEqual(client.request('POST', '/s', body=body).body, body or b'ok', size)

    def test_absolute_form(self):
        with Client(self.port) as client:
            client.send(b'GET http://orders/abs?x HTTP/1.1\r\nhost: orders\r\n\r\n')
            self.assertEqual(client.read().status, 200)
        self.assertEqual(self.upstream.requests[-1].target, '/abs?x')

    def test_many_headers_reach_the_limit_and_not_further(self):
        # With host, a hundred.
        fields = {f'x-{i}': 'v' for i in range(99)}
        self.assertEqual(fetch(self.port, headers=fields).status, 200)
        self.assertEqual(fetch(self.port, headers={**fields, 'x-more': 'v'}).status, 431)
        self.assertEqual(fetch(self.port, headers={'x-long': 'v' * (61 * 1024)}).status, 431)

    def test_an_origin_with_too_many_headers_is_a_502(self):
        upstream = self.origin(lambda r: (200, {f'x-{i}': 'v' for i in range(200)}, b''))
        self.assertEqual(fetch(self.plain([upstream]).port).status, 502)

    def test_an_answer_ended_by_close(self):
        def serve(connection):
            Stream(connection).until(b'\r\n\r\n')
            connection.sendall(b'HTTP/1.1 200 OK\r\n\r\nuntil the end')
        sidecar = self.plain([self.endpoint(serve)])
        with Client(sidecar.port) as client:
            answer = client.request('GET', '/')
            self.assertEqual(answer.body, b'until the end')

    def test_a_truncated_answer_is_not_passed_on_as_complete(self):
        def serve(connection):
            Stream(connection).until(b'\r\n\r\n')
            connection.sendall(b'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel')
        sidecar = self.plain([self.endpoint(serve)])
        code, _, _ = curl(f'http://127.0.0.1:{sidecar.port}/', '-H', 'host: orders')
        self.assertIn(code, (18, 56), 'curl saw the transfer break off')

    def test_a_malformed_answer_is_a_502_that_names_the_reason(self):
        def serve(connection):
            Stream(connection).until(b'\r\n\r\n')
            connection.sendall(b'HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd')
        answer = fetch(self.plain([self.endpoint(serve)]).port)
        self.assertEqual(answer.status, 502)
        self.assertIn('UPE', answer.text)

    def test_unsolicited_bytes_close_the_pooled_connection(self):
        """What an origin sends beyond its response is never taken for the next response."""
        def serve(connection):
            stream = Stream(connection)
            while stream.until(b'\r\n\r\n') is not None:
                connection.sendall(b'HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngoodHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil')
        upstream = self.endpoint(serve)
        sidecar = self.plain([upstream])
        for _ in range(5):
            self.assertEqual(fetch(sidecar.port).body, b'good')
        self.assertEqual(upstream.accepted, 5)

    def test_an_early_answer_ends_the_upload_and_the_upstream_connection(self):
        def serve(connection):
            Stream(connection).until(b'\r\n\r\n')
            connection.sendall(b'HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno')
            while connection.recv(65536):
                pass
        upstream = self.endpoint(serve)
        sidecar = self.plain([upstream])
        with Client(sidecar.port) as client:
            client.send(b'POST / HTTP/1.1\r\nhost: orders\r\ncontent-length: 1000000000\r\n\r\n' + b'x' * 1000)
            self.assertEqual(client.read().status, 413)
        with Client(sidecar.port) as client:
            self.assertEqual(client.request('POST', '/', body=b'x').status, 413)
        self.assertEqual(upstream.accepted, 2, 'a connection with half a request on it is not used again')

    def test_a_caller_that_leaves_cancels_the_upstream_request(self):
        gone, asked = [], threading.Event()

        def serve(connection):
            Stream(connection).until(b'\r\n\r\n')
            asked.set()
            try:
                gone.append(connection.recv(1))
            except ConnectionResetError:
                gone.append(b'')
        sidecar = self.plain([self.endpoint(serve)])
        client = Client(sidecar.port)
        client.send(b'GET / HTTP/1.1\r\nhost: orders\r\n\r\n')
        self.assertTrue(asked.wait(PATIENCE))
        client.close()
        self.eventually([b''], lambda: gone, 'the origin saw its connection end')

    def test_what_came_before_an_app_aborted_is_delivered(self):
        def serve(connection):
            Stream(connection).until(b'\r\n\r\n')
            connection.sendall(b'HTTP/1.1 200 OK\r\ncontent-length: 100\r\nx-app: here\r\n\r\nhalf of it')
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
            connection.close()
        sidecar = self.plain([self.endpoint(serve)])
        for _ in range(50):
            with socket.create_connection(('127.0.0.1', sidecar.port)) as caller:
                caller.settimeout(PATIENCE)
                caller.sendall(b'GET / HTTP/1.1\r\nhost: orders\r\n\r\n')
                answer = b''
                while piece := caller.recv(4096):
                    answer += piece
            head, _, body = answer.partition(b'\r\n\r\n')
            self.assertIn(b'x-app: here', head)
            self.assertEqual(body, b'half of it')

    def test_http2_prior_knowledge_comes_out_as_http1(self):
        code, out, err = curl('--http2-prior-knowledge', f'http://127.0.0.1:{self.port}/h2', '-H', 'host: orders',
                              '-d', 'body', '-w', ' %{http_version} %{http_code}')
        self.assertEqual((code, out), (0, b'body 2 200'), err)
        seen = self.upstream.requests[-1]
        self.assertEqual((seen.version, seen.body, seen.header('host')), ('HTTP/1.1', b'body', 'orders'))


if __name__ == '__main__':
    main()
