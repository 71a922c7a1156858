# SPDX-License-Identifier: MIT
"""Figures of matplotlib as pictures.

Drawing is our work and not the program's: it happens in a copy of the
interpreter, so whatever it prints, warns of, changes or breaks is the copy's
alone, with a budget of time that is not the program's.  dsb-init hears of the
time in the report's memory and believes no more of it than its own bound.

kernel.py loads this file when there may be figures; its names are here as well.
"""
display = part("display.py")
clock, pause = display["clock"], library("time").sleep

DRAW_SECONDS = 30.0  # of processor time, for all pictures of one execution; on top of its time limit, as dsb-init has it
DRAW_WALL_SECONDS = 4 * DRAW_SECONDS  # where other programs have the processors
MARGIN_SECONDS = 1.0  # before dsb-init ends what draws
SHARE_MIN = 24 * 1024  # below, a picture says nothing
PIXELS_SECOND_TRY = 1000000
TRIES_SMALLER = 6
SVG_MAX = 1024 * 1024
GIVE_BACK_FROM = 100 * 1024 * 1024
HEAD = struct.Struct("<cQ")
PICTURE, NO_ROOM, FAILED = b"P", b"N", b"F"
MEMORY, ROOM = "out of memory", "there is no room left in the result"
TIME = "drawing took too long (%d seconds of processor time, less after an interrupt and at the time limit)" % DRAW_SECONDS
ENDED = "the process that drew it ended"


def private_memory():
    try:
        with open("/proc/self/statm") as f:
            _, resident, shared = [int(n) for n in f.read().split()[:3]]
        return (resident - shared) * mmap.PAGESIZE
    except (OSError, ValueError):
        return 0


def managers():
    """What pyplot holds, without a call of the program's."""
    try:
        return list(sys.modules["matplotlib._pylab_helpers"].Gcf.figs.items())
    except Exception:
        return []


def forget(pairs):
    """Closed as far as pyplot is concerned: it begins anew."""
    try:
        figs = sys.modules["matplotlib._pylab_helpers"].Gcf.figs
        for number, manager in pairs:
            if figs.get(number) is manager:
                del figs[number]
    except Exception:
        pass


def words(figure):
    try:
        return text_of(repr(figure))
    except Exception:
        return "<Figure>"


