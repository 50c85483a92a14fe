"""The APIs that a function and its extensions talk to: Runtime, Extensions and Telemetry API, and the rules behind them.

runtime, extensions, telemetry   the routes of one API each: read headers, ask the rules, write the answer
answers                          the forms that answers share: accepted, refused, error bodies
control                          what the routes and the sandbox share during one life: they meet here alone
extension_table                  all extensions of a life, and who of them may do what (pure)
runtime_session                  what the runtime may do next, and what its headers mean (pure)
states                           the states of both, and the moves between them (tables)
"""
