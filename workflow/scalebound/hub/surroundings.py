"""The environment variables that connections depend on: what in them can never work is told once, by the variable's name."""

import os
import re
import ssl
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from scalebound.errors import InputError, first_line

_SECONDS = ("HF_HUB_ETAG_TIMEOUT", "HF_HUB_DOWNLOAD_TIMEOUT")


def check_importable():
    """Raise InputError for a variable that the hub's client, and whatever imports it, cannot even be imported with."""
    for variable in _SECONDS:
        value = os.environ.get(variable, "1")
        if not value.strip().isdecimal():
            raise InputError(variable, f"{value!r} is no whole number of seconds", "Correct it, or unset it")
    try:
        return urlsplit(os.environ.get("HF_ENDPOINT", "")).port
    except ValueError:
        raise _no_address(os.environ["HF_ENDPOINT"]) from None


def check():
    """Raise InputError for a variable with which the hub's client cannot work: its endpoint, times, certificates, proxies, token."""
    check_importable()
    _check_endpoint()
    _check_certificates()
    check_proxies()
    _check_token()


def check_proxies():
    """Raise InputError for a proxy that no connection can go through, whatever answers there."""
    for variable, address in _proxies().items():
        if problem := _problem_of_proxy(address):
            remedy = "Give http://host:port or https://host:port, or unset it"
            raise InputError(variable, f"{_without_password(address)!r} is no proxy that can be used: {problem}", remedy)


def proxy_of(address):
    """Name of the variable whose proxy connections to an address go through, or None."""
    parts, found = urlsplit(address), _proxies()
    if proxy_bypass(parts.hostname):
        return None
    return next((name for name in map(_variable, (parts.scheme, "all")) if name in found), None)


def _check_endpoint():
    endpoint = os.environ.get("HF_ENDPOINT", "https://host")
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname or re.search(r"\s", endpoint):
        raise _no_address(endpoint)


def _no_address(endpoint):
    return InputError("HF_ENDPOINT", f"{_without_password(endpoint)!r} is no address", "Give it as https://host, or unset it for the public hub")


def _check_certificates():
    """Of the two, the file is read where both are given; without either, the system's own are."""
    variable = next((name for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if os.environ.get(name)), None)
    if variable is None:
        return
    place = os.environ[variable]
    try:
        if variable == "SSL_CERT_FILE":
            ssl.create_default_context(cafile=place)
        else:
            os.listdir(place)
    except OSError as error:  # also what ssl raises for a file without a certificate
        raise InputError(variable, f"no certificates in {place!r} ({error.strerror or first_line(error)})", "Correct it, or unset it") from None


def _check_token():
    """Never shown; headers of requests take ASCII alone."""
    from huggingface_hub import get_token

    if not (get_token() or "").isascii():
        raise InputError("HF_TOKEN, or the file in which the hub's client keeps it", "holds characters that no token has", "Copy the token again, or unset it")


def _proxies():
    """{variable: address} of the proxies that connections go through; `NO_PROXY=*` switches them off."""
    found = getproxies()
    if "*" in (host.strip() for host in found.get("no", "").split(",")):
        return {}
    return {_variable(scheme): found[scheme] for scheme in ("http", "https", "all") if found.get(scheme)}


def _variable(scheme):
    """The name in lower case wins where both are set; without either, the system says it (macOS)."""
    names = (f"{scheme}_proxy", f"{scheme}_proxy".upper())
    return next((name for name in names if os.environ.get(name)), f"the system's {scheme} proxy")


def _problem_of_proxy(address):
    """Why the client refuses a proxy; None when it does not. What it says itself may quote a password."""
    import httpx2

    try:
        proxy = httpx2.Proxy(address if "://" in address else f"http://{address}")
        httpx2.HTTPTransport(proxy=proxy, verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)).close()
    except httpx2.InvalidURL:
        return "an unreadable address"
    except ValueError:
        return "of a kind that the client does not know"
    except ImportError:
        return "SOCKS takes the package socksio, which is not installed"
    return None


def _without_password(address):
    return re.sub(r"//.*@", "//...@", address)
