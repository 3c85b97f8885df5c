"""Figures as text: on the terminal while they are made, and as a section of docs/benchmarks.md."""
import statistics
from pathlib import Path

PEERS = ('haproxy', 'nginx', 'nghttpx', 'envoy')

# What we want to reach: CPU a request, at most so many times that of the best peer or of the floor. A goal is met
# when the median of the rounds' ratios is at or below it and the upper quartile no more than 3% above it.
GOALS = {
    'h1': ('floor', 1.10), 'h1_16k': ('floor', 1.10), 'h2c_h1': ('best', 0.80), 'mesh': ('best', 0.70), 'mtls_h1': ('best', 0.80),
    'tcp_rr': ('floor', 1.00), 'tcp_bulk': ('best', 0.85), 'connect': ('best', 0.85), 'h1_half': ('floor', 1.10), 'mesh_half': ('best', 0.70),
}
P99_GOAL = 1.10  # at a fixed rate, to the best peer's
SLACK = 1.03
IDLE_GOALS = {'h1': 0.5, 'tls': 17.0, 'h2': 20.0}  # KiB a connection
AFTER_CLOSE_GOAL = 1.05  # RSS, to what it was before the connections came
START_GOAL = 8.0  # MiB


def usable(figures):
    return figures is not None and 'error' not in figures and not figures['bad']


def valid(rounds):
    return [r for r in rounds if usable(r)]


def median(rounds, key):
    values = [r[key] for r in valid(rounds) if r[key] is not None]
    return statistics.median(values) if values else None


def takes_part(rounds):
    """Whether a proxy can play a scenario at all: it says None when it cannot."""
    return any(r is not None for r in rounds)


def slowest_peer(scenario):
    rates = [median(rounds, 'rate') for name, rounds in scenario['rounds'].items() if name in PEERS]
    return min((r for r in rates if r), default=None)


def ratios(scenario, key, against):
    """Ours over the best of `against`, round by round. A round that is void for us or for one of them is left out: its best
    might be the one that is missing."""
    found = []
    playing = [p for p in against if takes_part(scenario['rounds'].get(p, []))]
    for i, mine in enumerate(scenario['rounds'].get('outrigger', [])):
        others = [scenario['rounds'][p][i] for p in playing]
        if others and usable(mine) and mine[key] and all(usable(o) and o[key] for o in others):
            found.append(mine[key] / min(o[key] for o in others))
    return found


def met(values, goal):
    """None without figures."""
    found = spread(values)
    return None if not found else found[1] <= goal and found[2] <= goal * SLACK


def verdict(answer):
    return {None: '-', True: 'met', False: '**missed**'}[answer]


def spread(values):
    """(lower quartile, median, upper quartile); None without values."""
    if not values:
        return None
    if len(values) == 1:
        return values[0], values[0], values[0]
    return tuple(statistics.quantiles(values, n=4))


def ratio_text(values):
    found = spread(values)
    return '' if not found else f'{found[1]:.3f} (quartiles {found[0]:.3f} to {found[2]:.3f}, {len(values)} round{"s" * (len(values) != 1)})'


def heading(found):
    m = found['machine']
    versions = ', '.join(f'{k} {v}' for k, v in found['versions'].items())
    return (f'{m["cpu"]}, {m["cores"]} cores, {m["memory_gib"]} GiB, Linux {m["kernel"]}, {m["system"]}\n{versions}\n'
            f'commit {found["commit"]}, {found["date"]}: {found["command"]} ({how_long(found)})')


def number(value, form):
    return '-' if value is None else format(value, form)


def scenario_text(name, scenario):
    lines = [f'\n{name}: {scenario["what"]}' + (f' ({scenario["options"]["rate"]} a second)' if 'rate' in scenario['options'] else '')]
    lines.append(f'  {"":10} {"CPU µs":>8} {"req/s":>9} {"p50 ms":>8} {"p99 ms":>8} {"RSS MiB":>8}  rounds')
    for proxy, rounds in scenario['rounds'].items():
        good = valid(rounds)
        if not good:
            why = next((r.get('error') or f'{r["bad"]} bad answers' for r in rounds if r), 'cannot')
            lines.append(f'  {proxy:10} {why}')
            continue
        rss = median(rounds, 'rss_kib')
        lines.append(f'  {proxy:10} {median(rounds, "us"):8.2f} {median(rounds, "rate"):9.0f} {number(median(rounds, "p50"), "8.2f"):>8}'
                     f' {number(median(rounds, "p99"), "8.2f"):>8} {rss / 1024:8.1f}  {len(good)} of {len(rounds)}')
    for what, against in (('best peer', PEERS), ('envoy', ('envoy',)), ('floor', ('floor',))):
        if text := ratio_text(ratios(scenario, 'us', against)):
            lines.append(f'  outrigger / {what}: {text}')
    if 'rate' in scenario['options'] and (text := ratio_text(ratios(scenario, 'p99', PEERS))):
        lines.append(f'  outrigger / best peer, p99: {text}')
    return '\n'.join(lines)


