import collections, typing
T = collections.namedtuple("T", "a b")
class N(typing.NamedTuple):
    a: int
    b: str = "x"
print(T(1, 2), N(1), T.__module__, N.__module__)
