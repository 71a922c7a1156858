# SPDX-License-Identifier: MIT
"""A figure: open figures come back as PNG (results[] with --json); one is also saved as a file."""
import matplotlib.pyplot as plt
import numpy as np

x = np.linspace(0, 4 * np.pi, 400)
plt.plot(x, np.sin(x) * np.exp(-x / 6))
plt.title("A damped wave")
plt.savefig("/sandbox/wave.png")
print("saved /sandbox/wave.png")
