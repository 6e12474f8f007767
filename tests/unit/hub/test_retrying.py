"""Which failures are worth another call, how long the waits are, and what is said in the end."""

import errno

import httpx2
import pytest
from huggingface_hub import constants
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

from scalebound.errors import InputError
from scalebound.hub.retrying import BrokenAnswer, Patience, is_transient, retry


def failing(*errors):
    """An action that raises these, then returns 7."""
    left = list(errors)

    def action():
        if left:
            raise left.pop(0)
        return 7

    return action


def test_waits_double_up_to_the_longest(waits):
    patience = Patience(attempts=6, first_wait=1, longest_wait=5, sleep=waits.append, say=waits.lines.append)
    assert retry(failing(*[BrokenAnswer("half")] * 5), "repo", patience) == 7
    assert waits == [1, 2, 4, 5, 5]
    assert waits.lines[0] == "repo: BrokenAnswer: half; attempt 2 of 6 in 1 s"


def test_attempts_are_bounded_and_the_error_says_what_to_do(waits):
    with pytest.raises(InputError, match=r"repo: no usable answer after 4 attempts \(ReadError\).*run the same command again"):
        retry(failing(*[httpx2.ReadError("")] * 9), "repo", waits.patience)
    assert waits == [1, 2, 4]


def test_a_full_disk_is_not_retried_and_keeps_its_number(waits):
    with pytest.raises(OSError, match=r"No space") as caught:
        retry(failing(OSError(errno.ENOSPC, "No space left on device")), "repo", waits.patience)
    assert caught.value.errno == errno.ENOSPC
    assert waits == []


def test_defects_are_not_retried(waits):
    with pytest.raises(ZeroDivisionError):
        retry(lambda: 1 / 0, "repo", waits.patience)
    assert waits == []


def test_offline_mode_is_named(waits):
    with pytest.raises(InputError, match=r"HF_HUB_OFFLINE is set. Unset it"):
        retry(failing(OfflineModeIsEnabled("no")), "repo", waits.patience)


def test_wrapped_causes_count():
    wrapped = LocalEntryNotFoundError("not found")
    assert not is_transient(wrapped)
    wrapped.__cause__ = httpx2.ConnectError("refused")
    assert is_transient(wrapped)
    assert is_transient(OSError("Consistency check failed: file should be of size 3 but has size 2"))


def refused(status, **headers):
    request = httpx2.Request("GET", "http://127.0.0.1/api/models/a/b?signature=secret")
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    return HfHubHTTPError("refused", response=httpx2.Response(status, headers=named, request=request))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 1),
        ({"Retry_After": "0"}, 1),
        ({"Retry_After": "77"}, 77),
        ({"Retry_After": "86400"}, 600),
        ({"Retry_After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 1),
        ({"RateLimit": '"resolvers";r=0;t=233'}, 233),
        ({"RateLimit": '"resolvers";r=5;t=233'}, 1),
    ],
)
def test_the_server_s_own_waits_are_kept(waits, headers, seconds):
    assert retry(failing(refused(429, **headers)), "repo", waits.patience) == 7
    assert waits == [seconds]
    # addresses may carry signatures: they are not written to logs
    assert "secret" not in waits.lines[0]
    assert "HTTP 429 on GET /api/models/a/b" in waits.lines[0]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 416])
def test_refusals_are_told_at_once(waits, monkeypatch, status):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1")
    with pytest.raises(InputError, match=f"HTTP {status} on GET"):
        retry(failing(refused(status)), "repo", waits.patience)
    assert waits == []