def idle_text(found):
    lines = []
    for row in found.values():
        lines.append(f'\nidle: {row["connections"]} connections, {row["what"]}')
        lines.append(f'  {"":10} {"start MiB":>10} {"KiB a connection":>17} {"MiB after close":>16}')
        for proxy, r in row['rows'].items():
            lines.append(f'  {proxy:10} {r["error"]}' if 'error' in r else
                         f'  {proxy:10} {r["start_kib"] / 1024:10.1f} {r["per_connection_kib"]:17.2f} {r["after_close_kib"] / 1024:16.1f}')
    return '\n'.join(lines)


def strace_text(found):
    lines = []
    for name, row in found.items():
        calls = ', '.join(f'{call} {n}' for call, n in sorted(row['calls'].items(), key=lambda c: -c[1]))
        lines.append(f'\nsystem calls of {row["requests"]} requests, {name}: {sum(row["calls"].values()) / row["requests"]:.2f} a request, '
                     f'epoll_ctl {row["calls"].get("epoll_ctl", 0) / row["requests"]:.3f}; {calls}')
    return '\n'.join(lines)


def added(found, proxy, key):
    """What a proxy adds to the origin's own latency, round by round, in milliseconds."""
    pairs = zip(found['rounds'][proxy], found['rounds']['origin alone'])
    return [mine[key] - alone[key] for mine, alone in pairs if usable(mine) and usable(alone) and mine[key] and alone[key]]


def spread_text(values, form='.3f'):
    found = spread(values)
    return '-' if not found else f'{found[1]:{form}} ({found[0]:{form}} to {found[2]:{form}})'


def latency_rows(found):
    rows = []
    for name, rounds in found['rounds'].items():
        if valid(rounds):
            alone = name == 'origin alone'
            rows.append([name, number(median(rounds, 'p50'), '.3f'), number(median(rounds, 'p99'), '.3f'),
                         '-' if alone else spread_text(added(found, name, 'p50')), '-' if alone else spread_text(added(found, name, 'p99')),
                         f'{len(valid(rounds))} of {len(rounds)}'])
    return rows


def latency_text(found):
    lines = [f'\nlatency over two sidecars with mTLS at {found["rate"]} requests/s, milliseconds; added: to the origin alone']
    lines += [f'  {name:14} p50 {p50:>6}  p99 {p99:>6}  added p50 {a50:>24}  p99 {a99:>24}  {n}' for name, p50, p99, a50, a99, n in latency_rows(found)]
    return '\n'.join(lines)


def worker_rows(found):
    rows = []
    for name, rounds in found['cost'].items():
        pairs = [(one['us'], two['us']) for one, two in zip(rounds[1], rounds[2]) if usable(one) and usable(two)]
        rows.append([name, *(number(median(rounds[n], 'us'), '.1f') for n in (1, 2)), spread_text([two / one for one, two in pairs], '.2f'),
                     *(number(median(rounds[n], 'rate'), '.0f') for n in (1, 2))])
    return rows


def uneven(found):
    return max(max(have) - min(have) for have in found['rounds'])


def workers_text(found):
    lines = ['\nworkers: CPU us a request with one and with two, ratio, requests/s with one and with two']
    lines += ['  ' + '  '.join(f'{cell:>22}' for cell in row) for row in worker_rows(found)]
    lines.append(f'  {found["spread"]["connections"]} HTTP/2 connections over the workers: {found["spread"]["rounds"]}, largest difference {uneven(found["spread"])}')
    return '\n'.join(lines)


def micro_text(found):
    return '\n'.join(['\nmicro-benchmarks, CPU nanoseconds', *(f'  {name:44} {row["ns"]:14.1f}  {row["spread"]:6.1%}' for name, row in found.items())])


# --- docs/benchmarks.md --------------------------------------------------------------------------

