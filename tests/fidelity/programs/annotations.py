x: int = 1
y: str
class C:
    z: float
print(__annotations__, C.__annotations__)
