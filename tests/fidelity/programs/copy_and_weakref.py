import copy, weakref
class C: pass
c = C(); c.x = [1]
d = copy.deepcopy(c)
print(d.x, d.x is c.x, weakref.ref(c)() is c)
