import sys
for frame in sys._current_frames().values():
    while frame:
        print(frame.f_code.co_name, frame.f_lineno)
        frame = frame.f_back
