"""Lambda and Datadog on a laptop: the platform that runs functions, and the intake that takes what they send."""
