#!/usr/bin/env python3
"""docs/architecture.md is held true: what it names in backticks exists in the sources and is used by them; and so
are comments: a function that one names exists.

Files and folders must be there, `Type` must be declared, `Type::function()` must be a member of that type,
`function()` must be declared in a header, and any other word must occur in the code. A link to another
page must lead to one. Usage: architecture.py SOURCE_DIR
"""
import re
import sys
from pathlib import Path

PAGE = 'docs/architecture.md'
# Not names of ours, but of the language and of the wire; and the pattern `src/ROOM`.
ELSEWHERE = {'unique_ptr', 'Connection: close', 'src/ROOM'}
TYPE = re.compile(r'\b(?:class|struct|enum class|enum|union)\s+(?:\[\[\w+\]\]\s*|alignas\(\w+\)\s*)?(\w+)(?:\s+final)?\s*(?::[^;{]*)?\{')
ALIAS = re.compile(r'\busing\s+(\w+)\s*=')
COMMENT = re.compile(r'//[^\n]*|/\*.*?\*/', re.S)


def body_at(text, brace):
    """From one opening brace to the one that closes it."""
    depth = 0
    for at in range(brace, len(text)):
        depth += {'{': 1, '}': -1}.get(text[at], 0)
        if depth == 0:
            return text[brace:at]
    return text[brace:]


class Sources:
    def __init__(self, root):
        self.root = root
        files = [p for folder in ('src', 'include') for p in sorted((root / folder).rglob('*')) if p.suffix in ('.h', '.cc')]
        self.texts = {p: COMMENT.sub('', p.read_text()) for p in files}
        self.types = {}
        for text in self.texts.values():
            for m in TYPE.finditer(text):
                self.types.setdefault(m.group(1), []).append(body_at(text, m.end() - 1))
            for m in ALIAS.finditer(text):
                self.types.setdefault(m.group(1), [])
        self.headers = '\n'.join(t for p, t in self.texts.items() if p.suffix == '.h')
        self.all = '\n'.join(self.texts.values())
        self.words = set(re.findall(r'\w+', '\n'.join(self.texts.values())))

    def is_room(self, word):
        return (self.root / 'src' / word).is_dir()

    def is_used(self, function):
        """Whether it is named anywhere but where it is declared and defined: code that is not wired up proves nothing."""
        declarations = re.findall(rf'[\w>&*]\s+[&*]?(?:\w+::)*{function}\(', self.all)
        calls = [d for d in declarations if re.match(r'(return|co_return|else)\b', d)]
        used = len(re.findall(rf'\b{function}\b', self.all)) - len(declarations) + len(calls)
        return used > 0 or re.search(rf'(return|else|=|\(|,|!|&&|\|\|)\s*(?:\w+::)*{function}\b', self.all) is not None

    def comment_problems(self, path, text):
        """Functions named as name() or Type::name in comments that do not exist."""
        for m in re.finditer(r'//[^\n]*', text):
            line = text.count('\n', 0, m.start()) + 1
            for name in re.findall(r'(?<![\w/.:])((?:[a-z]+_)+[a-z]+)\(', m.group()) + re.findall(r'(?<![\w.>:])([a-z_]\w*)\(\)', m.group()):
                if not re.search(rf'\b{name}\(', self.all):
                    yield f'{path}:{line}: a comment names {name}(), which does not exist'
            for owner, member in re.findall(r'\b([A-Z]\w+)::(\w+)', m.group()):
                if owner in self.types and not any(re.search(rf'\b{member}\b', body) for body in self.types[owner]):
                    yield f'{path}:{line}: a comment names {owner}::{member}, which does not exist'

    def problem(self, name):
        """What is wrong with a name from the page, or None."""
        if name in ELSEWHERE:
            return None
        if m := re.fullmatch(r'(\w+)::(\w+)\(\)', name):
            owner, function = m.groups()
            if owner not in self.types:
                return f'no type {owner}'
            declared = any(re.search(rf'\b{function}\(', body) for body in self.types[owner])
            if not declared:
                return f'{owner} has no {function}()'
            return None if self.is_used(function) else f'nobody calls {function}()'
        if m := re.fullmatch(r'(\w+)\(\)', name):
            # A declaration has a type before the name.
            declared = re.search(rf'[\w>&*]\s+[&*]?{m.group(1)}\(', self.headers)
            if not declared:
                return 'no header declares it'
            return None if self.is_used(m.group(1)) else 'nobody calls it'
        if re.fullmatch(r'[A-Z]\w*', name):
            return None if name in self.types else 'no such type'
        if re.fullmatch(r'\w+', name):
            return None if name in self.words or self.is_room(name) else 'nothing in the sources is called that'
        if re.fullmatch(r'/\w+', name):
            return None if any(f'"{name}"' in t for t in self.texts.values()) else 'no such path in the sources'
        if re.fullmatch(r'[\w./-]+', name):
            return None if (self.root / name).exists() else 'no such file'
        return 'cannot be checked; say it without backticks'


def check(root, page=None):
    page = (root / PAGE).read_text() if page is None else page
    sources = Sources(root)
    errors = []
    prose = re.sub(r'```.*?```', lambda m: '\n' * m.group().count('\n'), page, flags=re.S)
    for m in re.finditer(r'`([^`]+)`', prose):
        wrong = sources.problem(m.group(1))
        if wrong:
            errors.append(f'{PAGE}:{prose.count(chr(10), 0, m.start()) + 1}: `{m.group(1)}`: {wrong}')
    # Drawings name types and members too.
    for drawing in re.findall(r'```(.*?)```', page, flags=re.S):
        for owner, function in re.findall(r'\b(\w+)::(\w+)', drawing):
            wrong = sources.problem(f'{owner}::{function}()')
            if wrong:
                errors.append(f'{PAGE}: {owner}::{function} in a drawing: {wrong}')
    for m in re.finditer(r'\]\(([^)#:]+)\)', prose):
        if not (root / 'docs' / m.group(1)).exists():
            errors.append(f'{PAGE}:{prose.count(chr(10), 0, m.start()) + 1}: no page {m.group(1)}')
    for path in sources.texts:
        errors += sources.comment_problems(path.relative_to(root), path.read_text())
    if not re.search(r'`\w+::\w+\(\)`', prose):
        errors.append(f'{PAGE}: names no function at all')
    return errors


def self_test(root):
    """The test can fail: each kind of wrong name is found, and the right ones beside them are not."""
    wrong = ['Exchange::on_haed()', 'Exchagne::on_head()', 'decide_rety()', 'Exchagne', 'src/proxy/exchagne.h', 'no_such_word',
             '/raedyz', 'a b']
    right = ['Exchange::on_head()', 'decide_retry()', 'Exchange', 'src/proxy/exchange.h', 'not_processed_name', '/readyz']
    page = '\n'.join(f'`{name}`' for name in wrong + right) + '\n[x](nowhere.md)\n```\nExchange::on_haed\n```\n'
    sources = Sources(root)
    comments = '// see Exchange::on_haed and no_such_function(x)\n// Exchange::on_head is called by decide_retry()\n'
    return (len([e for e in check(root, page) if e.startswith(PAGE)]) == len(wrong) + 2
            and len(list(sources.comment_problems('x.h', comments))) == 2 and not sources.is_used('nobody_calls_this'))


def main():
    root = Path(sys.argv[1])
    if not self_test(root):
        sys.exit('architecture: the self-test did not find its planted errors')
    errors = check(root)
    for e in errors:
        print(e)
    sys.exit(1 if errors else 0)


if __name__ == '__main__':
    main()
