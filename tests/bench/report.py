"""Figures as text: on the terminal while they are made, and as a section of docs/benchmarks.md."""
import statistics
from pathlib import Path

PEERS = ('haproxy', 'nginx', 'nghttpx')
BEGIN, END = '<!-- figures: written by ./dev bench --report -->', '<!-- end of figures -->'


def usable(figures):
    return figures is not None and 'error' not in figures and not figures['bad']


def valid(rounds):
    return [r for r in rounds if usable(r)]


def median(rounds, key):
    values = [r[key] for r in valid(rounds) if r[key] is not None]
    return statistics.median(values) if values else None


def slowest_peer(scenario):
    rates = [median(rounds, 'rate') for name, rounds in scenario['rounds'].items() if name in PEERS]
    return min((r for r in rates if r), default=None)


def ratios(scenario, key, against):
    """Ours over the best of `against`, round by round; void rounds left out."""
    found = []
    for i, mine in enumerate(scenario['rounds'].get('outrigger', [])):
        others = [scenario['rounds'][p][i] for p in against if p in scenario['rounds']]
        best = min((o[key] for o in others if usable(o) and o[key]), default=None)
        if usable(mine) and best and mine[key]:
            found.append(mine[key] / best)
    return found


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
            f'commit {found["commit"]}, {found["date"]}: {found["command"]} ({found["rounds"]} rounds of {found["seconds"]} s)')


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
    for what, against in (('best peer', PEERS), ('floor', ('floor',))):
        if text := ratio_text(ratios(scenario, 'us', against)):
            lines.append(f'  outrigger / {what}: {text}')
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
        lines.append(f'\nsystem calls of {row["requests"]} requests, {name}: {calls}')
    return '\n'.join(lines)


# --- docs/benchmarks.md --------------------------------------------------------------------------

def table(head, rows):
    return '\n'.join('| ' + ' | '.join(cells) + ' |' for cells in [head, ['---'] * len(head), *rows])


def cost_table(found):
    names = [p for p in ('floor', *PEERS, 'outrigger') if any(p in s['rounds'] for s in found['scenarios'].values())]
    rows = []
    for name, scenario in found['scenarios'].items():
        cells = [f'`{name}`'] + [number(median(scenario['rounds'].get(p, []), 'us'), '.1f') for p in names]
        best = spread(ratios(scenario, 'us', PEERS))
        floor = spread(ratios(scenario, 'us', ('floor',)))
        cells.append(f'**{best[1]:.2f}** ({best[0]:.2f} to {best[2]:.2f})' if best else '-')
        cells.append(f'{floor[1]:.2f}' if floor else '-')
        rows.append(cells)
    return table(['Scenario', *names, 'to the best peer', 'to the floor'], rows)


def detail_table(found):
    rows = []
    for name, scenario in found['scenarios'].items():
        for proxy, rounds in scenario['rounds'].items():
            if valid(rounds):
                rows.append([f'`{name}`', proxy, number(median(rounds, 'rate'), '.0f'), number(median(rounds, 'p50'), '.2f'),
                             number(median(rounds, 'p99'), '.2f'), f'{median(rounds, "rss_kib") / 1024:.1f}', f'{len(valid(rounds))} of {len(rounds)}'])
    return table(['Scenario', 'Proxy', 'requests/s', 'p50 ms', 'p99 ms', 'RSS MiB', 'rounds'], rows)


def idle_table(found):
    rows = [[row['what'], proxy, f'{r["start_kib"] / 1024:.1f}', f'{r["per_connection_kib"]:.2f}', f'{r["after_close_kib"] / 1024:.1f}']
            for row in found['idle'].values() for proxy, r in row['rows'].items() if 'error' not in r]
    count = next(iter(found['idle'].values()))['connections']
    return table([f'{count} idle connections', 'Proxy', 'RSS at start, MiB', 'KiB a connection', 'RSS after close, MiB'], rows)


def strace_table(found):
    calls = sorted({c for row in found['strace'].values() for c in row['calls']})
    rows = [[f'`{name}`', str(row['requests']), *(str(row['calls'].get(c, 0)) for c in calls)] for name, row in found['strace'].items()]
    return table(['Scenario', 'requests', *(f'`{c}`' for c in calls)], rows)


def section(found):
    m = found['machine']
    parts = [f'Measured on {found["date"]} at commit `{found["commit"]}` with `{found["command"].strip()}`: {found["rounds"]} rounds of '
             f'{found["seconds"]} s. Machine: {m["cpu"]}, {m["cores"]} cores, {m["memory_gib"]} GiB, Linux {m["kernel"]}, {m["system"]}. '
             f'Versions: {", ".join(f"{k} {v}" for k, v in found["versions"].items())}.',
             'Proxy CPU microseconds per request, medians; then ours over the best peer (median of the rounds\' ratios, quartiles) and over the floor.',
             cost_table(found), 'Beside the cost:', detail_table(found)]
    if 'idle' in found:
        parts += ['Memory:', idle_table(found)]
    if 'strace' in found:
        parts += ['System calls, counted by `strace -c -f` on a warm proxy:', strace_table(found)]
    return '\n\n'.join(parts)


def write(path, found):
    text = Path(path).read_text()
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    Path(path).write_text(f'{head}{BEGIN}\n\n{section(found)}\n\n{END}{tail}')
