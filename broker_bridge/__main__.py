"""`python -m broker_bridge` is `latchpin bridge`.

Not for anything else.
"""

import argparse
import sys

from broker_bridge import command

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="latchpin bridge", description="The bridge that stands beside an authorization server.")
    command.add_arguments(parser)
    sys.exit(command.run(parser.parse_args()))
