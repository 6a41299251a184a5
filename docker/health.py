"""Ask `/health/ready` of the process in this container; the exit status is the answer.

Usage: health.py PORT
"""

import sys
import urllib.request

with urllib.request.urlopen(f"http://127.0.0.1:{sys.argv[1]}/health/ready", timeout=4) as answer:
    answer.read()  # any status but 2xx has raised an error
