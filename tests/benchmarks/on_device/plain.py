"""boards/UNIX as it is: the board's own main.py, for measurements that must not add a byte to the device's heap.

Not a wrapper around the agent.
"""

import sys

import main

if __name__ == "__main__":
    sys.exit(main.main(sys.argv[1:]))
