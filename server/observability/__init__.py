"""What an operator sees of the engine: a record of every decision, metrics, the ledger's health."""
