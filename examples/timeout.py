# SPDX-License-Identifier: MIT
"""
A program that does not end. What it printed before the time limit is kept:

    dsandbox run --timeout 2 examples/timeout.py; echo $?     # 124
"""
import time

step = 0
while True:
    print("step", step, flush=True)
    step += 1
    time.sleep(0.5)
