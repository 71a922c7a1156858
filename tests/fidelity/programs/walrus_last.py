[y := 5, y ** 2]
print(y)
