#!/usr/bin/env python3
"""The performance guard: instructions and allocations of one proxied request, against a committed figure.

Times on a shared machine differ by several per cent from one run to the next; instructions do not.
Each scenario runs under callgrind with one worker; a client and an origin of our own (exact_load.py)
send fixed bytes in a fixed order; only the worker's thread counts, and only after a warm-up. A figure
more than 1% (2% with TLS) above the committed one fails as a regression, one more than 3% below it because a gain is worth
committing (./dev guard --update, with a line in CHANGELOG.md). Allocations in the steady state, libraries'
included, must be none, but for what OpenSSL itself takes for a TLS record, and the objects of a connection that a
request brings with it.
"""
import argparse
import json
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import callgrind
import machine
import proxies
from callgrind import Daemon
from exact_load import ConnectClient, H1Client, H2Client, Origin, Process, Unexpected, run
from proxies import Hop, Outrigger

FIGURES = Path(__file__).resolve().parent / 'guard.json'
GROWTH_MAX, GAIN_MAX = 0.01, 0.03
# A busy machine lets TLS connections come to rest between turns, which costs them up to 1%.
TLS_NOISE = 0.01
# A mark allocates a little, and not always the same: a few calls in thousands of requests.
MARKS_NOISE = 0.01
# OpenSSL 3.0 makes a WPACKET for a record (one to read it, three to write it) and allocates its first link.
# The batch's answers and requests travel in one record each, so this is a figure for each turn.
OPENSSL_ALLOCATES = 4
# A daemon under callgrind waits so long for a mark that its connections come to rest: they give their TLS
# buffers back and take them again with the next record, a few calls for each connection.
OPENSSL_REST = 40
SKIPPED = 77
WIDTH = 160  # of a function's name; a template's may be endless


@dataclass(frozen=True)
class Scenario:
    what: str
    hops: int
    client: type = H1Client
    connections: int = 8
    batch: int = 1  # requests in one turn of the proxy's loop
    tcp: bool = False
    requests: int = 1600
    wire: str = 'http2'  # between two hops
    allocations: int = 0  # a request, ours: none, but where a request brings a connection of its own


SCENARIOS = {
    'h1': Scenario('HTTP/1.1 in and out, one request at a time', 1),
    'h2c_h1': Scenario('HTTP/2 in, HTTP/1.1 out, 8 streams a turn', 1, H2Client, connections=2, batch=8),
    'mesh': Scenario('HTTP/1.1, HTTP/2 over mTLS between two sidecars, HTTP/1.1; 8 requests a turn; both summed', 2, connections=16, batch=8),
    'mtls_h1': Scenario('the same with HTTP/1.1 between the sidecars; both summed', 2, connections=16, batch=8, wire='http1'),
    'connect': Scenario('a connection for each request, HTTP/1.0 in, HTTP/1.1 out', 1, ConnectClient, connections=1,
                        allocations=5),  # connection, channel, watch, codec, and the HTTP connection
    'tcp_rr': Scenario('opaque TCP, one message at a time', 1, tcp=True),
}


def hops_of(scenario, origin):
    ports = [machine.free_port() for _ in range(scenario.hops)]
    h2c = scenario.client is H2Client
    if scenario.hops == 1:
        return [Hop(ports[0], origin, listen_h2c=h2c, tcp=scenario.tcp)]
    h2 = scenario.wire == 'http2'
    return [Hop(ports[0], ports[1], to_tls=True, to_h2=h2), Hop(ports[1], origin, listen_tls=True, listen_h2=h2)]


def start(scenario, origin, arguments, directory, log, running):
    for number, hop in reversed(list(enumerate(hops_of(scenario, origin.port)))):
        admin = machine.free_port()
        config = Outrigger(arguments.binary).argv(directory, hop, admin)[-1]
        running.insert(0, Daemon(arguments.valgrind, arguments.binary, config, admin, directory, f'hop{number}', log))
    for daemon in running:
        daemon.wait_ready()
    return hop.listen


