#!/usr/bin/env python3
"""The order of the rooms and the confinement of third-party headers, read from every #include.

A room includes only itself and rooms to its left. Usage: tidy.py SOURCE_DIR
"""
import re
import sys
from pathlib import Path

ROOMS = ['outrigger', 'base', 'config', 'net', 'tls', 'http', 'policy', 'upstream', 'discovery', 'telemetry',
         'tcp', 'proxy', 'admin', 'server', 'cli']
# Header prefix -> the files that may include it (regular expressions on the path below src).
CONFINED = {
    'event2/': r'net/', 'event.h': r'net/', 'ares': r'net/',
    'openssl/': r'tls/|policy/jwt', 'nghttp2/': r'http/h2_', 'yaml-cpp/': r'config/yaml\.',
    'spdlog/': r'base/log\.', 're2/': r'proxy/regex\.',
    'nlohmann/': r'config/|admin/|telemetry/|cli/|discovery/', 'CLI/': r'cli/',
    'google/protobuf': r'discovery/|telemetry/', 'zookeeper/': r'discovery/zookeeper',
}
# discovery and telemetry stand beside each other and do not see each other.
BLIND = {('telemetry', 'discovery')}
INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]', re.M)


def check(root):
    errors = []
    files = [p for d in ('src', 'include') for p in sorted((root / d).rglob('*')) if p.suffix in ('.h', '.cc')]
    for path in files:
        rel = path.relative_to(root / 'src' if path.is_relative_to(root / 'src') else root / 'include')
        room = rel.parts[0]
        if room not in ROOMS:
            errors.append(f'{rel}: {room} is not a room')
            continue
        text = path.read_text()
        if path.suffix == '.h' and '#pragma once' not in text:
            errors.append(f'{rel}: a header without #pragma once')
        for m in INCLUDE.finditer(text):
            line = text.count('\n', 0, m.start()) + 1
            what = m.group(2)
            target = what.split('/')[0]
            if m.group(1) == '"':
                if target not in ROOMS or '/' not in what:
                    errors.append(f'{rel}:{line}: "{what}" does not begin with a room')
                elif ROOMS.index(target) > ROOMS.index(room) or (room, target) in BLIND:
                    errors.append(f'{rel}:{line}: {room} may not include {target} ({what})')
            else:
                for prefix, allowed in CONFINED.items():
                    if what.startswith(prefix) and not re.match(allowed, str(rel)):
                        errors.append(f'{rel}:{line}: <{what}> belongs to {allowed}')
    if not files:
        errors.append('no sources found')
    return errors


def self_test(tmp):
    """The test can fail: a planted edge to the right and a stray third-party header are both found."""
    (tmp / 'src/base').mkdir(parents=True)
    (tmp / 'include').mkdir()
    (tmp / 'src/base/x.h').write_text('#pragma once\n#include "net/loop.h"\n#include <event2/event.h>\n')
    return len(check(tmp)) == 2


def main():
    import tempfile
    with tempfile.TemporaryDirectory() as tmp:
        if not self_test(Path(tmp)):
            sys.exit('tidy: the self-test did not find its planted errors')
    errors = check(Path(sys.argv[1]))
    for e in errors:
        print(e)
    sys.exit(1 if errors else 0)


if __name__ == '__main__':
    main()
