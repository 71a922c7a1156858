import shelve
with shelve.open("/tmp/shelf") as db:
    db["a"] = [1]
    print(dict(db))
