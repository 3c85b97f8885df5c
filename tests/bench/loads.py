"""The load generators, and what each of them has to say afterwards."""
import re
import tempfile
from dataclasses import dataclass

from machine import LOAD_CPU, output, tool


@dataclass
class Result:
    requests: int
    rate: float        # requests a second
    p50: float | None  # milliseconds
    p99: float | None
    bad: int           # wrong answers, short bodies and socket errors: they void a round


def pinned(*argv, cpus=LOAD_CPU):
    return output(['taskset', '-c', cpus, *argv])


UNITS = {'us': 0.001, 'ms': 1.0, 's': 1000.0}


def milliseconds(text):
    number, unit = re.fullmatch(r'([\d.]+)(us|ms|s)', text).groups()
    return float(number) * UNITS[unit]


def wrk(url, seconds, connections, cpus=LOAD_CPU, **_):
    said = pinned(tool('wrk'), '-t1', f'-c{connections}', f'-d{seconds}s', '--latency', url, cpus=cpus)
    latency = dict(re.findall(r'^\s+(50|99)%\s+(\S+)', said, re.M))
    wrong = re.search(r'Non-2xx or 3xx responses: (\d+)', said)
    errors = re.search(r'Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)', said)
    return Result(requests=int(re.search(r'(\d+) requests in', said).group(1)),
                  rate=float(re.search(r'Requests/sec:\s+([\d.]+)', said).group(1)),
                  p50=milliseconds(latency['50']), p99=milliseconds(latency['99']),
                  bad=int(wrong.group(1) if wrong else 0) + sum(int(n) for n in (errors.groups() if errors else ())))


def ab(url, seconds, connections, requests=None, **_):
    """Given a number of requests, that many, however long it takes: a turn may be shorter than a second."""
    how = [f'-n{requests}'] if requests else [f'-t{seconds}', '-n1000000']
    said = pinned(tool('ab'), '-q', f'-c{connections}', *how, url)
    latency = dict(re.findall(r'^\s+(50|99)%\s+(\d+)', said, re.M))
    return Result(requests=int(re.search(r'Complete requests:\s+(\d+)', said).group(1)),
                  rate=float(re.search(r'Requests per second:\s+([\d.]+)', said).group(1)),
                  p50=float(latency['50']), p99=float(latency['99']), bad=int(re.search(r'Failed requests:\s+(\d+)', said).group(1)))


def h2load(url, seconds, connections, streams=1, rate=None, cpus=LOAD_CPU, **_):
    """HTTP/2 with many streams; or, given a rate, HTTP/1.1 at that many requests a second."""
    how = ['--h1', f'--rps={rate / connections}'] if rate else [f'-m{streams}']
    with tempfile.NamedTemporaryFile('r', prefix='h2load-') as log:
        said = pinned(tool('h2load'), f'-c{connections}', '-t1', f'-D{seconds}', f'--log-file={log.name}', *how, url, cpus=cpus)
        rows = [line.split('\t') for line in log]
    # It reads an HTTP/1 status line with an empty reason phrase, which is lawful, as status 0.
    fine = {'200', '0'} if rate else {'200'}
    good = sorted(int(row[2]) / 1000 for row in rows if row[1] in fine)
    bad = len(rows) - len(good) + int(re.search(r'(\d+) errored', said).group(1))
    return Result(requests=len(good), rate=len(rows) / seconds, bad=bad,
                  p50=good[len(good) // 2] if good else None, p99=good[int(len(good) * 0.99)] if good else None)


def exactly(url, requests, connections, streams=None):
    """A counted number of requests, for counting system calls beside them."""
    how = [f'-m{streams}'] if streams else ['--h1']
    said = pinned(tool('h2load'), f'-c{connections}', '-t1', f'-n{requests}', *how, url)
    done, failed = re.search(r'(\d+) done, \d+ succeeded, (\d+) failed', said).groups()
    if int(done) != requests or int(failed):
        raise RuntimeError(f'{done} of {requests} done, {failed} failed')
