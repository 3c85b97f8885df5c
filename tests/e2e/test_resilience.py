"""When endpoints fail: retries, breakers, timeouts and the text of local replies."""
import json
import threading
import time

from harness import PATIENCE, SANITIZER, Case, Client, Pki, Stream, Threads, fetch, free_port, main


class LocalReplies(Case):
    def check(self, answer, status, flag):
        self.assertEqual((answer.status, flag in answer.text), (status, True), answer.text)
        self.assertEqual(answer.header('server'), 'outrigger')
        self.assertTrue(answer.header('content-type').startswith('application/json'))
        self.assertEqual(json.loads(answer.text)['flag'], flag)

    def test_no_endpoint_is_uh(self):
        registry = self.directory / 'endpoints.yaml'
        registry.write_text('orders: []\n')
        sidecar = self.caller('  orders: {registry: local, mtls: disabled}\n',
                              extra=f'registries:\n  local: {{type: file, path: {registry}}}\n')
        self.check(fetch(sidecar.port), 503, 'UH')
        self.assertEqual(sidecar.metric('outrigger_requests_total', flag='UH'), 1)

    def test_connect_failure_is_uf(self):
        sidecar = self.plain([free_port()])
        self.check(fetch(sidecar.port), 503, 'UF')
        with Client(sidecar.port) as client:
            for _ in range(3):
                self.check(client.request('POST', '/', body=b'x'), 503, 'UF')
        self.assertEqual(sidecar.metric('outrigger_requests_total', flag='UF'), 4)

    def test_an_unknown_host_is_nr(self):
        port = free_port()
        upstream = self.origin()
        sidecar = self.caller(f'  orders: {{endpoints: ["127.0.0.1:{upstream.port}"], mtls: disabled}}\n',
                              outbound=f'  - {{listen: "127.0.0.1:{port}", route_by: host}}\n')
        self.assertEqual(fetch(port, host='orders').status, 200)
        self.check(fetch(port, host='nobody'), 404, 'NR')
        self.assertTrue(sidecar.running())

    def test_timeout_is_ut(self):
        upstream = self.origin(lambda r: (time.sleep(3), (200, {}, b'late'))[1])
        sidecar = self.plain([upstream], 'timeout: 300ms')
        begun = time.monotonic()
        self.check(fetch(sidecar.port), 504, 'UT')
        self.assertTrue(0.29 < time.monotonic() - begun < (2 if SANITIZER else 1.2))
        self.assertEqual(sidecar.metric('outrigger_requests_total', flag='UT'), 1)

    def test_the_timeout_covers_headers_and_not_the_body(self):
        def serve(connection):
            Stream(connection).until(b'\r\n\r\n')
            connection.sendall(b'HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n')
            for byte in (b'l', b'o', b'n', b'g'):
                time.sleep(0.25)
                connection.sendall(byte)
        sidecar = self.plain([self.endpoint(serve)], 'timeout: 300ms')
        self.assertEqual(fetch(sidecar.port).body, b'long')

    def test_an_endpoint_that_does_not_answer_the_handshake(self):
        """A full backlog swallows the SYN; connect_timeout ends the wait."""
        import socket
        listener = socket.socket()
        self.addCleanup(listener.close)
        listener.bind(('127.0.0.1', 0))
        listener.listen(0)
        fill = []
        for _ in range(8):
            s = socket.socket()
            s.setblocking(False)
            s.connect_ex(listener.getsockname())
            fill.append(s)
            self.addCleanup(s.close)
        sidecar = self.plain([listener.getsockname()[1]], 'connect_timeout: 300ms, timeout: 5s')
        begun = time.monotonic()
        self.check(fetch(sidecar.port), 503, 'UF')
        # At most two tries of 300 ms, and a pause between them.
        self.assertTrue(0.29 < time.monotonic() - begun < (4 if SANITIZER else 2))