def how_long(found):
    return f'{found["rounds"]} rounds of {found["turns"]} turn{"s" * (found["turns"] != 1)} of {found["seconds"]} s'


def table(head, rows):
    return '\n'.join('| ' + ' | '.join(cells) + ' |' for cells in [head, ['---'] * len(head), *rows])


def cost_table(found):
    names = [p for p in ('floor', *PEERS, 'outrigger') if any(p in s['rounds'] for s in found['scenarios'].values())]
    rows = []
    for name, scenario in found['scenarios'].items():
        compared = ratios(scenario, 'us', PEERS)
        rows.append([f'`{name}`', *(number(median(scenario['rounds'].get(p, []), 'us'), '.1f') for p in names),
                     f'{len(compared)} of {len(scenario["rounds"]["outrigger"])}'])
    return table(['Scenario', *names, 'rounds compared'], rows)


def summary_rows(found):
    """The page's first table: a scenario, what it costs against others, what was wanted, whether it was reached."""
    rows = []
    for name, scenario in found['scenarios'].items():
        to = {'best': ratios(scenario, 'us', PEERS), 'envoy': ratios(scenario, 'us', ('envoy',)), 'floor': ratios(scenario, 'us', ('floor',))}
        against, goal = GOALS[name]
        wanted = f'≤ {goal:.2f} × {"the floor" if against == "floor" else "the best peer"}'
        reached = met(to[against], goal)
        if 'rate' in scenario['options']:
            p99 = ratios(scenario, 'p99', PEERS)
            wanted += f'; p99 ≤ {P99_GOAL:.2f} × the best peer\'s (is {spread_text(p99, ".2f")})'
            reached = None if reached is None or not p99 else reached and met(p99, P99_GOAL)
        rows.append([f'`{name}`: {scenario["what"]}', *(spread_text(to[k], '.2f') for k in ('best', 'envoy', 'floor')), wanted, verdict(reached)])
    return rows


def summary_table(found):
    return table(['CPU a request', 'to the best peer', 'to Envoy', 'to the floor', 'goal', ''], summary_rows(found))


def idle_summary_rows(found):
    rows = []
    for kind, row in found['idle'].items():
        ours = row['rows'].get('outrigger', {})
        if 'per_connection_kib' not in ours:
            continue
        def best(key):
            return min((r[key] for p, r in row['rows'].items() if p in PEERS and key in r), default=None)
        kib, after = ours['per_connection_kib'], ours['after_close_kib'] / ours['warm_kib']
        rows.append([f'{row["what"]}, KiB an idle connection', f'{kib:.2f}', number(best('per_connection_kib'), '.2f'), f'≤ {IDLE_GOALS[kind]:g}',
                     verdict(kib <= IDLE_GOALS[kind])])
        rows.append([f'{row["what"]}, RSS after close to before', f'{after:.2f}', '-', f'≤ {AFTER_CLOSE_GOAL:.2f}', verdict(after <= AFTER_CLOSE_GOAL)])
    start = found['idle']['h1']['rows'].get('outrigger', {}).get('start_kib')
    if start:
        peers = [r['start_kib'] for p, r in found['idle']['h1']['rows'].items() if p in PEERS and 'start_kib' in r]
        rows.append(['RSS at start, MiB', f'{start / 1024:.1f}', number(min(peers) / 1024 if peers else None, '.1f'), f'≤ {START_GOAL:g}',
                     verdict(start / 1024 <= START_GOAL)])
    return rows


def detail_table(found):
    rows = []
    for name, scenario in found['scenarios'].items():
        for proxy, rounds in scenario['rounds'].items():
            if valid(rounds):
                rows.append([f'`{name}`', proxy, number(median(rounds, 'rate'), '.0f'), number(median(rounds, 'p50'), '.2f'),
                             number(median(rounds, 'p99'), '.2f'), f'{median(rounds, "rss_kib") / 1024:.1f}', f'{len(valid(rounds))} of {len(rounds)}'])
    return table(['Scenario', 'Proxy', 'requests/s', 'p50 ms', 'p99 ms', 'RSS MiB', 'rounds'], rows)


def idle_table(found):
    rows = [[row['what'], proxy, f'{r["start_kib"] / 1024:.1f}', f'{r["warm_kib"] / 1024:.1f}', f'{r["per_connection_kib"]:.2f}',
             f'{r["after_close_kib"] / 1024:.1f}']
            for row in found['idle'].values() for proxy, r in row['rows'].items() if 'error' not in r]
    count = next(iter(found['idle'].values()))['connections']
    return table([f'{count} idle connections', 'Proxy', 'RSS at start, MiB', 'after 20 requests', 'KiB a connection', 'RSS after close, MiB'], rows)


