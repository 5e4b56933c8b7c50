"""Engines and rules under test."""
