"""What is asked for beside the cost of a request: the latency that two sidecars add, what a second worker
costs, how few long connections are spread over workers, and the micro-benchmarks."""
import json
import socket
import statistics
import subprocess
import time
import urllib.request

import idle
import loads
import machine
import proxies
from machine import LOAD_CPU, PROXY_CPU
from proxies import Hop, Outrigger

# --- latency -------------------------------------------------------------------------------------


def offered(url, seconds, rate):
    return loads.h2load(url, seconds, connections=16, size=1024, rate=rate)


def one_latency(proxy, hops, origin, directory, log, seconds, rate):
    """One turn: p50 and p99 in milliseconds, or why there are none. Without a proxy: the origin alone."""
    try:
        running = proxies.start(proxy, directory, hops, log) if proxy else []
    except RuntimeError as error:
        return {'error': str(error)}
    if running is None:
        return None
    try:
        url = f'http://127.0.0.1:{hops[0].listen if proxy else origin}/1k'
        offered(url, 1, rate)
        result = offered(url, seconds, rate)
        return {'p50': result.p50, 'p99': result.p99, 'rate': result.rate, 'bad': result.bad}
    except Exception as error:
        return {'error': f'{type(error).__name__}: {error}'[:300]}
    finally:
        for process in running:
            process.stop()


def latency(chosen, hops, origin, directory, log, arguments):
    """Every proxy twice in a row (caller's and callee's side), each round beside the origin alone."""
    taking_part = [p for p in chosen if p.name not in ('floor', 'nginx')]
    rounds = {'origin alone': [], **{p.name: [] for p in taking_part}}
    for _ in range(arguments.rounds):
        rounds['origin alone'].append(one_latency(None, hops, origin, directory, log, arguments.turns * arguments.seconds, arguments.latency))
        for proxy in taking_part:
            rounds[proxy.name].append(one_latency(proxy, hops, origin, directory, log, arguments.turns * arguments.seconds, arguments.latency))
    return {'rate': arguments.latency, 'rounds': rounds}


# --- workers -------------------------------------------------------------------------------------

BOTH = f'{LOAD_CPU},{PROXY_CPU}'


def one_cost(binary, workers, load, options, directory, log, arguments, listen, origin):
    """One worker has a CPU of its own as elsewhere; two have both, and share them with the load."""
    cpus = PROXY_CPU if workers == 1 else BOTH
    proxy = Outrigger(binary, workers, cpus)
    running = proxies.start(proxy, directory, (Hop(listen, origin),), log)
    url = f'http://127.0.0.1:{listen}/1k'
    try:
        load(url, arguments.warm_up, connections=64, size=1024, **options)
        before = machine.cpu_microseconds(running[0].pids())
        result = load(url, arguments.turns * arguments.seconds, connections=64, size=1024, **options)
        spent = machine.cpu_microseconds(running[0].pids()) - before
        return {'us': spent / max(result.requests, 1), 'rate': result.rate, 'p99': result.p99, 'bad': result.bad}
    finally:
        for process in running:
            process.stop()


def two_workers(binary, directory, log, arguments, listen, origin):
    kinds = {'h1': (loads.wrk, {}), 'h1 at 5,000 requests/s': (loads.h2load, {'rate': 5000})}
    found = {}
    for name, (load, options) in kinds.items():
        rounds = {1: [], 2: []}
        for _ in range(arguments.rounds):
            for workers in rounds:
                rounds[workers].append(one_cost(binary, workers, load, options, directory, log, arguments, listen, origin))
        found[name] = rounds
    return found


def worker_connections(admin):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f'http://127.0.0.1:{admin}/stats/prometheus', timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return [int(float(line.rsplit(' ', 1)[1])) for line in lines if line.startswith('outrigger_worker_connections{')]


def spread(binary, directory, log, arguments, listen, origin, count=8):
    """Long HTTP/2 connections over two workers, by the daemon's own metrics; new ones each round."""
    proxy, admin = Outrigger(binary, 2, BOTH), machine.free_port()
    config = proxy.argv(directory, Hop(listen, origin), admin)
    running = machine.Pinned(config, log, BOTH).wait_port(listen)
    found = []
    try:
        for _ in range(arguments.rounds):
            open_ = [idle.connect('h2', listen, None) for _ in range(count)]
            found.append(settled(admin, count))
            for connection in open_:
                connection.shutdown(socket.SHUT_RDWR)
                connection.close()
            settled(admin, 0)
    finally:
        running.stop()
    return {'connections': count, 'rounds': found}


def settled(admin, count):
    for _ in range(500):
        if sum(have := worker_connections(admin)) == count:
            return have
        time.sleep(0.01)
    raise RuntimeError(f'{have} connections instead of {count}')


def workers(binary, directory, log, arguments, listen, origin):
    return {'cost': two_workers(binary, directory, log, arguments, listen, origin),
            'spread': spread(binary, directory, log, arguments, listen, origin)}


# --- micro-benchmarks ----------------------------------------------------------------------------


def micro(repetitions):
    """Google Benchmark's medians, in nanoseconds, with their coefficient of variation."""
    program = machine.ROOT / 'build/release/bin/microbench'
    said = subprocess.run(['taskset', '-c', PROXY_CPU, str(program), '--benchmark_format=json', f'--benchmark_repetitions={repetitions}',
                           '--benchmark_min_time=0.1', '--benchmark_enable_random_interleaving=true'],
                          check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    times = {}
    units = {'ns': 1, 'us': 1e3, 'ms': 1e6, 's': 1e9}
    for run in json.loads(said)['benchmarks']:
        if run['run_type'] == 'iteration':
            times.setdefault(run['run_name'], []).append(run['cpu_time'] * units[run['time_unit']])
    return {name: {'ns': statistics.median(t), 'spread': (max(t) - min(t)) / statistics.median(t)} for name, t in sorted(times.items())}
