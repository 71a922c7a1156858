# SPDX-License-Identifier: MIT
"""
The replaced class used as its documentation shows, in a program of our own. test_dolphin.py runs this very text with
nothing changed but the import below, and looks at what it prints and leaves.
"""
import os
from pathlib import Path

from dolphin_mcp.docker_sandbox import DockerSandboxExecutor

# --- a session with a file that appears on the host
with DockerSandboxExecutor(session_id="dsb-doc-session") as sandbox:
    code = """
import json

answer = {"result": 42, "status": "success"}
with open('/sandbox/output.json', 'w') as f:
    json.dump(answer, f, indent=2)

print("File created!")
"""
    output = sandbox.execute_code(code)
    print(output)

print("on the host:", Path("/tmp/sandboxes/dsb-doc-session/output.json").read_text())

# --- all options
sandbox = DockerSandboxExecutor(
    session_id="dsb-doc-options",
    sandbox_base_dir="/tmp/sandboxes",
    image_name="dolphin-python-sandbox",
    memory_limit="512m",
    cpu_quota=100000,
    enable_network=False,
    timeout=30,
)

# --- what the code cannot reach
code = """
import os

try:
    with open('/etc/passwd', 'r') as f:
        print(f.read())
except Exception as e:
    print(f"Blocked: {e}")

try:
    print(os.listdir('/home'))
except Exception as e:
    print(f"Blocked: {e}")
"""
print(sandbox.execute_code(code))

# --- an analysis with a report
code = """
import json
import statistics

data = [12, 15, 13, 18, 14, 16, 11, 19]
report = {'count': len(data), 'mean': statistics.mean(data), 'stdev': statistics.stdev(data)}
with open('/sandbox/analysis.json', 'w') as f:
    json.dump(report, f, indent=2)
print(f"Analysis complete: {report}")
"""
print(sandbox.execute_code(code))
print("files:", sandbox.get_session_files())
print("report:", sandbox.read_session_file("analysis.json"))

# --- several steps, whose variables persist
code1 = """
data = [1, 2, 3, 4, 5]
print(f"Initialized data: {data}")
"""
sandbox.execute_code(code1)

code2 = """
result = sum(x**2 for x in data)
print(f"Sum of squares: {result}")
with open('/sandbox/result.txt', 'w') as f:
    f.write(f"Result: {result}\\n")
"""
print(sandbox.execute_code(code2))
print("on the host:", (sandbox.session_dir / "result.txt").read_text())

# --- a new object with the same id goes on
again = DockerSandboxExecutor(session_id="dsb-doc-options")
print(again.execute_code("print('still', result)"))

# --- two sessions do not see each other
with DockerSandboxExecutor(session_id="dsb-doc-one") as one, DockerSandboxExecutor(session_id="dsb-doc-two") as two:
    one.execute_code("secret = 1; open('/sandbox/one.txt', 'w').write('one')")
    print(two.execute_code("import os; print('sees', os.listdir('/sandbox'), 'secret' in globals())"))
    print("on the host:", sorted(os.listdir("/tmp/sandboxes/dsb-doc-one")))

for executor in (sandbox, again, one, two, DockerSandboxExecutor(session_id="dsb-doc-session")):
    executor.cleanup()
print("left:", [name for name in os.listdir("/tmp/sandboxes") if name.startswith("dsb-doc-")])
