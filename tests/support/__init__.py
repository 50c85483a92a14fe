"""Tools that tests share: cancellation at every step, streams that hang or break, clocks, small builders."""
