import random
random.seed(5)
print(random.random(), random.choice("abc"))
