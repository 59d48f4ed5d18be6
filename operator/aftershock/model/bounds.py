"""How large a document may be. The API server weighs each rule by the longest list and text that it could meet, and takes
none whose weight has no bound; so there are bounds, and both doors have the same. What stands in `status` is not bounded.
"""

LONGEST_TEXT = 16_384
"""Characters of a text that nothing narrower bounds: a query, a request's body, a note."""

LONGEST_LIST = 100
"""Items of a list."""

LARGEST_MAPPING = 50
"""Fields of a mapping whose keys are free: labels, headers."""

LONGEST_TIMELINE = 50
"""Injections of an experiment: each is held against each, and the API server takes only so long for that."""

MOST_SHARDS = 100
"""Generators of one load."""
