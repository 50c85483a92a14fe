"""How the agent lives on each platform. Each mode is imported by the branch of assemble.py that needs it."""
