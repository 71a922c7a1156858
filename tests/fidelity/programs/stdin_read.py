# stdin: one\ntwo\nthree
import sys
print(input())
print(sys.stdin.readline())
print(sys.stdin.buffer.read())
