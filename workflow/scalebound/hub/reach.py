"""Whether the hub answers at all: asked once, before a run starts jobs that each would find out with patience."""

from scalebound.errors import InputError
from scalebound.hub import surroundings
from scalebound.hub.retrying import first_line, raise_as_input_error

SECONDS = 10.0  # until a connection stands, and until the answer begins


def ask():
    """One request to the hub's address, by whatever proxy the environment names; any answer will do, an error of the hub among them.

    Raises:
        InputError: no answer, a certificate or proxy that refuses, a variable that cannot work, or HF_HUB_OFFLINE.
    """
    surroundings.check()
    from httpx2 import ProxyError, TransportError, codes
    from huggingface_hub import constants
    from huggingface_hub.errors import OfflineModeIsEnabled
    from huggingface_hub.utils import get_session

    try:
        answer = get_session().head(constants.ENDPOINT, timeout=SECONDS, follow_redirects=False)
        if answer.status_code == codes.PROXY_AUTHENTICATION_REQUIRED:
            raise ProxyError(f"{answer.status_code} {answer.reason_phrase}")
    except (TransportError, OfflineModeIsEnabled) as error:
        raise_as_input_error(error, constants.ENDPOINT)
        proxy = surroundings.proxy_of(constants.ENDPOINT)
        way = f", by way of {proxy}" if proxy else ""
        remedy = "Check the network, HF_ENDPOINT and the proxies, then run the same command again: what is already fetched is kept"
        raise InputError(constants.ENDPOINT, f"the hub does not answer{way} ({first_line(error)})", remedy) from None
