#!/usr/bin/env python3
"""What a call costs, compared with nginx, HAProxy, nghttpx, Envoy and a bare relay, in one run on one machine.

Load, proxy, origin, all on loopback: the proxy alone on one CPU, load and origin on the other. The
figure is proxy CPU microseconds per request by the scheduler's account, over all processes of the
proxy; it does not depend on which of the three is the bottleneck. In every round each proxy is started
afresh and warmed up, and then takes several short turns between those of the others; what counts is the
ratio to the best peer round by round, its median and quartiles. A wrong status, a short body or a socket error voids a
proxy's round; a round that is void for a peer is void for the comparison, so that no second best takes its place.
"""
import argparse
import dataclasses
import json
import os
import resource
import shutil
import signal
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import extras
import idle
import loads
import machine
import proxies
import report
from proxies import Hop

ORIGIN, FIRST, SECOND = 18080, 19001, 19002
MESH = (Hop(FIRST, SECOND, to_tls=True, to_h2=True), Hop(SECOND, ORIGIN, listen_tls=True, listen_h2=True))


@dataclass(frozen=True)
class Scenario:
    name: str
    what: str
    hops: tuple
    load: object
    path: str = '/1k'
    options: dict = field(default_factory=dict)
    half_of: str = ''  # offered at half the rate of the slowest peer in that scenario
    longer: int = 1    # so many times the turns: where the proxies lie close together, the noise must be smaller


SCENARIOS = {s.name: s for s in (
    Scenario('h1', 'HTTP/1.1 keep-alive, 1 KiB answers, 64 connections', (Hop(FIRST, ORIGIN),), loads.wrk, options=dict(connections=64)),
    Scenario('h1_16k', 'the same with 16 KiB answers', (Hop(FIRST, ORIGIN, buffer=32),), loads.wrk, '/16k', dict(connections=64)),
    Scenario('h2c_h1', 'HTTP/2 in (8 connections of 32 streams), HTTP/1.1 out', (Hop(FIRST, ORIGIN, listen_h2c=True),), loads.h2load,
             options=dict(connections=8, streams=32)),
    Scenario('mesh', 'HTTP/1.1, a sidecar, HTTP/2 over mTLS, a sidecar, HTTP/1.1; both summed', MESH, loads.wrk, options=dict(connections=64)),
    Scenario('mtls_h1', 'the same with HTTP/1.1 between the sidecars', (Hop(FIRST, SECOND, to_tls=True), Hop(SECOND, ORIGIN, listen_tls=True)),
             loads.wrk, options=dict(connections=64)),
    Scenario('tcp_rr', 'opaque TCP, small messages, 64 connections', (Hop(FIRST, ORIGIN, tcp=True),), loads.wrk, options=dict(connections=64),
             longer=4),
    Scenario('tcp_bulk', 'opaque TCP, 1 MiB answers, 16 connections', (Hop(FIRST, ORIGIN, tcp=True, buffer=64),), loads.wrk, '/1m', dict(connections=16)),
    Scenario('connect', 'a new client connection for each request', (Hop(FIRST, ORIGIN),), loads.ab, options=dict(connections=32, requests=6000), longer=8),
    Scenario('h1_half', 'h1 at half the rate of the slowest peer', (Hop(FIRST, ORIGIN),), loads.h2load,
             options=dict(connections=64, rate=20_000), half_of='h1', longer=2),
    Scenario('mesh_half', 'mesh at half the rate of the slowest peer', MESH, loads.h2load, options=dict(connections=64, rate=10_000), half_of='mesh'),
)}
QUICK = ['h1', 'h2c_h1', 'mesh', 'tcp_rr']
SIZES = {'/1k': 1 << 10, '/16k': 16 << 10, '/1m': 1 << 20}


def apart(hops, index):
    """The same hops on ports of this proxy's own."""
    shift = 10 * index
    return tuple(dataclasses.replace(hop, listen=hop.listen + shift, to=hop.to if hop.to == ORIGIN else hop.to + shift) for hop in hops)


def failure(error):
    return {'error': f'{type(error).__name__}: {error}'[:300]}


