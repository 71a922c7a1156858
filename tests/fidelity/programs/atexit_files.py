import atexit
f = open("late.txt", "w")
f.write("not closed")
atexit.register(lambda: f.write("!"))
