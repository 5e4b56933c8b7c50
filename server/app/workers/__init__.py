"""Several processes behind one address: a parent that keeps them, and what they tell each other.

`parent` starts and ends everything, `child` keeps one process alive, `channel` is what parent and
worker say to each other, `merging` the sum of their figures, `worker` the process itself.
`docs/workers.md` tells what an operator sees.
"""