class Painter:
    """Draws the figures of one execution."""

    def __init__(self, shown):
        self.shown = shown
        self.execution = shown.execution
        self.spent = self.computed = 0.0  # seconds, and those of a processor
        self.seen = {}  # id: the figure, so that the number stays its own, and what its last picture was

    def close(self):
        """Closed figures are garbage in cycles; where they may be much, a rollback point would have it twice."""
        self.seen.clear()
        if self.execution.in_session and private_memory() > GIVE_BACK_FROM:
            gc.collect()
            try:
                library("ctypes").CDLL(None).malloc_trim(0)
            except Exception:
                pass  # another C library

    # --- what is asked

    def show(self, figures):
        """Each figure as it is now, but not the same picture once more."""
        for figure, (text, why) in zip(figures, self.draw(figures, 1)):
            mark = hash(text)
            known = self.seen.get(id(figure))
            self.seen[id(figure)] = figure, mark
            if known is None or known[1] != mark:
                self.shown.add(text)
                self.count(why)

    def value(self, figure):
        """The bundle of a last value."""
        text, why = self.draw([figure], 1)[0]
        known = self.seen.get(id(figure))
        self.seen[id(figure)] = figure, hash(text)
        self.count(why)
        return Raw(text) if known is None or known[1] != hash(text) else {"text/plain": words(figure)}

    def smaller(self, data):
        """The bundle of a picture that has too many bytes, with fewer dots; None: it could not be made."""
        made = library("json").loads(self.draw([Big(data)], 1)[0][0])
        return made if "image/png" in made else None

    def show_open(self, keep):
        """pyplot.show()."""
        pairs = managers()
        if not keep:
            forget(pairs)
        self.show([manager.canvas.figure for _, manager in pairs])

    def finish(self):
        """At the code's end: what is open and has not been shown."""
        pairs = managers()
        if self.execution.in_session:
            forget(pairs)
        figures = [manager.canvas.figure for _, manager in pairs]
        figures = [figure for figure in figures if id(figure) not in self.seen]
        for text, why in self.draw(figures, 0):
            self.shown.add(text)
            self.count(why)

    def count(self, why):
        if why:
            self.shown.leave_out(why)

    # --- drawing

    def draw(self, figures, others):
        """For each figure its bundle as JSON, and why it has no picture or None; room is left for so many others."""
        made, small = [], False
        started = clock()
        end = max(started, self.end(started))
        self.execution.ask_for_time(self.spent + end - started)
        try:
            while len(made) < len(figures):
                why = self.copy(figures[len(made) :], others, end, small, made)
                if why is None:
                    break
                again = why == MEMORY and not small
                if not again:
                    # What ended the copy may be the fault of the figure that was due; the rest is everyone's.
                    due = figures[len(made) :]
                    self.not_drawn(due[:1] if why == MEMORY or why.startswith(ENDED) else due, why, made)
                small = again
        finally:
            self.spent += clock() - started
            self.execution.ask_for_time(self.spent)
        return made

    def end(self, now):
        """When it is to be over, whatever it has computed."""
        execution = self.execution
        if execution.interrupted:  # the code has only its grace before it is ended
            return now + execution.grace / 2 - self.spent
        limit = execution.began + execution.limit + DRAW_SECONDS - MARGIN_SECONDS
        return min(now + DRAW_WALL_SECONDS - self.spent, limit)

    @staticmethod
    def not_drawn(figures, why, made):
        for figure in figures:
            made.append((encode({"text/plain": "%s: not drawn: %s" % (words(figure), why)}), why))

    def copy(self, figures, others, end, small, made):
        """One copy of the interpreter: what it draws is added to made.  Why it came no further, or None."""
        room = self.shown.room - sum([len(text) for text, _ in made])
        left = DRAW_SECONDS - self.computed
        if clock() >= end or left <= 0:
            return TIME
        try:
            copy = Copy(lambda sock: paint(sock, figures, others, room, small), left)
        except OSError as e:
            return "no process could be started for it: %s" % (e.strerror or e)
        done = False
        try:
            done = copy.collect(end, len(figures), room, made)
        finally:
            status = copy.end(0 if done else min(1.0, max(0.0, end - clock())))
            self.computed += copy.computed
        if done:
            return None
        # A kernel that counts the limit in ticks may see it passed before the sum has it.
        if clock() >= end or self.computed >= DRAW_SECONDS or (status is not None and status & 127 == _signal.SIGXCPU):
            return TIME
        if status == _signal.SIGKILL:
            return MEMORY
        return ENDED if status is None else ENDED + " (status %d)" % status


def reason(kind, text):
    """Why there is no picture, or None."""
    if kind != FAILED:
        return ROOM if kind == NO_ROOM else None
    return "drawing failed: " + library("json").loads(text)["text/plain"].rstrip().rpartition("\n")[2][:200]


