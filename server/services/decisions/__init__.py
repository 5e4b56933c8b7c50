"""DecisionService: what was answered, found again, and why."""
