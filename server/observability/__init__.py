"""What an operator sees of the engine: a record of every decision, and figures over time."""
