f = open("kept.txt", "w")
f.write("content")
