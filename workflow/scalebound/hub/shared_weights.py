"""Rows of a table that hold the same weights under different steps: what comparing each branch with its neighbours cannot see."""

import itertools

from scalebound.hub.digests import digest_key
from scalebound.hub.revisions import is_known_equal


def shared_weights(located, known_equal):
    """[(name, name, digest)], one for each two rows of different steps that have a weight file in common.

    located: {name: what `resolve_revision` found}. known_equal: {repository: pairs of revisions that may share weights}.
    """
    digests = {name: _weight_digests(found) for name, found in located.items()}
    pairs = itertools.combinations(located, 2)
    common = [(one, other, digests[one] & digests[other]) for one, other in pairs if not _may_share(located[one], located[other], known_equal)]
    return [(one, other, min(both)) for one, other, both in common if both]


def _weight_digests(found):
    return {digest_key(file) for file in found["files"] if file["path"] in found["weights"]}


def _may_share(one, other, known_equal):
    if one["step"] == other["step"]:
        return True
    return one["repo"] == other["repo"] and is_known_equal(one["repo"], one["revision"], other["revision"], known_equal.get(one["repo"], ()))