class Retries(Case):
    def test_a_closed_port_costs_no_call(self):
        alive = self.origin()
        sidecar = self.plain([free_port(), free_port(), alive], 'load_balancer: round_robin')
        for method, body in (('GET', None), ('POST', b'x')) * 10:
            self.assertEqual(fetch(sidecar.port, method=method, body=body).status, 200)

    def test_a_reused_connection_that_died(self):
        """The origin closes while the connection is idle in the pool; then as the next request arrives."""
        def polite(connection):
            Stream(connection).until(b'\r\n\r\n')
            connection.sendall(b'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok')
        sidecar = self.plain([self.endpoint(polite)])
        for i in range(20):
            self.assertEqual(fetch(sidecar.port, method='PUT' if i % 2 else 'GET', body=b'x' if i % 2 else None).status, 200)

        seen = []

        def rude(connection):
            stream = Stream(connection)
            stream.until(b'\r\n\r\n')
            connection.sendall(b'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok')
            if stream.until(b'\r\n\r\n') is not None:
                seen.append(1)
        sidecar = self.plain([self.endpoint(rude)])
        for _ in range(20):
            self.assertEqual(fetch(sidecar.port).status, 200)
        self.assertGreater(len(seen), 5, 'connections did die under a request')

    def test_a_reset_before_the_answer_is_retried_for_get_and_not_for_post(self):
        calls = []

        def serve(connection):
            head = Stream(connection).until(b'\r\n\r\n')
            if head is None:
                return
            calls.append(head.split(b' ')[0])
            if len(calls) % 2:
                return
            connection.sendall(b'HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok')
        sidecar = self.plain([self.endpoint(serve)])
        self.assertEqual(fetch(sidecar.port).status, 200)
        self.assertEqual(calls, [b'GET', b'GET'])
        answer = fetch(sidecar.port, method='POST', body=b'x')
        self.assertEqual((answer.status, 'UC' in answer.text), (503, True), answer.text)
        self.assertEqual(calls[2:], [b'POST'], 'a POST whose bytes went out is not sent twice')

    def test_statuses_when_told(self):
        answers = [503, 502, 200]
        upstream = self.origin(lambda r: (answers[(len(upstream.requests) - 1) % 3], {}, b'x'))
        sidecar = self.plain([upstream], 'retry: {max: 2, retry_on: [gateway_error]}')
        self.assertEqual(fetch(sidecar.port, method='GET').status, 200)
        self.assertEqual(len(upstream.requests), 3)
        self.assertEqual(sidecar.metric('outrigger_upstream_retries_total'), 2)

    def test_a_503_of_the_app_is_its_own_without_being_told(self):
        upstream = self.origin(lambda r: (503, {'x-mine': '1'}, b'busy'))
        sidecar = self.plain([upstream])
        answer = fetch(sidecar.port)
        self.assertEqual((answer.status, answer.header('x-mine'), answer.body), (503, '1', b'busy'))
        self.assertEqual(len(upstream.requests), 1)

    def test_the_body_is_replayed_whole(self):
        calls = []

        def answer(request):
            calls.append(request.body)
            return (503, {}, b'') if len(calls) == 1 else (200, {}, request.body)
        sidecar = self.plain([self.origin(answer)], 'retry: {max: 1, retry_on: [5xx]}')
        body = bytes(range(256)) * 200
        self.assertEqual(fetch(sidecar.port, method='PUT', body=body).body, body)
        self.assertEqual(calls, [body, body])

    def test_a_body_too_large_to_keep_is_not_replayed(self):
        upstream = self.origin(lambda r: (503, {}, b'no'))
        sidecar = self.plain([upstream], 'retry: {max: 3, retry_on: [5xx]}')
        self.assertEqual(fetch(sidecar.port, method='PUT', body=b'x' * (1 << 20)).status, 503)
        self.assertEqual(len(upstream.requests), 1)

    def test_retries_are_bounded_when_everything_fails(self):
        upstream = self.origin(lambda r: (503, {}, b'no'))
        sidecar = self.plain([upstream], 'retry: {max: 3, retry_on: [5xx], backoff: 1ms..2ms}')
        with Client(sidecar.port) as client:
            for _ in range(200):
                self.assertEqual(client.request('GET', '/').status, 503)
        # The floor admits 3 at a time, and one caller never has more than one in flight.
        self.assertEqual(len(upstream.requests), 200 * 4, 'a lone caller has every try it asked for')

    def test_an_outage_sees_a_fifth_more_requests_and_three_at_a_time(self):
        """Every response is held until everything that can arrive has arrived: the retries of a wave are exactly those the budget grants."""
        callers = 60
        gates, wave, seen, answers = [threading.Event() for _ in range(5)], [0], [0] * 5, []
        lock = threading.Lock()
        for gate in gates:
            self.addCleanup(gate.set)

        def answer(request):
            with lock:
                mine = wave[0]
                seen[mine] += 1
            gates[mine].wait(PATIENCE)
            return 503, {}, b'no'
        sidecar = self.plain([self.origin(answer)], 'retry: {max: 3, retry_on: [5xx], backoff: 1ms..2ms}')

        def call():
            status = fetch(sidecar.port).status
            with lock:
                answers.append(status)
        threads = Threads(*[call] * callers)
        self.eventually(callers, lambda: seen[0], 'first tries')
        for i in range(3):
            wave[0] = i + 1
            gates[i].set()
            # Callers refused another try have a response; the others are at the origin again.
            self.eventually(callers, lambda: len(answers) + seen[i + 1], f'callers after wave {i}')
        gates[3].set()
        threads.join()
        self.assertEqual(answers, [503] * callers)
        share = callers // 5
        self.assertTrue(0 < seen[1] <= share + 3, seen)
        # The share of the last 10 s is used up: what follows comes from the floor.
        self.assertTrue(seen[2] <= 3 and seen[3] <= 3, seen)
        self.assertEqual(sidecar.metric('outrigger_upstream_retries_total'), sum(seen[1:4]))


