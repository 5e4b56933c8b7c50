"""An engine for tests: the same code, with a clock that can be moved and faults that can be set.

Nothing of it is imported by an engine that was not started as a harness. `clock`, `faults` and
`recording` stand where production has the store's clock, the store and the transport; `keeping`
runs the keeper in the same process, so that a test can wait for it; `service` is the test's hold on
all of them; `scenario` makes a world from one file, `nursery` forks engines from one that has
imported everything already.
"""