class Player:
    """A proxy in a round: its processes, and what its turns have added up to."""

    def __init__(self, running, port, scenario):
        self.running, self.port, self.scenario = running, port, scenario
        self.url = f'http://127.0.0.1:{port}{scenario.path}'
        self.options = {'size': SIZES[scenario.path]}
        self.spent, self.results = 0, []

    def check(self):
        loads.check_answer(self.port, self.scenario.path, self.options['size'], self.scenario.hops[0].listen_h2c)

    def warm_up(self, seconds, options):
        self.check()
        self.scenario.load(self.url, seconds, **self.options, **options)

    def pids(self):
        return [pid for one in self.running for pid in one.pids()]

    def turn(self, seconds, options):
        pids = self.pids()
        before = machine.cpu_microseconds(pids)
        self.results.append(self.scenario.load(self.url, seconds, **self.options, **options))
        self.spent += machine.cpu_microseconds(pids) - before

    def figures(self):
        def middle(key):
            values = [getattr(r, key) for r in self.results]
            return None if None in values else statistics.median(values)
        return {'us': self.spent / max(sum(r.requests for r in self.results), 1), 'rate': middle('rate'), 'p50': middle('p50'), 'p99': middle('p99'),
                'bad': sum(r.bad for r in self.results), 'rss_kib': machine.rss_of_all(self.pids())}


class Bench:
    def __init__(self, arguments, directory, log):
        self.arguments, self.directory, self.log = arguments, directory, log
        binary = arguments.binary
        known = [proxies.Outrigger(binary), proxies.Floor(), proxies.Haproxy(), proxies.Nginx(), proxies.Nghttpx()]
        if machine.find_tool('envoy'):
            known.append(proxies.Envoy())
        self.proxies = [p for p in known if p.name in arguments.proxy]

    def round(self, scenario, options):
        """One round: every proxy started afresh and warmed up, then all of them in turn, several times over, so that a machine
        whose speed drifts is as slow for one as for the other. Each one's figures, or the reason why there are none."""
        players, found = {}, {}
        try:
            for index, proxy in enumerate(self.proxies):
                try:
                    hops = apart(scenario.hops, index)
                    running = proxies.start(proxy, self.directory, hops, self.log)
                    if running is None:
                        found[proxy.name] = None
                        continue
                    player = players[proxy.name] = Player(running, hops[0].listen, scenario)
                    player.warm_up(self.arguments.warm_up, options)
                except Exception as error:  # a generator that failed says so in its own words
                    found[proxy.name] = failure(error)
            for _ in range(self.arguments.turns * scenario.longer):
                for name, player in players.items():
                    if name in found:
                        continue
                    try:
                        player.turn(self.arguments.seconds, options)
                    except Exception as error:
                        found[name] = failure(error)
            for name, player in players.items():
                if name not in found:
                    try:
                        player.check()
                    except loads.WrongAnswer as error:
                        found[name] = failure(error)
            return {p.name: found[p.name] if p.name in found else players[p.name].figures() for p in self.proxies}
        finally:
            machine.stop_all([one for player in players.values() for one in player.running])

    def measure(self, scenario, done):
        options = dict(scenario.options)
        if scenario.half_of in done:
            slowest = report.slowest_peer(done[scenario.half_of])
            if slowest:
                options['rate'] = int(slowest / 2)
        rounds = {p.name: [] for p in self.proxies}
        for _ in range(self.arguments.rounds):
            for name, figures in self.round(scenario, options).items():
                rounds[name].append(figures)
        return {'what': scenario.what, 'options': {k: v for k, v in options.items()}, 'rounds': rounds}


