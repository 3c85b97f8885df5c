"""What `cmake --install` installs is complete, runs, and describes the program that was built."""
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

from harness import BINARY, ROOT, Case, main, run_outrigger

BUILD = Path(BINARY).resolve().parent.parent


class Install(Case):
    def setUp(self):
        super().setUp()
        self.assertTrue((BUILD / 'cmake_install.cmake').exists(), f'{BUILD} is a build folder')
        subprocess.run(['cmake', '--install', str(BUILD), '--prefix', '/usr'], check=True, capture_output=True,
                       env={**os.environ, 'DESTDIR': str(self.directory)})
        self.usr = self.directory / 'usr'

    def run_installed(self, *arguments):
        return subprocess.run([str(self.usr / 'bin/outrigger'), *arguments], capture_output=True, text=True, timeout=60)

    def test_everything_is_there_and_nothing_else(self):
        found = {str(p.relative_to(self.usr)) for p in self.usr.rglob('*') if p.is_file()}
        headers = {f'include/outrigger/{p.name}' for p in (ROOT / 'include/outrigger').glob('*.h')}
        self.assertTrue(headers)
        self.assertEqual(found, headers | {
            'bin/outrigger', 'share/outrigger/schema/v1.json', 'share/outrigger/examples/minimal.yaml',
            'share/outrigger/examples/example.yaml', 'share/man/man1/outrigger.1', 'share/doc/outrigger/README.md',
            'share/doc/outrigger/LICENSE', 'share/doc/outrigger/CHANGELOG.md',
            'share/bash-completion/completions/outrigger', 'share/zsh/site-functions/_outrigger',
            'share/fish/vendor_completions.d/outrigger.fish'})

    def test_the_installed_program_runs_and_has_the_installed_schema(self):
        self.assertEqual(self.run_installed('schema').stdout, (self.usr / 'share/outrigger/schema/v1.json').read_text())
        json.loads((self.usr / 'share/outrigger/schema/v1.json').read_text())

    def test_the_version_names_the_commit_that_was_built(self):
        said = self.run_installed('version').stdout
        self.assertRegex(said, r'^outrigger \d+\.\d+\.\d+ \(commit ([0-9a-f]{12}(-dirty)?|unknown)\)\n$')

    def test_an_extension_can_be_compiled_against_the_installed_headers(self):
        for header in sorted((self.usr / 'include/outrigger').glob('*.h')):
            run = subprocess.run(['g++', '-std=c++20', '-fsyntax-only', '-x', 'c++', '-I', str(self.usr / 'include'), '-'],
                                 input=f'#include "outrigger/{header.name}"\n', capture_output=True, text=True, timeout=120)
            self.assertEqual(run.returncode, 0, f'{header.name}: {run.stderr[:2000]}')

    def complete(self, line):
        """The completions that bash offers at the end of a line."""
        words = line.split(' ')
        script = (f'source "{self.usr}/share/bash-completion/completions/outrigger"\n'
                  f'COMP_WORDS=({" ".join(repr(w) for w in words)}); COMP_CWORD={len(words) - 1}\n'
                  '_outrigger; printf "%s\\n" "${COMPREPLY[@]}"')
        return subprocess.run(['bash', '-c', script], capture_output=True, text=True, check=True, timeout=60,
                              cwd=self.directory).stdout.split()

    def test_bash_completes_commands_options_and_keys(self):
        self.assertEqual(self.complete('outrigger va'), ['validate'])
        self.assertEqual(self.complete('outrigger cert i'), ['issue'])
        self.assertEqual(self.complete('outrigger cert issue --d'), ['--dns', '--days'])
        self.assertEqual(self.complete('outrigger validate --f'), ['--format'])
        self.assertEqual(self.complete('outrigger explain ser'), ['services'])
        self.assertEqual(self.complete('outrigger completion z'), ['zsh'])

    def test_each_shell_can_read_its_script(self):
        for shell, path in (('bash', 'share/bash-completion/completions/outrigger'), ('zsh', 'share/zsh/site-functions/_outrigger'),
                            ('fish', 'share/fish/vendor_completions.d/outrigger.fish')):
            script = (self.usr / path).read_text()
            for word in ('validate', 'issue', 'completion'):
                self.assertIn(word, script, shell)
            if shutil.which(shell):
                run = subprocess.run([shell, '-n', str(self.usr / path)], capture_output=True, text=True, timeout=60)
                self.assertEqual((run.returncode, run.stderr), (0, ''), shell)

    def test_the_man_page_has_every_command_and_option(self):
        page = (self.usr / 'share/man/man1/outrigger.1').read_text().replace('\\-', '-')
        commands = re.findall(r'^ {2}(\w+) ', run_outrigger('--help').stdout.split('Subcommands:')[1], re.M)
        self.assertIn('validate', commands)
        for command in [*commands, 'cert ca', 'cert issue']:
            self.assertIn(command, page)
            for option in re.findall(r'--\w[\w-]*', run_outrigger(*command.split(), '--help').stdout):
                if option != '--help':
                    self.assertIn(option, page, command)


if __name__ == '__main__':
    main()