class Copy:
    """A copy of the interpreter that runs step(socket) and ends.  The program does not notice its end."""

    computed = 0.0  # seconds of a processor, known after its end

    def __init__(self, step, seconds):
        self.sock, theirs = _socket.socketpair()
        self.mask = _signal.pthread_sigmask(_signal.SIG_BLOCK, {_signal.SIGCHLD})
        self.pending = _signal.SIGCHLD in _signal.sigpending()
        self.pid = quiet_fork()
        if self.pid == 0:
            be_copy(theirs, step, seconds)
        theirs.close()
        if self.pid < 0:
            self.sock.close()
            _signal.pthread_sigmask(_signal.SIG_SETMASK, self.mask)
            raise OSError(11, "the limit of processes or memory is reached")

    def receive(self, size, end):
        parts = []
        while size:
            self.sock.settimeout(max(0.001, end - clock()))
            part = self.sock.recv(min(size, 1 << 18))
            if not part:
                raise OSError("the end")
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def collect(self, end, count, room, made):
        """True: it has drawn all."""
        try:
            for _ in range(count):
                kind, size = HEAD.unpack(self.receive(HEAD.size, end))
                if size > max(room, TEXT_MAX):
                    return False
                text = self.receive(size, end).decode("ascii")
                room -= size
                made.append((text, reason(kind, text)))
            return True
        except (OSError, ValueError, LookupError, TypeError):
            return False

    def end(self, patience):
        """Its status, or None when it did not end by itself or somebody else has asked."""
        self.sock.close()
        until = clock() + patience
        status, pid = None, 0
        try:
            while not pid and clock() < until:
                pid, status, usage = os.wait4(self.pid, os.WNOHANG)
                if not pid:
                    pause(0.002)
            if not pid:
                os.kill(self.pid, _signal.SIGKILL)
                _, _, usage = os.wait4(self.pid, 0)
                status = None
            self.computed = usage.ru_utime + usage.ru_stime
        except OSError:
            status = None
        if not self.pending:  # the program's handler has nothing to hear of ours
            _signal.sigtimedwait({_signal.SIGCHLD}, 0)
        _signal.pthread_sigmask(_signal.SIG_SETMASK, self.mask)
        return status


# --- in the copy


def be_copy(sock, step, seconds):
    try:
        null = os.open("/dev/null", os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        sys.settrace(None)
        sys.setprofile(None)
        sys.stdout = sys.stderr = sys.__stdout__ = sys.__stderr__ = open("/dev/null", "w")
        gc.disable()  # it would copy what it looks at
        warnings.filters[:] = [("ignore", None, Warning, None, 0)]
        if "logging" in sys.modules:
            sys.modules["logging"].disable(1000)
        with open("/proc/self/oom_score_adj", "w") as f:
            f.write("1000")  # more than the interpreter has
    except Exception:
        pass
    try:
        limit = int(seconds) + 1
        resource = library("resource")
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5))
        _signal.signal(_signal.SIGXCPU, _signal.SIG_DFL)
        _signal.pthread_sigmask(_signal.SIG_UNBLOCK, {_signal.SIGXCPU})
        step(sock)
    finally:
        os._exit(0)


def paint(sock, figures, others, room, small):
    if "matplotlib" in sys.modules:
        sys.modules["matplotlib"].rcParams["savefig.bbox"] = None
        lend_glyphs()
    for i, figure in enumerate(figures):
        share = room // (len(figures) - i + others)
        kind = PICTURE
        try:
            data = picture(figure, share, PIXELS_SECOND_TRY if small and i == 0 else None)
        except NoRoom:
            kind, data = NO_ROOM, {"text/plain": "%s: not drawn: %s" % (words(figure), ROOM)}
        except MemoryError:
            os.kill(getpid(), _signal.SIGKILL)
        except BaseException as e:
            kind, data = FAILED, {"text/plain": "%s: not drawn\n%s" % (words(figure), trace(e))}
        text = encode(data).encode()
        room -= len(text)
        sock.sendall(HEAD.pack(kind, len(text)) + text)


def lend_glyphs():
    """What the program's fonts lack comes from those that the image's matplotlibrc names, as with its own defaults."""
    try:
        fonts = sys.modules["matplotlib.font_manager"]
        manager, found = fonts.fontManager, []
        for family in sys.modules["matplotlib"].rcParamsDefault["font.family"]:
            if family not in fonts.font_family_aliases:
                found.append(manager.findfont(family, fallback_to_default=False))
        find = manager._find_fonts_by_props
        manager._find_fonts_by_props = lambda *args, **more: find(*args, **more) + found
    except Exception:
        pass  # another matplotlib, or not one of its fonts is there


class NoRoom(Exception):
    pass


