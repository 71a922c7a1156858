# SPDX-License-Identifier: MIT
"""What comes from a registry of packages, once: one that does not answer is asked again, a few times. For no test itself."""
import time

PIP = ("--retries", "5", "--timeout", "60")
NPM = ("--fetch-retries=5", "--fetch-timeout=120000")
PAUSES = (5, 30)  # seconds; and then once more


def patiently(get, *failures):
    for pause in PAUSES:
        try:
            return get()
        except failures as failure:
            print(f"asked again in {pause} s: {str(failure)[-500:]}", flush=True)
        time.sleep(pause)
    return get()
