"""Where a request goes: routes, splits, Host, the file registry."""
import os
import re
import time

from harness import Case, Client, curl, fetch, free_port, main


class Routes(Case):
    def world(self, routes, subsets=''):
        self.old = self.origin(lambda r: (200, {'x-seen': r.target}, b'old'))
        self.new = self.origin(lambda r: (200, {'x-seen': r.target}, b'new'))
        services = (f'  orders: {{endpoints: ["127.0.0.1:{self.old.port}"], mtls: disabled}}\n'
                    f'  fresh: {{endpoints: ["127.0.0.1:{self.new.port}"], mtls: disabled}}\n')
        self.sidecar = self.caller(services, routes='routes:\n' + routes)
        return self.sidecar.port

    def body(self, port, *arguments, **how):
        return fetch(port, *arguments, **how).body

    def test_path_method_header_and_query(self):
        port = self.world('''  - {match: {service: orders, path: /exact}, to: fresh}
  - {match: {service: orders, path: /api/**, methods: [POST]}, to: fresh}
  - {match: {service: orders, headers: {x-beta: "1"}}, to: fresh}
  - {match: {service: orders, query: {v: "2"}}, to: fresh}
''')
        for target, how, expected in (
                ('/exact', {}, b'new'), ('/exact/', {}, b'old'), ('/exactly', {}, b'old'), ('/exact?x=1', {}, b'new'),
                ('/api/a', dict(method='POST'), b'new'), ('/api/a', {}, b'old'), ('/apis', dict(method='POST'), b'old'),
                ('/', dict(headers={'X-Beta': '1'}), b'new'), ('/', dict(headers={'x-beta': '11'}), b'old'),
                ('/?a=1&v=2', {}, b'new'), ('/?v=22', {}, b'old'), ('/?w=2', {}, b'old')):
            self.assertEqual(self.body(port, target, **how), expected, f'{target} {how}')

    def test_the_first_match_wins(self):
        port = self.world('  - {match: {service: orders, path: /a/**}, to: orders}\n  - {match: {service: orders, path: /**}, to: fresh}\n')
        self.assertEqual((self.body(port, '/a/b'), self.body(port, '/b')), (b'old', b'new'))

    def test_a_split_is_what_it_says(self):
        port = self.world('  - {match: {service: orders}, split: {orders: 90%, fresh: 10%}}\n')
        with Client(port) as client:
            got = [client.request('GET', '/').body for _ in range(2000)]
        self.assertTrue(120 < got.count(b'new') < 290, got.count(b'new'))

    def test_subsets(self):
        old = self.origin(lambda r: (200, {}, b'old'))
        new = self.origin(lambda r: (200, {}, b'new'))
        sidecar = self.caller(
            f'''  orders:
    endpoints:
      - {{address: "127.0.0.1:{old.port}", labels: {{version: v1}}}}
      - {{address: "127.0.0.1:{new.port}", labels: {{version: v2}}}}
    subsets: {{stable: {{version: v1}}, canary: {{version: v2}}}}
    mtls: disabled
''', routes='routes:\n  - {match: {service: orders, path: /new/**}, to: orders/canary}\n  - {match: {service: orders}, to: orders/stable}\n')
        for _ in range(20):
            self.assertEqual((self.body(sidecar.port, '/new/x'), self.body(sidecar.port, '/x')), (b'new', b'old'))

    def test_rewrite(self):
        port = self.world('  - {match: {service: orders, path: /api/**}, to: fresh, rewrite: {prefix: {from: /api/, to: /}}}\n')
        self.assertEqual(fetch(port, '/api/v1?x=1').header('x-seen'), '/v1?x=1')

    def test_a_route_has_its_own_timeout(self):
        slow = self.origin(lambda r: (time.sleep(2), (200, {}, b'late'))[1])
        sidecar = self.caller(f'  orders: {{endpoints: ["127.0.0.1:{slow.port}"], mtls: disabled}}\n',
                              routes='routes:\n  - {match: {service: orders, path: /quick/**}, to: orders, timeout: 200ms}\n')
        self.assertEqual(fetch(sidecar.port, '/quick/').status, 504)
        self.assertEqual(fetch(sidecar.port, '/patient').status, 200)

    def test_a_disabled_route_does_nothing(self):
        port = self.world('  - {match: {service: orders}, to: fresh, enabled: "${NOBODY_SET_THIS:-false}"}\n')
        self.assertEqual(self.body(port), b'old')


