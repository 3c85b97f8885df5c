"""gRPC, all four kinds of call, with a real client and server through two sidecars over mTLS."""
import threading
import time
from concurrent import futures

import harness
from harness import Case, free_port, main

try:
    import grpc
except ImportError:
    harness.skip_file('python3-grpcio is not on this machine')

SERVICE = 'test.Greeter'


def server(port):
    """A server of plain bytes: no schema, because messages do not matter to the proxy."""
    def unary(request, context):
        if request == b'fail':
            context.set_trailing_metadata((('x-why', 'asked'), ('why-bin', b'\x00\x01')))
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, 'as asked: 100% ünlucky')
        if request == b'slow':
            time.sleep(5)
        seen = dict(context.invocation_metadata())
        context.send_initial_metadata((('x-initial', '1'),))
        context.set_trailing_metadata((('x-trailing', '2'),))
        return request + b'|' + seen.get('x-meta', '').encode()

    def server_stream(request, context):
        for i in range(int(request)):
            yield b'%d' % i

    def client_stream(requests, context):
        return b'%d' % sum(len(r) for r in requests)

    def bidi(requests, context):
        for request in requests:
            yield b'<' + request + b'>'

    handlers = {
        'Unary': grpc.unary_unary_rpc_method_handler(unary),
        'ServerStream': grpc.unary_stream_rpc_method_handler(server_stream),
        'ClientStream': grpc.stream_unary_rpc_method_handler(client_stream),
        'Bidi': grpc.stream_stream_rpc_method_handler(bidi),
    }
    made = grpc.server(futures.ThreadPoolExecutor(32), options=[('grpc.max_receive_message_length', -1)])
    made.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    assert made.add_insecure_port(f'127.0.0.1:{port}') == port
    made.start()
    return made


class Grpc(Case):
    def setUp(self):
        super().setUp()
        port = free_port()
        app = server(port)
        self.addCleanup(lambda: app.stop(0).wait())
        self.sidecar, self.peer = self.pair(port, protocol='grpc', inbound='grpc')
        self.channel = grpc.insecure_channel(f'127.0.0.1:{self.sidecar.port}', options=[
            ('grpc.enable_http_proxy', 0), ('grpc.default_authority', 'orders'), ('grpc.max_receive_message_length', -1)])
        self.addCleanup(self.channel.close)

    def unary(self, request, **how):
        return self.channel.unary_unary(f'/{SERVICE}/Unary').with_call(request, timeout=how.pop('timeout', 20), **how)

    def test_unary(self):
        answer, call = self.unary(b'hello', metadata=(('x-meta', 'm'),))
        self.assertEqual(answer, b'hello|m')
        self.assertIn(('x-initial', '1'), list(call.initial_metadata()))
        self.assertIn(('x-trailing', '2'), list(call.trailing_metadata()))

    def test_a_failed_call_carries_status_message_and_metadata(self):
        with self.assertRaises(grpc.RpcError) as failed:
            self.unary(b'fail')
        error = failed.exception
        self.assertEqual((error.code(), error.details()), (grpc.StatusCode.FAILED_PRECONDITION, 'as asked: 100% ünlucky'))
        trailing = dict(error.trailing_metadata())
        self.assertEqual((trailing['x-why'], trailing['why-bin']), ('asked', b'\x00\x01'))

    def test_an_unknown_method(self):
        with self.assertRaises(grpc.RpcError) as failed:
            self.channel.unary_unary(f'/{SERVICE}/Nothing')(b'', timeout=20)
        self.assertEqual(failed.exception.code(), grpc.StatusCode.UNIMPLEMENTED)

    def test_server_streaming(self):
        got = list(self.channel.unary_stream(f'/{SERVICE}/ServerStream')(b'1000', timeout=60))
        self.assertEqual(got, [b'%d' % i for i in range(1000)])

    def test_client_streaming(self):
        messages = [b'x' * (i % 3000) for i in range(1000)]
        answer = self.channel.stream_unary(f'/{SERVICE}/ClientStream')(iter(messages), timeout=60)
        self.assertEqual(int(answer), sum(map(len, messages)))

    def test_bidirectional_streaming_is_a_conversation(self):
        """Each message is sent only after the response to the previous one: nothing may be held back."""
        answered = threading.Semaphore(1)

        def questions():
            for i in range(200):
                answered.acquire()
                yield b'%d' % i
        got = []
        for answer in self.channel.stream_stream(f'/{SERVICE}/Bidi')(questions(), timeout=60):
            got.append(answer)
            answered.release()
        self.assertEqual(got, [b'<%d>' % i for i in range(200)])

    def test_large_messages(self):
        message = bytes(range(256)) * (16 << 10)
        self.assertEqual(self.unary(message, timeout=60)[0], message + b'|')

    def test_many_streams_at_once(self):
        calls = [self.channel.unary_unary(f'/{SERVICE}/Unary').future(b'%d' % i, timeout=60) for i in range(500)]
        self.assertEqual([c.result() for c in calls], [b'%d|' % i for i in range(500)])

    def test_a_deadline_travels_and_ends_the_call(self):
        begun = time.monotonic()
        with self.assertRaises(grpc.RpcError) as failed:
            self.unary(b'slow', timeout=0.5)
        self.assertEqual(failed.exception.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
        self.assertLess(time.monotonic() - begun, 4)

    def test_a_cancelled_call_frees_its_stream(self):
        stream = self.channel.stream_stream(f'/{SERVICE}/Bidi')(iter([b'one']), timeout=60)
        self.assertEqual(next(stream), b'<one>')
        stream.cancel()
        self.eventually(0, lambda: self.peer.metric('outrigger_requests_active'), 'active requests at the callee')
        self.assertEqual(self.unary(b'next')[0], b'next|')

    def test_a_local_answer_is_grpc(self):
        self.peer.stop()
        with self.assertRaises(grpc.RpcError) as failed:
            self.unary(b'x')
        self.assertEqual(failed.exception.code(), grpc.StatusCode.UNAVAILABLE)
        self.assertIn('UF', failed.exception.details())

    def test_the_grpc_status_is_a_label(self):
        self.unary(b'x')
        with self.assertRaises(grpc.RpcError):
            self.unary(b'fail')
        for status in ('0', '9'):
            self.eventually(1, lambda s=status: self.peer.metric('outrigger_requests_total', direction='inbound', grpc_status=s), status)


if __name__ == '__main__':
    main()
