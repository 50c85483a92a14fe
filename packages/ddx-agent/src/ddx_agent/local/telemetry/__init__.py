"""What the Telemetry API's subscribers get: events, in the order of their production, in batches that may be late or lost.

events         one builder for each type of event, in AWS's field names (pure)
subscription   what an extension may ask for: a body into a checked value (pure)
hub            events of one life on their way to all its subscribers, the late ones included
subscriber     one subscription: its buffer, its faults, the task that posts
buffer         when a batch is due, and what is in it (pure)
delivery       batches to a listener, over HTTP or TCP
frozen_time    what stands still with the sandbox: a gate and a time limit
"""
