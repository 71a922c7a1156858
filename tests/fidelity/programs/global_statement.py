global z
z = 4
print(z)
