print(len("x" * 5000), "y" * 300)
