"""How many cases a property sees: a fixed few, or as many as an environment says."""

import os
from collections import Counter
from functools import wraps

from hypothesis import HealthCheck, Phase, given, settings

VARIABLE = "SKLHASH_FUZZ_CASES"
IN_CI = 3_000

wanted = int(os.environ.get(VARIABLE, IN_CI))
is_fixed = VARIABLE not in os.environ
seen = Counter()


def fuzz(share, **strategies):
    """Make a property of a test, with a share in percent of all cases.

    Without the environment variable SKLHASH_FUZZ_CASES they are the same in each run;
    with it they are that many in all, and others each time.
    """

    def decorate(test):
        @wraps(test)
        def counted(**drawn):
            test(**drawn)
            seen[test.__name__] += 1

        return settings(
            max_examples=max(1, round(wanted * share / 100)),
            derandomize=is_fixed,
            database=None,
            deadline=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        )(given(**strategies)(counted))

    return decorate
