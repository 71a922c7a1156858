import tempfile, os
with tempfile.NamedTemporaryFile("w", suffix=".txt") as f:
    print(os.path.dirname(f.name), f.write("x"))
