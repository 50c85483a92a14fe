"""Lifecycle, buffers, HTTP and intake delivery for serverless telemetry, on Trio."""
