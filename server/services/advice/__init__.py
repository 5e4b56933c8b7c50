"""AdviceService: what to fund, from what was spent."""
