"""The quick start's demo runs to its end, and every call in it succeeds."""
import subprocess
import sys
import unittest

from harness import ROOT, SANITIZER, find_tool, main


@unittest.skipUnless(find_tool('nginx') and find_tool('redis-server'), 'nginx and redis are not on this machine')
class Demo(unittest.TestCase):
    def test_once(self):
        run = subprocess.run([sys.executable, ROOT / 'docker/demo/demo.py', '--once'], capture_output=True, text=True, timeout=180)
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        for word in ('orders-1', 'TLSv1.3', 'hello, web', 'greeting', ', 0 failed', '127.0.0.1:15000'):
            self.assertIn(word, run.stdout)
        if SANITIZER:
            self.assertNotIn('Sanitizer', run.stdout + run.stderr)


if __name__ == '__main__':
    main()
