"""Writes the result of a long run to docs/evidence: what was run, when, at which commit, on which machine."""
import json
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / 'tests/bench'))
import machine  # noqa: E402


def write(name, command, result, passed):
    """Returns the file: docs/evidence/DATE-NAME.json."""
    where = ROOT / 'docs/evidence'
    where.mkdir(parents=True, exist_ok=True)
    path = where / f'{time.strftime("%Y-%m-%d")}-{name}.json'
    path.write_text(json.dumps({'what': name, 'passed': passed, 'date': time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime()),
                                'commit': machine.commit(), 'machine': machine.describe(), 'command': command, 'result': result},
                               indent=1) + '\n')
    return path