def strace_table(found):
    calls = sorted({c for row in found['strace'].values() for c in row['calls']})
    rows = [[f'`{name}`', str(row['requests']), *(str(row['calls'].get(c, 0)) for c in calls)] for name, row in found['strace'].items()]
    return table(['Scenario', 'requests', *(f'`{c}`' for c in calls)], rows)


def half_table(found):
    """p99 at a fixed rate, ours over the best peer's."""
    rows = [[f'`{name}`', str(scenario['options']['rate']), *(number(median(scenario['rounds'].get(p, []), 'p99'), '.2f') for p in (*PEERS, 'outrigger')),
             spread_text(ratios(scenario, 'p99', PEERS), '.2f')]
            for name, scenario in found['scenarios'].items() if 'rate' in scenario['options']]
    return table(['Scenario', 'requests/s', *PEERS, 'outrigger', 'to the best peer'], rows)


def summary_section(found):
    return [summary_table(found)]


def scenarios_section(found):
    parts = ['Proxy CPU microseconds per request, medians.', cost_table(found), 'Beside the cost:', detail_table(found)]
    if any('rate' in s['options'] for s in found['scenarios'].values()):
        parts += ['At a fixed rate, p99 in milliseconds:', half_table(found)]
    return parts


def again_section(found):
    return [summary_table(found), cost_table(found), half_table(found)]


def idle_section(found):
    return [table(['', 'Outrigger', 'best peer', 'goal', ''], idle_summary_rows(found)), idle_table(found)]


def strace_section(found):
    return ['Counted by `strace -c -f` on a warm proxy.', strace_table(found)]


def latency_section(found):
    return [f'HTTP/1.1 at {found["latency"]["rate"]} requests/s through two proxies with mTLS and HTTP/2 between them. Added is a round\'s figure'
            ' less the origin\'s alone in that round: median and quartiles, milliseconds.',
            table(['', 'p50', 'p99', 'added p50', 'added p99', 'rounds'], latency_rows(found['latency']))]


def workers_section(found):
    apart = found['workers']['spread']
    return ['One worker has a CPU of its own; two have both CPUs and share them with load and origin.',
            table(['', 'CPU us a request, one', 'two', 'two to one', 'requests/s, one', 'two'], worker_rows(found['workers'])),
            f'{apart["connections"]} long HTTP/2 connections over two workers, by `outrigger_worker_connections`, in {len(apart["rounds"])} rounds:'
            f' largest difference {uneven(apart)}.']


def micro_section(found):
    return [table(['Benchmark', 'CPU ns', 'spread'], [[f'`{name}`', f'{row["ns"]:.1f}', f'{row["spread"]:.0%}'] for name, row in found['micro'].items()])]


SECTIONS = {'summary': summary_section, 'scenarios': scenarios_section, 'again': again_section, 'idle': idle_section, 'strace': strace_section, 'latency': latency_section, 'workers': workers_section,
            'micro': micro_section}


def provenance(found):
    m = found['machine']
    return (f'Measured on {found["date"]} at commit `{found["commit"]}` with `{found["command"].strip()}`: {how_long(found)}. '
            f'Machine: {m["cpu"]}, {m["cores"]} cores, {m["memory_gib"]} GiB, Linux {m["kernel"]}, {m["system"]}. '
            f'Versions: {", ".join(f"{k} {v}" for k, v in found["versions"].items())}.')


def write(path, found, again=False):
    """Each kind of figures has its place on the page, and only what was measured is written; scenarios that are run `again` have
    a place of their own."""
    text = Path(path).read_text()
    for kind, make in SECTIONS.items():
        if kind in (('scenarios', 'summary') if again else ('again',)):
            continue
        if found.get('scenarios' if kind in ('again', 'summary') else kind):
            begin, end = f'<!-- {kind}: written by ./dev bench --report -->', f'<!-- end of {kind} -->'
            head, opened, rest = text.partition(begin)
            _, closed, tail = rest.partition(end)
            if not opened or not closed:
                raise SystemExit(f'{path} has no place for {kind}')
            body = '\n\n'.join([provenance(found), *make(found)])
            text = f'{head}{begin}\n\n{body}\n\n{end}{tail}'
    Path(path).write_text(text)
