import sys
print(sys.flags.hash_randomization, hash(1), hash("") )
