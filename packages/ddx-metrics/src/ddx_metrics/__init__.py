"""Serverless metrics: DogStatsD, aggregation, the Agent sketch and enhanced metrics.

    dogstatsd, unix_sockets       sockets and lines → values of contexts
    enhanced, usage               what the platform tells of invocations, and the machine of their use → samples
    sample, context               one value; what values must have in common to be combined
    feeds, aggregator             values of one context wait; folded into buckets, bounded, until a flush takes them out
    accumulate, sketch            what one context gathers in one bucket, by type; the Agent's sketch
    bucket, predecessors          a bucket told in parts: the second of each, and what sets and histograms carry over
    tag_set_limit                 how many contexts may have one name
    series, origin                gathered values as points of the intake's series; which product they come from
    encode, payload, split        both serialised, put into payloads within the intake's limits, cut where it refuses
    events                        events and service checks, on a way of their own
    pipeline, settings            all of it as one signal, and what it can be told

Import from those; this module exports nothing.
"""
