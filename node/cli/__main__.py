"""`python -m node.cli`, where the command `idnode` is not installed."""

from node.cli import main

main()
