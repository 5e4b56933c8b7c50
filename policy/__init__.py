"""The rules: who may place which call, and who pays. No I/O, no clock, no async."""
