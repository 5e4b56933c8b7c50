"""`python -m callgate_engine`: the same as `callgate-engine`."""

from callgate_engine import main

main()
