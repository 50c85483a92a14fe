"""The ports that functions send to, and who holds those that are taken.

extension   the extension's four ports: which they are for a function, four free ones, and whether they are free
holders     which process holds a port, as /proc tells it
"""
