"""What is told at the end: how each invocation went, what reached the intake, and whether the accounts close. Pure.

report     the whole document, which `--json` prints
played     one sample event and what came of it
arrived    logs, metrics, stats, events and checks that the intake decoded
traces     its spans, as trees
accounts   the agents' own accounts over all lives, against what the intake has
text       the same for people
"""