class ByHost(Case):
    def setUp(self):
        super().setUp()
        self.orders, self.users = self.origin(lambda r: (200, {}, b'orders')), self.origin(lambda r: (200, {}, b'users'))
        self.port = free_port()
        self.caller(f'  orders: {{endpoints: ["127.0.0.1:{self.orders.port}"], mtls: disabled}}\n'
                    f'  users: {{endpoints: ["127.0.0.1:{self.users.port}"], mtls: disabled}}\n',
                    outbound=f'  - {{listen: "127.0.0.1:{self.port}", route_by: host}}\n')

    def test_host_names_the_service_however_it_is_written(self):
        for host in ('orders', 'ORDERS', 'orders.', f'orders:{self.port}', 'orders.mesh', 'orders.svc.cluster.local', 'Orders.Mesh.:80'):
            self.assertEqual(fetch(self.port, host=host).body, b'orders', host)
        self.assertEqual(fetch(self.port, host='users').body, b'users')

    def test_authority_over_http2(self):
        code, out, err = curl('--http2-prior-knowledge', f'http://127.0.0.1:{self.port}/', '-H', 'host: users')
        self.assertEqual((code, out), (0, b'users'), err)

    def test_one_connection_may_speak_to_several(self):
        with Client(self.port) as client:
            got = [client.request('GET', '/', host=h).body for h in ('orders', 'users') * 10]
        self.assertEqual(got, [b'orders', b'users'] * 10)


class FileRegistry(Case):
    def setUp(self):
        super().setUp()
        self.origins = [self.origin(lambda r, n=n: (200, {}, n)) for n in (b'one', b'two', b'three')]
        self.path = self.directory / 'endpoints.yaml'
        self.path.write_text(self.listing(0))
        self.sidecar = self.caller('  orders: {registry: local, mtls: disabled, load_balancer: round_robin}\n',
                                   extra=f'registries:\n  local: {{type: file, path: {self.path}}}\n')

    def listing(self, *which):
        return 'orders: [' + ', '.join(f'"127.0.0.1:{self.origins[i].port}"' for i in which) + ']\n'

    def answers(self):
        with Client(self.sidecar.port) as client:
            return {client.request('GET', '/').body for _ in range(6)}

    def replace(self, text):
        other = self.path.with_suffix('.new')
        other.write_text(text)
        os.replace(other, self.path)

    def reported(self, change):
        """Makes a change that is an error, and waits until it is in the log: from then on it is in force or was refused."""
        before = self.sidecar.log.count(str(self.path))
        change()
        self.eventually(True, lambda: self.sidecar.log.count(str(self.path)) > before, 'the mistake is in the log')

    def test_atomic_replace(self):
        self.assertEqual(self.answers(), {b'one'})
        for which, expected in (((0, 1), {b'one', b'two'}), ((2,), {b'three'}), ((0, 1, 2), {b'one', b'two', b'three'})):
            self.replace(self.listing(*which))
            self.eventually(expected, self.answers)

    def test_edit_in_place(self):
        for which, expected in (((1,), {b'two'}), ((1, 2), {b'two', b'three'}), ((0,), {b'one'})):
            with open(self.path, 'r+') as f:
                f.seek(0)
                f.truncate()
                f.write(self.listing(*which))
            self.eventually(expected, self.answers)

    def test_nonsense_keeps_the_last_good_list(self):
        for text in ('orders: [', 'orders: ["not an address"]', '\0', ''):
            self.reported(lambda: self.replace(text))
            self.assertEqual(self.answers(), {b'one'}, text)
        self.replace(self.listing(1))
        self.eventually({b'two'}, self.answers)

    def test_removed_and_made_again(self):
        self.reported(self.path.unlink)
        self.assertEqual(self.answers(), {b'one'})
        self.path.write_text(self.listing(2))
        self.eventually({b'three'}, self.answers)

    def test_a_symbolic_link_that_is_turned(self):
        """Kubernetes mounts a directory whose link is replaced; the file's own name never changes."""
        for i, name in enumerate(('v1', 'v2')):
            (self.directory / name).mkdir()
            (self.directory / name / 'endpoints.yaml').write_text(self.listing(i + 1))
        link = self.directory / 'data'
        link.symlink_to('v1')
        sidecar = self.caller('  orders: {registry: local, mtls: disabled}\n', name='linked',
                              extra=f'registries:\n  local: {{type: file, path: {link}/endpoints.yaml}}\n')
        self.assertEqual(fetch(sidecar.port).body, b'two')
        (self.directory / 'next').symlink_to('v2')
        os.replace(self.directory / 'next', link)
        self.eventually(b'three', lambda: fetch(sidecar.port).body)

    def test_no_call_fails_while_the_list_changes(self):
        statuses = []
        end = time.monotonic() + 3
        flip = 0
        with Client(self.sidecar.port) as client:
            while time.monotonic() < end:
                flip += 1
                self.replace(self.listing(flip % 3, (flip + 1) % 3))
                statuses += [client.request('GET', '/').status for _ in range(20)]
        self.assertEqual(set(statuses), {200})

    def test_what_is_there_is_shown(self):
        self.assertTrue(re.search(rf'orders.*127\.0\.0\.1:{self.origins[0].port}', self.sidecar.get('/clusters')[2], re.S))


if __name__ == '__main__':
    main()
