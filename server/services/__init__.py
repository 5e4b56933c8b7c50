"""What is served: one entry for each service of the contract."""
