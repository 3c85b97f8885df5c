#!/usr/bin/env python3
"""Every key of the configuration has a test that sees its effect: tests/keys.txt names it.

The keys are those of docs/configuration-reference.md, which is made from the table that is parsed; what only holds
other keys needs none. A line of keys.txt is RECORD.KEY FILE TEST, and the test must be in that file.
Usage: keys.py SOURCE_DIR
"""
import re
import sys
from pathlib import Path


def keys_of(page):
    """RECORD.KEY of every field that is not only a place for others."""
    found, record = [], ''
    for line in page.splitlines():
        if line.startswith('## '):
            record = line[3:].replace(' ', '_')
        elif m := re.match(r'\| `(\w+)` \| (.*?) \|', line):
            if '](#' not in m.group(2) or 'Text match' in m.group(2):
                found.append(f'{record}.{m.group(1)}')
    return found


def problems(keys, lines, read):
    """What is wrong; `read` gives a file's text or None."""
    errors, listed = [], set()
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith('#'):
            continue
        words = line.split()
        if len(words) != 3:
            errors.append(f'keys.txt:{number}: RECORD.KEY FILE TEST')
            continue
        key, file, test = words
        if key not in keys:
            errors.append(f'keys.txt:{number}: there is no key {key}')
        if key in listed:
            errors.append(f'keys.txt:{number}: {key} is there already')
        listed.add(key)
        text = read(file)
        if text is None:
            errors.append(f'keys.txt:{number}: no file {file}')
        elif not re.search(rf'(def {test}\(|TEST(_F|_P)?\(\s*\w+,\s*{test}\))', text):
            errors.append(f'keys.txt:{number}: {file} has no test {test}')
    errors += [f'keys.txt: {key} has no test that sees its effect' for key in keys if key not in listed]
    return errors


def self_test():
    keys = keys_of('## A b\n| `x` | text |\n| `y` | [C](#c) |\n## C\n| `z` | size |\n')
    good = lambda file: 'def test_x(self):' if file == 'f' else None
    return (keys == ['A_b.x', 'C.z'] and not problems(keys, ['A_b.x f test_x', 'C.z f test_x'], good)
            and len(problems(keys, ['A_b.x f test_y', 'C.q f test_x', 'C.z g test_x'], good)) == 3
            and len(problems(keys, [], good)) == 2)


def main():
    root = Path(sys.argv[1])
    if not self_test():
        sys.exit('keys: the self-test failed')

    def read(file):
        path = root / 'tests' / file
        return path.read_text() if path.is_file() else None
    errors = problems(keys_of((root / 'docs/configuration-reference.md').read_text()),
                      (root / 'tests/keys.txt').read_text().splitlines(), read)
    print('\n'.join(errors))
    sys.exit(1 if errors else 0)


if __name__ == '__main__':
    main()
