"""The life of a call, from question to answer: facts, rules, one step of the ledger."""
