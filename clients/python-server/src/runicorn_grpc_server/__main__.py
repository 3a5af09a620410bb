import os
import subprocess
import sys

from . import find_binary

if os.name == "nt":
    sys.exit(subprocess.call([find_binary(), *sys.argv[1:]]))
binary = find_binary()
os.execv(binary, [binary, *sys.argv[1:]])
