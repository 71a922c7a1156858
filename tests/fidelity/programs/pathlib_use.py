import pathlib
p = pathlib.Path("notes.txt")
p.write_text("line\n")
print(p.read_text(), p.resolve(), [x.name for x in pathlib.Path().glob("*.txt")])
