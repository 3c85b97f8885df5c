#!/usr/bin/env python3
"""Runs fuzz targets, one on each CPU at a time, each from its corpus in tests/fuzz/corpus, and writes what
came of it to docs/evidence. What a target newly finds interesting stays in build/fuzz/corpus; an input that
broke one is kept in build/fuzz/findings and named.

Usage: ./dev fuzz [--seconds N] [--no-evidence] [NAME …]
"""
import argparse
import concurrent.futures
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / 'build/fuzz'
sys.path.insert(0, str(ROOT / 'tests/e2e'))
import evidence  # noqa: E402


def targets():
    return sorted(p.name.removesuffix('_fuzz.cc') for p in (ROOT / 'tests/fuzz').glob('*_fuzz.cc'))


def run(name, seconds):
    grown, seeds, findings = BUILD / 'corpus' / name, ROOT / 'tests/fuzz/corpus' / name, BUILD / 'findings'
    for folder in (grown, findings):
        folder.mkdir(parents=True, exist_ok=True)
    argv = [BUILD / 'bin' / f'{name}_fuzz', f'-max_total_time={seconds}', '-timeout=10', '-rss_limit_mb=2048', '-print_final_stats=1',
            f'-artifact_prefix={findings}/{name}-', grown, *([seeds] if seeds.is_dir() else [])]
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, errors='replace')
    executed = re.search(r'stat::number_of_executed_units: (\d+)', done.stderr)
    covered = re.findall(r'cov: (\d+)', done.stderr)
    artifact = re.search(r'Test unit written to (\S+)', done.stderr)
    result = {'target': name, 'seconds': seconds, 'executed': int(executed.group(1)) if executed else 0,
              'coverage': int(covered[-1]) if covered else 0, 'corpus': len(list(grown.iterdir())), 'passed': done.returncode == 0}
    if done.returncode:
        print(done.stderr[-6000:], file=sys.stderr)
        result['finding'] = artifact.group(1) if artifact else f'exit code {done.returncode}'
    return result


def main():
    parser = argparse.ArgumentParser(prog='./dev fuzz')
    parser.add_argument('--seconds', type=int, default=60, help='for each target')
    parser.add_argument('--no-evidence', action='store_true')
    parser.add_argument('names', nargs='*', metavar='NAME')
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(targets())
    if unknown:
        sys.exit(f'no such target: {", ".join(sorted(unknown))}; there are {", ".join(targets())}')
    results = []
    jobs = int(os.environ.get('JOBS') or os.cpu_count())
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        running = [pool.submit(run, name, arguments.seconds) for name in arguments.names or targets()]
    for r in (one.result() for one in running):
        results.append(r)
        print(f'{r["target"]:24} {r["executed"]:>12} runs, {r["coverage"]:>6} edges, {"passed" if r["passed"] else "FAILED: " + r["finding"]}', flush=True)
    passed = bool(results) and all(r['passed'] for r in results)
    if not arguments.no_evidence:
        print(evidence.write('fuzz', f'./dev fuzz --seconds {arguments.seconds} {" ".join(arguments.names)}'.strip(), results, passed))
    sys.exit(0 if passed else 1)


if __name__ == '__main__':
    main()
