print("""a
b""".count("\n"))
