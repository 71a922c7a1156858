if True:
    x: int = 1
for i in range(1):
    y: str = "a"
print(sorted(__annotations__))
