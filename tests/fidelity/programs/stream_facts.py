import sys
for s in (sys.stdin, sys.stdout, sys.stderr):
    print(s.name, s.mode, s.encoding, s.errors, s.seekable(), s.isatty(), s.fileno(), type(s.buffer).__name__, type(s.buffer.raw).__name__)
    print(s.buffer.name, s.buffer.mode, s.buffer.raw.name, s.buffer.raw.mode, s.buffer.raw.closefd, s.newlines)
print(sys.stdout is sys.__stdout__, sys.stderr is sys.__stderr__, sys.stdin is sys.__stdin__, sys.stderr.line_buffering)
print(repr(sys.stdin), repr(sys.stdout), repr(sys.stderr))
