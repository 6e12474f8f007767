"""Calls to a hub that fail for a moment are made again, with waits that double; every other failure is told once.

huggingface_hub 2.4.0 retries some calls itself, but not 503 or 429 on `/revision` and `/refs`, 503 on a file, nor a
reset connection. This module closes those gaps in one place.
"""

import ssl
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from json import JSONDecodeError

from scalebound.errors import InputError
from scalebound.hub import surroundings

TRANSIENT_STATUS = (408, 425, 429, 500, 502, 503, 504)
LONGEST_RETRY_AFTER = 600.0  # seconds; a server that asks for more is taken at ten minutes


class BrokenAnswer(Exception):
    """An answer that is not what was asked for: too short, of another range, without the announced file."""


def _say(line):
    print(line, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Patience:
    """How often a call is made and how long to wait in between: seconds, doubling from `first_wait` to `longest_wait`."""

    attempts: int = 7
    first_wait: float = 1.0
    longest_wait: float = 60.0
    sleep: Callable[[float], None] = time.sleep
    say: Callable[[str], None] = _say

    def wait(self, attempt, error):
        """Seconds before the next attempt (`attempt` counts from 1); never less than the server's Retry-After."""
        doubled = min(self.longest_wait, self.first_wait * 2 ** (attempt - 1))
        return max(doubled, min(LONGEST_RETRY_AFTER, _retry_after(error)))


PATIENCE = Patience()


def retry(action, what, patience=PATIENCE):
    """The result of `action()`, tried again after transient failures.

    Args:
        what: the subject of progress lines and of the error, e.g. `EleutherAI/pythia-70m at step512`.

    Raises:
        InputError: no attempt succeeded, the hub refuses, or HF_HUB_OFFLINE forbids the connection.
        OSError: the disk is full or forbidden (with its errno, for the command line).
    """
    for attempt in range(1, patience.attempts + 1):
        try:
            return action()
        except InputError:
            raise
        except Exception as error:
            if not is_transient(error):
                raise_as_input_error(error, what)
                surroundings.check()
                raise
            if attempt == patience.attempts:
                remedy = "Check the network and HF_ENDPOINT, and run the same command again later: what is already fetched is kept"
                raise InputError(what, f"no usable answer after {attempt} attempts ({first_line(error)})", remedy) from error
            seconds = patience.wait(attempt, error)
            patience.say(f"{what}: {first_line(error)}; attempt {attempt + 1} of {patience.attempts} in {seconds:.0f} s")
            patience.sleep(seconds)


def is_transient(error):
    """Whether the same call may succeed a little later; looks through the client's wrappers at the causes."""
    from httpx2 import DecodingError, TransportError
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    if isinstance(error, OfflineModeIsEnabled):
        return False
    if isinstance(error, LocalEntryNotFoundError):
        # the client wraps whatever kept it from the hub when the cache cannot help either
        return error.__cause__ is not None and is_transient(error.__cause__)
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code in TRANSIENT_STATUS or _is_expired_address(error.response)
    # an OSError without errno is the client's check of a file's length; with errno it is the disk's
    cut_file = type(error) is OSError and error.errno is None
    return cut_file or (isinstance(error, TransportError | DecodingError | JSONDecodeError | BrokenAnswer) and not _is_hopeless(error))


def _is_hopeless(error):
    """Whether a connection failed by what no wait mends: an address of another kind, a certificate, a proxy that refuses."""
    from httpx2 import LocalProtocolError, UnsupportedProtocol

    return isinstance(error, UnsupportedProtocol | LocalProtocolError) or _untrusted(error) is not None or _refused_by_proxy(error)


def _untrusted(error):
    """The failed check of a certificate behind an error of the client, or None."""
    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        error = error.__cause__ or error.__context__
    return error


def _refused_by_proxy(error):
    """Whether a proxy answered and did not let the request through; what it says of a connection begins with its status."""
    from httpx2 import ProxyError, codes

    response = getattr(error, "response", None)
    wants_a_password = response is not None and response.status_code == codes.PROXY_AUTHENTICATION_REQUIRED
    return wants_a_password or (isinstance(error, ProxyError) and str(error).startswith("4"))


def _is_expired_address(response):
    """Whether a storage behind the hub refuses the signed address that the hub gave: the next call gets a new one."""
    from huggingface_hub import constants

    return response.status_code == 403 and not str(response.request.url).startswith(constants.ENDPOINT)


def raise_as_input_error(error, what):
    """Raise InputError for what a hub refuses for good; return for anything that is not the hub's answer."""
    from huggingface_hub import constants
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, RepositoryNotFoundError

    if isinstance(error, LocalEntryNotFoundError) and error.__cause__ is not None:
        error = error.__cause__
    if untrusted := _untrusted(error):
        remedy = "Name the certificates of your network by SSL_CERT_FILE; one that has expired, or is not valid yet, may say that the clock is wrong"
        raise InputError(what, f"the certificate of the answering machine is refused ({untrusted.verify_message})", remedy) from None
    if _refused_by_proxy(error):
        found = f"the proxy answers {first_line(error)}"
        raise InputError(surroundings.proxy_of(constants.ENDPOINT) or what, found, "Correct name and password in it, or the hosts in NO_PROXY") from None
    if isinstance(error, OfflineModeIsEnabled):
        raise InputError(what, "HF_HUB_OFFLINE is set", "Unset it for the stages that resolve, fetch and sample: they need the network") from None
    if isinstance(error, GatedRepoError):
        raise InputError(what, "the repository is gated", "Accept its terms on the hub, then log in or set HF_TOKEN") from None
    if isinstance(error, RepositoryNotFoundError):
        raise InputError(what, "no such repository, or it is private", "Correct its name and the organisation, or log in (HF_TOKEN)") from None
    if isinstance(error, HfHubHTTPError):
        raise InputError(what, first_line(error), "Check the name, the revision and HF_TOKEN") from None


def first_line(error):
    """One line for people: the class where the text is empty, no request ids, no addresses with signatures."""
    response = getattr(error, "response", None)
    if response is not None:
        return f"HTTP {response.status_code} on {response.request.method} {response.url.path}"
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0].split('?')[0]}" if lines else type(error).__name__


def _retry_after(error):
    """Seconds that the server asks for: by Retry-After, or by the hub's own header on a used-up limit; 0 where by neither."""
    from huggingface_hub.utils import parse_ratelimit_headers

    response = getattr(error, "response", None)
    if response is None:
        return 0.0
    value = response.headers.get("Retry-After", "").strip()
    limit = parse_ratelimit_headers(response.headers)
    used_up = limit.reset_in_seconds if limit is not None and limit.remaining == 0 else 0
    return float(max(int(value) if value.isdigit() else 0, used_up))
