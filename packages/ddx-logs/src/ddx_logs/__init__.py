"""Serverless logs: telemetry events and output lines to the Datadog log intake."""
