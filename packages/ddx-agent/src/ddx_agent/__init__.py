"""The Datadog serverless agent in Python: Lambda extension, container entrypoint, local Lambda platform."""

version = "0.1.0"