def parse(arguments):
    parser = argparse.ArgumentParser(prog='./dev bench', description=__doc__.split('\n\n')[0])
    parser.add_argument('--quick', action='store_true', help=f'one short round of {", ".join(QUICK)}; about a minute')
    parser.add_argument('--scenario', nargs='*', choices=list(SCENARIOS), metavar='NAME', help=', '.join(SCENARIOS))
    parser.add_argument('--proxy', nargs='*', default=['outrigger', 'floor', *report.PEERS], metavar='NAME')
    parser.add_argument('--seconds', type=int, help='of measuring in a turn (1)')
    parser.add_argument('--turns', type=int, help='of each proxy in a round (3)')
    parser.add_argument('--rounds', type=int, help='(7)')
    parser.add_argument('--idle', type=int, nargs='?', const=3000, metavar='N', help='memory of N idle connections (3000, at most 8000)')
    parser.add_argument('--strace', action='store_true', help='system calls of 10,000 requests')
    parser.add_argument('--latency', type=int, nargs='?', const=1000, metavar='RATE', help='latency that two sidecars add at RATE requests/s (1000)')
    parser.add_argument('--workers', action='store_true', help='two workers against one, and the spread of few connections')
    parser.add_argument('--micro', action='store_true', help='the micro-benchmarks')
    parser.add_argument('--all', action='store_true', help='every scenario, and all of the above')
    parser.add_argument('--json', metavar='FILE')
    parser.add_argument('--report', action='store_true', help='write the figures into docs/benchmarks.md')
    parser.add_argument('--again', action='store_true', help='with --report: write the scenarios into the section for a second run')
    parser.add_argument('--binary', default=str(machine.ROOT / 'build/release/bin/outrigger'), help='the daemon to measure')
    chosen = parser.parse_args(arguments)
    if chosen.all:
        chosen.idle, chosen.latency = chosen.idle or 3000, chosen.latency or 1000
        chosen.strace = chosen.workers = chosen.micro = True
    # What is asked for beside the scenarios comes alone, unless they are asked for too.
    alone = not chosen.all and (chosen.idle or chosen.strace or chosen.latency or chosen.workers or chosen.micro)
    if chosen.scenario is None:
        chosen.scenario = QUICK if chosen.quick else [] if alone else list(SCENARIOS)
    if chosen.idle and chosen.idle > 8000:
        parser.error('--idle: at most 8000 connections')
    chosen.rounds = chosen.rounds or (1 if chosen.quick else 7)
    chosen.turns = chosen.turns or (1 if chosen.quick else 3)
    chosen.seconds = chosen.seconds or 1
    chosen.warm_up = 1
    if chosen.report and (dirty := machine.dirty()):
        parser.error(f'--report: figures on the page are of a commit, and the tree has changes: {dirty}')
    if chosen.report and set(report.PEERS) - set(chosen.proxy) and chosen.scenario:
        parser.error(f'--report: scenarios on the page are beside all peers: {", ".join(report.PEERS)}')
    if chosen.report and not machine.find_tool('envoy'):
        parser.error('--report: Envoy could not be fetched, and the page shows it')
    return chosen


def beside(arguments, bench, directory, log):
    """What was asked for beside the scenarios: its name, how it is measured, how it is said."""
    ours = arguments.binary
    wanted = {
        'idle': (arguments.idle, lambda: idle.measure(bench.proxies, directory, log, FIRST, ORIGIN, arguments.idle), report.idle_text),
        'strace': (arguments.strace, lambda: idle.system_calls(proxies.Outrigger(ours), directory, log, [SCENARIOS[n] for n in QUICK]),
                   report.strace_text),
        'latency': (arguments.latency, lambda: extras.latency(bench.proxies, MESH, ORIGIN, directory, log, arguments), report.latency_text),
        'workers': (arguments.workers, lambda: extras.workers(ours, directory, log, arguments, FIRST, ORIGIN), report.workers_text),
        'micro': (arguments.micro, lambda: extras.micro(arguments.rounds), report.micro_text),
    }
    return [(kind, measure, text) for kind, (asked, measure, text) in wanted.items() if asked]


def main():
    arguments = parse(sys.argv[1:])
    if os.cpu_count() < 2:
        sys.exit('two CPUs are needed: one for the proxy, one for load and origin')
    if 'outrigger' in arguments.proxy and not Path(arguments.binary).exists():
        sys.exit(f'{arguments.binary} is not built')
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
    directory = Path(tempfile.mkdtemp(prefix='outrigger-bench-'))
    directory.chmod(0o755)
    found = {'machine': machine.describe(), 'versions': proxies.versions(arguments.binary), 'commit': machine.commit(),
             'date': time.strftime('%Y-%m-%d'), 'command': './dev bench ' + ' '.join(a for a in sys.argv[1:] if a not in ('--json', arguments.json)),
             'seconds': arguments.seconds, 'turns': arguments.turns, 'rounds': arguments.rounds, 'scenarios': {}}
    with open(directory / 'log', 'w') as log:
        origin = None
        try:
            proxies.make_certificates(directory)
            origin = proxies.start_origin(directory, ORIGIN, log)
            bench = Bench(arguments, directory, log)
            print(report.heading(found), flush=True)
            for name in arguments.scenario:
                found['scenarios'][name] = bench.measure(SCENARIOS[name], found['scenarios'])
                print(report.scenario_text(name, found['scenarios'][name]), flush=True)
            for kind, measure, text in beside(arguments, bench, directory, log):
                found[kind] = measure()
                print(text(found[kind]), flush=True)
        finally:
            if origin:
                origin.stop()
            if arguments.json:
                Path(arguments.json).write_text(json.dumps(found, indent=1) + '\n')
            shutil.rmtree(directory, ignore_errors=True)
    if arguments.report:
        report.write(machine.ROOT / 'docs/benchmarks.md', found, arguments.again)
    sys.exit(0 if all(report.valid(s['rounds'].get('outrigger', [])) or 'outrigger' not in arguments.proxy
                      for s in found['scenarios'].values()) else 1)


if __name__ == '__main__':
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that what was started is ended too
    main()
