#!/usr/bin/env python3
"""Checks of the pages' text: README's table of costs is that of docs/benchmarks.md; every verb of ./dev that a page
shows exists, and its script has the options that are shown with it; so has every subcommand of outrigger; every link
leads to a page or a heading.

Usage: docs.py SOURCE_DIR [--update]    --update writes README's table anew.
"""
import functools
import re
import subprocess
import sys
from pathlib import Path

MARK = ('<!-- cost: from docs/benchmarks.md, written by tests/docs.py --update -->\n', '<!-- /cost -->\n')
SHOWN = {
    'h1': 'HTTP/1.1 to HTTP/1.1, in clear text', 'h2c_h1': 'HTTP/2 to HTTP/1.1, in clear text',
    'mesh': 'HTTP/1.1 to HTTP/2 with mTLS, as a caller', 'mtls_h1': 'HTTP/1.1 with mTLS to HTTP/1.1, as a callee',
    'tcp_bulk': 'a MiB of opaque TCP', 'connect': 'a short connection with one request',
}


def tables(page):
    """Every table of a page as a list of {column: cell}."""
    for block in re.findall(r'(?:^\|.*\|\n)+', page, re.M):
        rows = [[cell.strip() for cell in line.strip('|').split('|')] for line in block.splitlines()]
        yield [dict(zip(rows[0], row)) for row in rows[2:]]


def cost(benchmarks):
    """README's table: the benchmarks' summary where there is one, else rows with our cost and the ratio."""
    if summary := re.search(r'^\| CPU a request \|.*\n(?:\|.*\n)+', benchmarks, re.M):
        return summary.group()
    for table in tables(benchmarks):
        rows = {row['Scenario'].strip('`'): row for row in table if {'Scenario', 'outrigger', 'to the best peer'} <= row.keys()}
        if rows:
            lines = ['| One request | CPU µs | to the best peer |\n', '|---|---|---|\n']
            lines += [f'| {text} | {rows[name]["outrigger"]} | {rows[name]["to the best peer"]} |\n'
                      for name, text in SHOWN.items() if name in rows]
            return ''.join(lines)
    raise SystemExit('docs: docs/benchmarks.md has no table of costs')


def anchors(page):
    """What GitHub makes of the headings."""
    return {re.sub(r'[^\w\- ]', '', heading.lower()).replace(' ', '-') for heading in re.findall(r'^#+ (.*)', page, re.M)}


def blocks(page):
    return re.findall(r'```(\w*)\n(.*?)```', page, re.S)


SCRIPTS = {'bench': 'tests/bench/bench.py', 'guard': 'tests/bench/guard.py', 'soak': 'tests/e2e/soak.py', 'fuzz': 'tests/fuzz/run.py',
           'interop': 'tests/interop/run.py', 'demo': 'docker/demo/demo.py'}
# Of the verbs that ./dev does itself.
BUILT_IN = {'build': {'--preset', '--pgo'}, 'test': {'--preset'}}


@functools.cache
def options_of(root, verb):
    """The options in the --help of the verb's script, or in its text where it lacks a package to run."""
    if verb not in SCRIPTS:
        return BUILT_IN.get(verb, set())
    run = subprocess.run(['/usr/bin/python3', root / SCRIPTS[verb], '--help'], capture_output=True, text=True)
    said = run.stdout if run.returncode == 0 else (root / SCRIPTS[verb]).read_text()
    return set(re.findall(r'--[a-z][\w-]*', said))


def problems(root):
    readme = (root / 'README.md').read_text()
    errors = []
    if MARK[0] + cost((root / 'docs/benchmarks.md').read_text()) + MARK[1] not in readme:
        errors.append("README.md: the table of costs is not docs/benchmarks.md's; run tests/docs.py . --update")
    dev = (root / 'dev').read_text()
    verbs = set(re.search(r'\n  (deps\|[\w|]+)\)', dev).group(1).split('|')) | {'test', 'help'}
    main = (root / 'src/cli/main.cc').read_text()
    commands = set(re.findall(r'add_subcommand\(\s*"(\w+)"', main))
    options = set(re.findall(r'"(?:-\w,)?(--[\w-]+)"', main)) | {'--help', '--version'}
    presets = set(re.findall(r'"name": "(\w+)"', (root / 'CMakePresets.json').read_text()))
    pages = [root / 'README.md', root / 'CONTRIBUTING.md', *sorted((root / 'docs').glob('*.md'))]
    for path in pages:
        page = path.read_text()
        name = path.relative_to(root)
        code = '\n'.join([body for _, body in blocks(page)] + re.findall(r'`([^`\n]+)`', re.sub(r'```.*?```', '', page, flags=re.S)))
        for verb, rest in re.findall(r'\./dev (\w+)([^\n#;]*)', code):
            if verb not in verbs:
                errors.append(f'{name}: ./dev has no verb {verb}')
            for preset in re.findall(r'--preset (\w+)', rest):
                if preset not in presets | {'P'}:
                    errors.append(f'{name}: there is no preset {preset}')
            for option in re.findall(r'--[a-z][\w-]*', rest):
                if option not in options_of(root, verb):
                    errors.append(f'{name}: ./dev {verb} has no {option}')
        for line in re.findall(r'^(?:\$ |sudo )?(outrigger [^\n#|]*)', code, re.M):
            words = line.split()
            if words[1:] and words[1] not in commands | options and re.match(r'[a-z-]', words[1]):
                errors.append(f'{name}: outrigger has no command {words[1]}')
            errors += [f'{name}: outrigger has no option {w}' for w in words if w.startswith('--') and w.split('=')[0] not in options]
        for target, anchor in re.findall(r'\]\(([^)#:]*)(?:#([^)]*))?\)', re.sub(r'```.*?```', '', page, flags=re.S)):
            file = path.parent / target if target else path
            if not file.exists():
                errors.append(f'{name}: no page {target}')
            elif anchor and anchor not in anchors(file.read_text()):
                errors.append(f'{name}: {target} has no heading #{anchor}')
    return errors


def self_test():
    page = '| Scenario | outrigger | to the best peer |\n|---|---|---|\n| `h1` | 13.6 | **0.92** |\n'
    return '| 13.6 | **0.92** |' in cost(page) and blocks('```sh\nx\n```') == [('sh', 'x\n')] and anchors('# A, b\n## `C`') == {'a-b', 'c'}


def main():
    root = Path(sys.argv[1])
    if not self_test():
        sys.exit('docs: the self-test failed')
    if '--update' in sys.argv:
        readme = (root / 'README.md').read_text()
        begin, end = readme.index(MARK[0]) + len(MARK[0]), readme.index(MARK[1])
        (root / 'README.md').write_text(readme[:begin] + cost((root / 'docs/benchmarks.md').read_text()) + readme[end:])
    errors = problems(root)
    print('\n'.join(errors))
    sys.exit(1 if errors else 0)


if __name__ == '__main__':
    main()
