"""The public client of callgate: typed stubs, a client and a command line."""
