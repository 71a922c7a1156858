import sqlite3
with sqlite3.connect("data.db") as db:
    db.execute("create table t (x)")
    db.execute("insert into t values (1)")
print(db.execute("select * from t").fetchall())
