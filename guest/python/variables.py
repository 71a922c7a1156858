# SPDX-License-Identifier: MIT
"""The variables of a session: what changed, what there is, and a copy of them in a file.

kernel.py loads this file for session.py; the names of kernel.py are here as well.
"""
import _io

getsizeof, modules, namespace_copy = sys.getsizeof, sys.modules, dict.copy
rename, unlink, python_version = os.replace, os.unlink, list(sys.version_info[:2])
name_of_type = type.__dict__["__name__"].__get__
LENGTH = struct.Struct("<Q")

STATE_FILE = "/sandbox/.dsandbox-state"
MAGIC = b"dsandbox-state 1\n"
VARIABLES_MAX = 1000
NAME_MAX = 200
REPR_MAX = 200
WHY_MAX = 300
SMALL = 64
OWN_WORDS = (int, float, bool, complex, type(None))
CONTAINERS = (list, dict, set, bytearray)
FUNCTION = type(lambda: None)
MODULE = type(sys)


def is_public(name):
    return type(name) is str and name[:1] != "_" and len(name) <= NAME_MAX


def mark(value):
    """What tells that a name stands for another value, without keeping a big one alive."""
    kind = type(value)
    name = name_of_type(kind)
    if kind in OWN_WORDS or (kind in (str, bytes) and len(value) <= SMALL):
        return name, kind, value
    return name, id(value), len(value) if kind in CONTAINERS else None


def same(a, b):
    # `is` first: a value that is not equal to itself (nan) is no change.
    return a[0] == b[0] and a[1] == b[1] and (a[2] is b[2] or a[2] == b[2])


def reason(error):
    return text_of("%s: %s" % (name_of_type(type(error)), value_of(error)), WHY_MAX)


class Variables:
    def __init__(self, namespace):
        self.namespace = namespace
        self.known = self.look()
        self.short = library("reprlib").Repr()
        self.short.maxstring = self.short.maxother = REPR_MAX
        self.short.maxlevel, self.short.maxlist, self.short.maxtuple, self.short.maxdict = 3, 20, 20, 20

    def items(self):
        # One step for the interpreter: a thread of the code cannot change it meanwhile.
        return [(k, v) for k, v in namespace_copy(self.namespace).items() if is_public(k)]

    def look(self):
        return {k: mark(v) for k, v in self.items()}

    def changes(self):
        before, after = self.known, self.look()
        self.known = after
        created = [n for n in after if n not in before]
        changed = [n for n in after if n in before and not same(before[n], after[n])]
        deleted = [n for n in before if n not in after]
        return {
            "created": self.listing(created, after),
            "changed": self.listing(changed, after),
            "deleted": self.listing(deleted, before),
            "truncated": max(len(created), len(changed), len(deleted)) > VARIABLES_MAX,
        }

    @staticmethod
    def listing(names, marks):
        return [{"name": text_of(n), "type": text_of(marks[n][0], NAME_MAX)} for n in names[:VARIABLES_MAX]]

    # --- control operations

    def op_vars(self, request):
        found, items = [], self.items()
        for name, value in items[:VARIABLES_MAX]:
            row = {"name": text_of(name), "type": text_of(name_of_type(type(value)), NAME_MAX), "size": None}
            try:
                size = getsizeof(value)
                row["size"] = size if type(size) is int and 0 <= size < 1 << 53 else None
            except Exception:
                pass
            try:
                row["repr"] = text_of(self.short.repr(value), REPR_MAX)
            except Exception as e:
                row["repr"] = "<repr() raised %s>" % text_of(name_of_type(type(e)), NAME_MAX)
            found.append(row)
        return {"vars": found, "truncated": len(items) > VARIABLES_MAX}

    def op_get(self, request):
        name = request.get("name")
        if name not in self.namespace:
            return {"error": "no such variable"}
        value = self.namespace[name]
        return {"name": text_of(name), "type": text_of(name_of_type(type(value)), NAME_MAX), "value": part("display.py")["bundle"](value)}

    def op_save(self, request):
        path = request.get("file") or STATE_FILE
        saved, failed = [], []
        part = path + ".part"
        try:
            with _io.open(part, "wb") as f:
                f.write(MAGIC + bytes(python_version))
                for name, value in self.items():
                    why = self.save(f, name, value)
                    if why is None:
                        saved.append(text_of(name))
                    else:
                        failed.append({"name": text_of(name), "why": why})
            rename(part, path)
        except BaseException as e:
            try:
                unlink(part)
            except OSError:
                pass
            if isinstance(e, OSError):
                return {"error": reason(e), "code": "conflict"}
            raise
        return {"saved": saved, "not_saved": failed}

    def save(self, f, name, value):
        """One record: length, name, length, pickle.  None, or why it cannot be saved; nothing is left then."""
        start = f.tell()
        raw = name.encode("utf-8", "surrogatepass")
        f.write(LENGTH.pack(len(raw)) + raw + LENGTH.pack(0))
        data = f.tell()
        try:
            pickler(self.namespace)(f, 4).dump(value)
            end = f.tell()
            f.seek(data - LENGTH.size)
            f.write(LENGTH.pack(end - data))
            f.seek(end)
            return None
        except OSError:
            raise
        except Exception as e:
            f.seek(start)
            f.truncate()
            return reason(e)

    def op_restore(self, request):
        restored, failed = [], []
        try:
            with _io.open(request.get("file") or STATE_FILE, "rb") as f:
                if f.read(len(MAGIC)) != MAGIC:
                    return {"error": "not a file of saved variables", "code": "conflict"}
                own_version = list(f.read(2)) == python_version
                while True:
                    head = f.read(LENGTH.size)
                    if len(head) < LENGTH.size:
                        break
                    size = min(LENGTH.unpack(head)[0], 1 << 20)
                    name = f.read(size).decode("utf-8", "surrogatepass")
                    end = LENGTH.unpack(f.read(LENGTH.size))[0] + f.tell()
                    try:
                        self.namespace[name] = unpickler(self.namespace, own_version)(f).load()
                        restored.append(text_of(name))
                    except Exception as e:
                        failed.append({"name": text_of(name), "why": reason(e)})
                    f.seek(end)
        except FileNotFoundError:
            return {"error": "nothing is saved", "code": "not_found"}
        except (OSError, ValueError, struct.error) as e:
            return {"error": reason(e), "code": "conflict", "restored": restored, "not_restored": failed}
        self.known = self.look()
        return {"restored": restored, "not_restored": failed}


def pickler(namespace):
    """Modules by name, functions of the session by their code; a class of the session has no place to come back from."""
    pickle, marshal = library("pickle"), library("marshal")

    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            kind = type(value)
            if kind is MODULE:
                return "module", value.__name__
            if kind is FUNCTION and value.__globals__ is namespace:
                if value.__closure__:
                    raise pickle.PicklingError("a function with variables of another one")
                code = marshal.dumps(value.__code__)
                return "function", code, value.__name__, value.__defaults__, value.__kwdefaults__, value.__doc__
            if isinstance(value, type) and value.__module__ == "__main__":
                raise pickle.PicklingError("a class that is defined in the session")
            return None

    return Pickler


def unpickler(namespace, own_version):
    pickle, marshal = library("pickle"), library("marshal")

    class Unpickler(pickle.Unpickler):
        def persistent_load(self, word):
            if word[0] == "module":
                __import__(word[1])
                return modules[word[1]]
            if not own_version:
                raise pickle.UnpicklingError("code of another version of Python")
            made = FUNCTION(marshal.loads(word[1]), namespace, word[2], word[3])
            made.__kwdefaults__, made.__doc__ = word[4], word[5]
            return made

    return Unpickler
