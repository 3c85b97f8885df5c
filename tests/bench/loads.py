"""The load generators, and what each of them has to say afterwards.

Every generator checks each status. Bodies: the byte counts of a turn must hold every body whole, and answers
taken by hand before and after it (`check_answer`) are compared byte by byte.
"""
import http.client
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


class WrongAnswer(RuntimeError):
    pass


def pinned(*argv, cpus=LOAD_CPU):
    return output(['taskset', '-c', cpus, *argv])


def only(pattern, text):
    found = re.search(pattern, text)
    if not found:
        raise WrongAnswer(f'no {pattern!r} in {text[-300:]!r}')
    return found


# wrk says no exact byte count by itself. `done` runs once, after the load.
WRK_SCRIPT = 'function done(summary, latency, requests) io.write(string.format("bytes read: %.0f\\n", summary.bytes)) end\n'


UNITS = {'us': 0.001, 'ms': 1.0, 's': 1000.0}


def milliseconds(text):
    number, unit = re.fullmatch(r'([\d.]+)(us|ms|s)', text).groups()
    return float(number) * UNITS[unit]


def short_of(requests, size, received):
    """How many answers the bytes received are short of: 0 when all bodies can have been whole."""
    return -(-max(requests * size - received, 0) // max(size, 1))


def wrk(url, seconds, connections, size, cpus=LOAD_CPU, **_):
    with tempfile.NamedTemporaryFile('w', prefix='wrk-', suffix='.lua') as script:
        script.write(WRK_SCRIPT)
        script.flush()
        said = pinned(tool('wrk'), '-t1', f'-c{connections}', f'-d{seconds}s', '--latency', '-s', script.name, url, cpus=cpus)
    latency = dict(re.findall(r'^\s+(50|99)%\s+(\S+)', said, re.M))
    wrong = re.search(r'Non-2xx or 3xx responses: (\d+)', said)
    errors = re.search(r'Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)', said)
    requests = int(only(r'(\d+) requests in', said).group(1))
    return Result(requests=requests, rate=float(only(r'Requests/sec:\s+([\d.]+)', said).group(1)),
                  p50=milliseconds(latency['50']), p99=milliseconds(latency['99']),
                  bad=int(wrong.group(1) if wrong else 0) + sum(int(n) for n in (errors.groups() if errors else ()))
                  + short_of(requests, size, int(only(r'bytes read: (\d+)', said).group(1))))


def ab(url, seconds, connections, size, requests=None, **_):
    """Given a number of requests, that many, however long it takes: a turn may be shorter than a second."""
    how = [f'-n{requests}'] if requests else [f'-t{seconds}', '-n1000000']
    said = pinned(tool('ab'), '-q', f'-c{connections}', *how, url)
    latency = dict(re.findall(r'^\s+(50|99)%\s+(\d+)', said, re.M))
    done = int(only(r'Complete requests:\s+(\d+)', said).group(1))
    # A length that differs from the first answer's counts as failed there, a wrong status does not.
    wrong = re.search(r'Non-2xx responses:\s+(\d+)', said)
    return Result(requests=done, rate=float(only(r'Requests per second:\s+([\d.]+)', said).group(1)),
                  p50=float(latency['50']), p99=float(latency['99']),
                  bad=int(only(r'Failed requests:\s+(\d+)', said).group(1)) + int(wrong.group(1) if wrong else 0)
                  + short_of(done, size, int(only(r'HTML transferred:\s+(\d+)', said).group(1))))


def h2load(url, seconds, connections, size, streams=1, rate=None, cpus=LOAD_CPU, **_):
    """HTTP/2 with many streams; or, given a rate, HTTP/1.1 at that many requests a second."""
    how = ['--h1', f'--rps={rate / connections}'] if rate else [f'-m{streams}']
    with tempfile.NamedTemporaryFile('r', prefix='h2load-') as log:
        said = pinned(tool('h2load'), f'-c{connections}', '-t1', f'-D{seconds}', f'--log-file={log.name}', *how, url, cpus=cpus)
        rows = [line.split('\t') for line in log]
    # It reads an HTTP/1 status line with an empty reason phrase, which is lawful, as status 0.
    fine = {'200', '0'} if rate else {'200'}
    good = sorted(int(row[2]) / 1000 for row in rows if row[1] in fine)
    bad = len(rows) - len(good) + int(only(r'(\d+) errored', said).group(1))
    bad += short_of(len(good), size, int(only(r'\((\d+)\) data', said).group(1)))
    return Result(requests=len(good), rate=len(rows) / seconds, bad=bad,
                  p50=good[len(good) // 2] if good else None, p99=good[int(len(good) * 0.99)] if good else None)


def exactly(url, requests, connections, streams=None):
    """A counted number of requests, for counting system calls beside them."""
    how = [f'-m{streams}'] if streams else ['--h1']
    said = pinned(tool('h2load'), f'-c{connections}', '-t1', f'-n{requests}', *how, url)
    done, failed = only(r'(\d+) done, \d+ succeeded, (\d+) failed', said).groups()
    if int(done) != requests or int(failed):
        raise RuntimeError(f'{done} of {requests} done, {failed} failed')


def check_answer(port, path, size, http2):
    """One answer, compared byte by byte; raises WrongAnswer."""
    got = over_http2(port, path) if http2 else over_http1(port, path)
    if got != (200, b'x' * size):
        raise WrongAnswer(f'port {port}, {path}: {got[0]} with {len(got[1])} bytes, {got[1][:40]!r}')


def over_http1(port, path):
    connection = http.client.HTTPConnection('127.0.0.1', port, timeout=10)
    try:
        connection.request('GET', path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise WrongAnswer(f'port {port}: {error}') from error
    finally:
        connection.close()


def over_http2(port, path):
    """nghttp with prior knowledge prints the body and nothing else; it fails on anything but an answer."""
    body = output([tool('nghttp'), '--no-dep', '-t', '10', f'http://127.0.0.1:{port}{path}']).encode()
    return 200, body

