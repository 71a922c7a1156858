# ways: file session
import linecache
print(linecache.getline(__file__, 1), linecache.getline(__file__, 3))
# the third line
