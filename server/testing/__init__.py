"""Engines and rules under test: the harness of `callgate.testing`, an operator's own cases."""
