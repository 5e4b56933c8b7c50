"""The ledger in plain Python: the model that the Lua is compared with."""