class Big:
    """A picture of the code's own that has too many bytes."""

    def __init__(self, data):
        self.data = data

    def picture(self, limit):
        images, memory = library("PIL.Image"), library("io").BytesIO
        image = images.open(memory(self.data))
        image = image if image.mode in ("L", "RGB") else image.convert("RGBA")
        before, png = image.size, self.data
        for _ in range(TRIES_SMALLER):
            image.thumbnail([max(1, int(n * smaller_by(limit, png))) for n in image.size])
            out = memory()
            image.save(out, "PNG")
            png = out.getvalue()
            if len(png) <= limit:
                words = " (%d x %d instead of %d x %d: it was too big)" % (image.size + before)
                return {"text/plain": words, "image/png": display["entry"]("image/png", png)}
        raise NoRoom


def smaller_by(limit, png):
    """What each side of a picture is to be of what it is, so that its bytes stay below the limit."""
    return max(0.1, 0.9 * (limit / len(png)) ** 0.5)


def trace(error):
    return text_of("".join(library("traceback").format_exception(type(error), error, user_frames(error))), 8 * 1024)


def picture(figure, share, pixels):
    """The MIME bundle of a figure, with a picture that takes no more than its share."""
    limit = min(share * 3 // 4 - 1024, display["IMAGE_MAX"])
    data = {"text/plain": words(figure)}
    if type(figure) is not Big and len(figure.get_children()) <= 1:
        return data  # there is nothing but its background
    if limit < SHARE_MIN:
        raise NoRoom
    if type(figure) is Big:
        return figure.picture(limit)
    asked = sys.modules["matplotlib"].rcParams["savefig.dpi"]
    asked = dpi = figure.dpi if asked == "figure" else asked
    if pixels:
        width, height = figure.get_size_inches()
        dpi = min(dpi, (pixels / max(width * height, 0.01)) ** 0.5)
    for _ in range(TRIES_SMALLER):
        png = render(figure, "png", dpi, tight=not pixels)
        if len(png) <= limit:
            break
        dpi *= smaller_by(limit, png)
    else:
        raise NoRoom
    data["image/png"] = display["entry"]("image/png", png)
    if dpi != asked:
        data["text/plain"] += " (%.4g instead of %.4g dots per inch: %s)" % (dpi, asked, MEMORY if pixels else "it was too big")
    if "svg" in os.environ.get("DSANDBOX_FIGURES", ""):
        svg = render(figure, "svg", asked, True).decode()
        if len(svg) <= min(SVG_MAX, share - len(data["image/png"]) - 2048):
            data["image/svg+xml"] = text_of(svg, SVG_MAX)
    return data


def render(figure, form, dpi, tight):
    out = library("io").BytesIO()
    if tight:
        try:
            figure.savefig(out, format=form, dpi=dpi, bbox_inches="tight")
            return out.getvalue()
        except MemoryError:
            raise
        except Exception:
            out = library("io").BytesIO()
    figure.savefig(out, format=form, dpi=dpi)
    return out.getvalue()


# --- show()


def hook(module):
    """Makes show() of backends without windows, that is of every backend here, deliver."""
    base = module.FigureManagerBase

    def pyplot_show(cls, *, block=None):
        execution = current()
        # pause() shows as well, before it waits.
        if execution is not None and sys._getframe(2).f_code.co_name != "pause":
            execution.output().paint().show_open(keep=block is False)

    def show(self):
        execution = current()
        if execution is not None:
            execution.output().paint().show([self.canvas.figure])

    for made, known in ((pyplot_show, "pyplot_show"), (show, "show")):
        original = getattr(base, known, None)
        if original is not None:
            made.__doc__, made.__module__, made.__qualname__ = original.__doc__, base.__module__, original.__qualname__
    if hasattr(base, "pyplot_show"):
        base.pyplot_show = classmethod(pyplot_show)
    module._Backend.show = classmethod(pyplot_show)  # what backends export as their own
    base.show = show
