import sys
print("before", flush=True)
sys.stdout = None
print("nowhere")