def measure(scenario, arguments, directory, log):
    """One profile a hop, of `requests` requests."""
    origin, running, client = Origin(), [], None
    try:
        port = start(scenario, origin, arguments, directory, log, running)
        client = scenario.client(port, scenario.connections, scenario.batch)
        entry, exit_ = Process(running[0].pid), Process(running[-1].pid)
        # Twice the connections: every buffer, pool and table has grown to its size by then.
        run(client, origin, entry, exit_, max(scenario.requests // 4, 2 * scenario.connections * scenario.batch))
        for requests in (0, scenario.requests, 2 * scenario.requests):
            run(client, origin, entry, exit_, requests)
            for daemon in running:
                daemon.mark()
        return [daemon.before(3) - daemon.before(2) for daemon in running]
    finally:
        if client:
            client.close()
        origin.close()
        for daemon in running:
            daemon.stop()


def allocation_faults(name, scenario, profiles):
    """What allocates in the steady state, as lines; nothing when nothing does."""
    wrong = []
    noise = scenario.requests * MARKS_NOISE
    for hop, profile in enumerate(profiles):
        where = name if scenario.hops == 1 else f'{name}, hop {hop + 1}'
        ours, openssl = allocations(profile)
        expected = scenario.allocations * scenario.requests
        if ours > expected + noise:
            wrong.append(f'{where}: {ours} allocations in {scenario.requests} requests that should need {expected or "none"}:')
            places = sorted(profile.allocations.items(), key=lambda place: -place[1])
            wrong += [f'    {n} x {allocator} from {caller[:WIDTH]}' for (caller, allocator), n in places[:12] if n > 0]
        # Over HTTP/2 a turn's requests share a record; over HTTP/1.1 each has its own.
        records = scenario.requests // (scenario.batch if scenario.wire == 'http2' else 1)
        allowed = OPENSSL_ALLOCATES * records if scenario.hops == 2 else 0
        if openssl > allowed + noise + OPENSSL_REST:
            wrong.append(f'{where}: OpenSSL allocates {openssl} times in {scenario.requests} requests instead of {allowed}:'
                         ' more records than one each way in a turn?')
    return wrong


def instruction_faults(name, scenario, profiles, before):
    now = instructions(scenario, profiles)
    if before is None:
        return [f'{name}: no figure is committed; this is {now} instructions a request']
    change = now / before['instructions'] - 1
    if -GAIN_MAX <= change <= GROWTH_MAX + (TLS_NOISE if scenario.hops == 2 else 0):
        return []
    return [f'{name}: {now} instructions a request, {abs(change):.1%} {"more" if change > 0 else "fewer"} than the committed {before["instructions"]}',
            *(f'    {line}' for line in differences(scenario, profiles, before['functions']))]


def allocations(profile):
    """(ours and other libraries', OpenSSL's)"""
    openssl = sum(n for (caller, _), n in profile.allocations.items() if caller.startswith('CRYPTO_'))
    return sum(profile.allocations.values()) - openssl, openssl


def instructions(scenario, profiles):
    return round(sum(p.instructions for p in profiles) / scenario.requests)


def by_function(scenario, profiles):
    found = {}
    for profile in profiles:
        for function, cost in profile.functions.items():
            found[function[:WIDTH]] = found.get(function[:WIDTH], 0) + cost / scenario.requests
    return found


def largest(scenario, profiles, share=0.01):
    """The functions that matter, for saying later which of them grew."""
    found = by_function(scenario, profiles)
    least = share * sum(found.values())
    return {f: round(n) for f, n in sorted(found.items(), key=lambda i: -i[1]) if n >= least}


def differences(scenario, profiles, before, count=10):
    now = by_function(scenario, profiles)
    known = {f: now.get(f, 0) - n for f, n in before.items()}
    least = min(before.values(), default=0)
    known |= {f: n for f, n in now.items() if f not in before and n > least}
    changed = sorted(((d, f) for f, d in known.items() if abs(d) >= 1), key=lambda c: -abs(c[0]))
    return [f'{d:+8.0f}  {f}' for d, f in changed[:count]]


def parse():
    parser = argparse.ArgumentParser(prog='./dev guard', description=__doc__.split('\n\n')[0])
    parser.add_argument('--update', action='store_true', help='write the current figures into tests/bench/guard.json')
    parser.add_argument('--scenario', nargs='*', choices=list(SCENARIOS), default=list(SCENARIOS), metavar='NAME', help=', '.join(SCENARIOS))
    parser.add_argument('--functions', action='store_true', help='list the most expensive functions of each scenario')
    parser.add_argument('--binary', default=str(machine.ROOT / 'build/release/bin/outrigger'), help='the daemon to measure')
    arguments = parser.parse_args()
    arguments.valgrind = machine.find_tool('valgrind')
    return arguments


def measure_loudly(name, arguments, directory):
    """What the daemons said is shown when they could not be measured."""
    within = directory / name
    shutil.copytree(directory / 'certificates', within)
    with open(within / 'log', 'w+') as log:
        try:
            return measure(SCENARIOS[name], arguments, within, log)
        except Exception:
            log.seek(0)
            print(log.read()[-4000:], file=sys.stderr)
            raise


def judge(arguments, directory):
    """Measures, prints and returns what is wrong; commits the figures when told to."""
    committed = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    wrong = []
    for name in arguments.scenario:
        scenario = SCENARIOS[name]
        profiles = measure_loudly(name, arguments, directory)
        ours, openssl = map(sum, zip(*map(allocations, profiles)))
        print(f'{name:8} {instructions(scenario, profiles):7} instructions, {abs(ours) / scenario.requests:.2f} allocations a request'
              + f' and {openssl / scenario.requests:.2f} of OpenSSL' * (scenario.hops == 2) + f': {scenario.what}', flush=True)
        if arguments.functions:
            for function, n in largest(scenario, profiles).items():
                print(f'    {n:7}  {function}')
        wrong += allocation_faults(name, scenario, profiles)
        if arguments.update:
            committed[name] = {'instructions': instructions(scenario, profiles), 'functions': largest(scenario, profiles)}
        else:
            wrong += instruction_faults(name, scenario, profiles, committed.get(name))
    if arguments.update:
        FIGURES.write_text(json.dumps(committed, indent=1, sort_keys=True) + '\n')
    return wrong


def main():
    arguments = parse()
    if not arguments.valgrind:
        print('skipped: valgrind is not on this machine and ./dev could not fetch it')
        sys.exit(1 if os.environ.get('OUTRIGGER_NO_SKIP') else SKIPPED)
    directory = Path(tempfile.mkdtemp(prefix='outrigger-guard-'))
    try:
        (directory / 'certificates').mkdir()
        proxies.make_certificates(directory / 'certificates')
        wrong = judge(arguments, directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    if wrong:
        print('\n'.join(wrong))
        print('Instructions that are meant to change: ./dev guard --update, and a line in CHANGELOG.md that says what for.')
    sys.exit(1 if wrong else 0)


if __name__ == '__main__':
    try:
        main()
    except Unexpected as error:
        sys.exit(f'guard: {error}')
