import textwrap, shutil
print(textwrap.fill("a " * 50), shutil.get_terminal_size())
