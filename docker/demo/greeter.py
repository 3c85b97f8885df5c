"""The demo's gRPC service, or with --call its client. Messages are plain bytes, so that no generated
code is needed: what travels is gRPC all the same."""
import sys
from concurrent import futures

import grpc

SERVICE = 'demo.Greeter'


def greet(request, context):
    return b'hello, ' + request


def count(request, context):
    for i in range(1, int(request) + 1):
        yield b'%d' % i


def serve(port):
    server = grpc.server(futures.ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {
        'Greet': grpc.unary_unary_rpc_method_handler(greet),
        'Count': grpc.unary_stream_rpc_method_handler(count),
    }),))
    server.add_insecure_port(f'127.0.0.1:{port}')
    server.start()
    server.wait_for_termination()


def call(port):
    with grpc.insecure_channel(f'127.0.0.1:{port}', options=[('grpc.enable_http_proxy', 0)]) as channel:
        said = channel.unary_unary(f'/{SERVICE}/Greet')(b'web', timeout=10)
        counted = list(channel.unary_stream(f'/{SERVICE}/Count')(b'5', timeout=10))
    print(f'"{said.decode()}", then a stream of {len(counted)} messages')


if __name__ == '__main__':
    if sys.argv[1] == '--call':
        call(sys.argv[2])
    else:
        serve(sys.argv[1])
