import sys
sys.stdout.buffer.write(b"\xff\xfe\x00raw\n")
sys.stdout.flush()