class Breakers(Case):
    def slow(self):
        gate = threading.Event()
        self.addCleanup(gate.set)

        def answer(request):
            gate.wait(20)
            return 200, {}, b'ok'
        return gate, self.origin(answer)

    def overflow(self, options, admitted, connections, direction='outbound'):
        gate, upstream = self.slow()
        if direction == 'outbound':
            sidecar = self.plain([upstream], options)
        else:
            sidecar = self.callee(upstream.port, Pki(self.directory / 'pki'), options='mtls: disabled, ' + options)
        waiting = []
        for i in range(admitted):
            client = self.client(sidecar.port)
            client.send(b'GET / HTTP/1.1\r\nhost: orders\r\n\r\n')
            waiting.append(client)
            # A request whose connection is being opened waits like any other.
            self.eventually(True, lambda: upstream.accepted >= min(i + 1, connections), 'connections at the origin')
        self.eventually(admitted, lambda: int(sidecar.metric('outrigger_requests_active', direction=direction)), 'active requests')
        answer = fetch(sidecar.port)
        self.assertEqual((answer.status, 'UO' in answer.text), (503, True), answer.text)
        gate.set()
        for client in waiting:
            self.assertEqual(client.read().status, 200)
        self.assertEqual(fetch(sidecar.port).status, 200, 'the breaker closes when the load is gone')
        self.assertEqual(sidecar.metric('outrigger_requests_total', flag='UO'), 1)
        return upstream

    def test_requests(self):
        self.overflow('breaker: {requests: 4}', 4, 4)

    def test_connections_and_pending(self):
        upstream = self.overflow('breaker: {connections: 2, pending: 3}', 5, 2)
        self.assertEqual(upstream.accepted, 2)

    def test_requests_to_the_app(self):
        self.overflow('breaker: {requests: 4}', 4, 4, 'inbound')

    def test_connections_to_the_app(self):
        upstream = self.overflow('breaker: {connections: 2, pending: 3}', 5, 2, 'inbound')
        self.assertEqual(upstream.accepted, 2)


class Balancing(Case):
    def spread(self, policy, calls=300, callers=1):
        counts = {}

        def origin(name):
            def answer(request):
                with lock:
                    counts[name] = counts.get(name, 0) + 1
                return 200, {}, name
            return self.origin(answer)
        lock = threading.Lock()
        origins = [origin(b'a'), origin(b'b'), origin(b'c')]
        sidecar = self.plain(origins, f'load_balancer: {policy}')

        def call():
            with Client(sidecar.port) as client:
                for _ in range(calls // callers):
                    self.assertEqual(client.request('GET', '/').status, 200)
        Threads(*[call] * callers).join()
        self.assertEqual(sum(counts.values()), calls)
        return counts

    def test_round_robin_is_even(self):
        self.assertEqual(self.spread('round_robin'), {b'a': 100, b'b': 100, b'c': 100})

    def test_the_others_use_every_endpoint(self):
        for policy in ('random', 'least_request', 'peak_ewma'):
            self.assertEqual(len(self.spread(policy, callers=10)), 3, policy)

    def test_peak_ewma_leaves_the_slow_one_alone(self):
        counts = {'fast': 0, 'slow': 0}

        def origin(name, delay):
            def answer(request):
                counts[name] += 1
                time.sleep(delay)
                return 200, {}, b''
            return self.origin(answer)
        sidecar = self.plain([origin('slow', 0.1), origin('fast', 0), origin('fast', 0)])
        with Client(sidecar.port) as client:
            for _ in range(200):
                self.assertEqual(client.request('GET', '/').status, 200)
        self.assertEqual(sum(counts.values()), 200)
        self.assertLess(counts['slow'], 10)


if __name__ == '__main__':
    main()
