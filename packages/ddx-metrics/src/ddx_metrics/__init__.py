"""Serverless metrics: DogStatsD, aggregation, the Agent sketch and enhanced metrics."""
