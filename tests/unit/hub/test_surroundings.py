"""Variables of the environment that can never work are named, in one line and without a second try."""

import http.server
import os
import shutil
import ssl
import subprocess
import threading

import hub_client
import pytest

from scalebound import cli
from scalebound.errors import InputError
from scalebound.hub import reach, surroundings
from scalebound.hub.revisions import commit_of

PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
CASES = {
    "kind of proxy": ("HTTPS_PROXY", "foo://127.0.0.1:3", "of a kind that the client does not know"),
    "SOCKS": ("ALL_PROXY", "socks5h://127.0.0.1:3", "socksio, which is not installed"),
    "port of a proxy": ("http_proxy", "http://127.0.0.1:many", "unreadable address"),
    "password with a slash": ("HTTPS_PROXY", "http://me:sec/ret@host:3", "no proxy that can be used"),
    "password with a hash": ("HTTPS_PROXY", "http://me:sec#ret@host:3", "no proxy that can be used"),
    "file of certificates": ("SSL_CERT_FILE", "/no/such.pem", "No such file"),
    "a file that holds none": ("SSL_CERT_FILE", __file__, "no certificate"),
    "a folder for a file": ("SSL_CERT_FILE", "/", "directory"),
    "folder of certificates": ("SSL_CERT_DIR", "/no/such", "No such file"),
    "endpoint without a scheme": ("HF_ENDPOINT", "huggingface.co", "no address"),
    "endpoint of another kind": ("HF_ENDPOINT", "ftp://huggingface.co", "no address"),
    "endpoint without a host": ("HF_ENDPOINT", "https://", "no address"),
    "endpoint with a space": ("HF_ENDPOINT", "https://huggingface.co ", "no address"),
    "empty endpoint": ("HF_ENDPOINT", "", "no address"),
    "port of the endpoint": ("HF_ENDPOINT", "http://me:sec/ret@host:99999", "no address"),
    "time": ("HF_HUB_DOWNLOAD_TIMEOUT", "1.5", "no whole number"),
    "token": ("HF_TOKEN", "hf_secrét", "holds characters that no token has"),
}


@pytest.fixture(autouse=True)
def plain(monkeypatch):
    """An environment without proxies and certificates of its own."""
    for name in [name for name in os.environ if name.lower() in PROXIES or name.startswith("SSL_CERT")]:
        monkeypatch.delenv(name)


def test_a_plain_environment_is_fine():
    surroundings.check()


@pytest.mark.parametrize("case", CASES)
def test_what_can_never_work_is_named(monkeypatch, case):
    variable, value, found = CASES[case]
    monkeypatch.setenv(variable, value)
    with pytest.raises(InputError, match=found) as caught:
        surroundings.check()
    assert str(caught.value).startswith(variable)
    # neither passwords nor tokens
    assert not any(part in str(caught.value) for part in ("sec/", "sec#", "secr", "ret@"))


@pytest.mark.parametrize(("variable", "value"), [("HTTPS_PROXY", "127.0.0.1:3128"), ("ALL_PROXY", "https://me:pw@proxy:3"), ("NO_PROXY", "[::1, localhost")])
def test_what_may_work_is_left_alone(monkeypatch, variable, value):
    monkeypatch.setenv(variable, value)
    surroundings.check()


def test_no_proxy_switches_off_what_cannot_work(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "foo://127.0.0.1:3")
    monkeypatch.setenv("no_proxy", "localhost, *")
    surroundings.check()


def test_the_variable_of_the_proxy_in_use(monkeypatch):
    assert surroundings.proxy_of("https://host") is None
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:3")
    assert surroundings.proxy_of("https://host") == "ALL_PROXY"
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:3")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:4")
    assert surroundings.proxy_of("https://host/path") == "https_proxy"
    monkeypatch.setenv("no_proxy", "host")
    assert surroundings.proxy_of("https://host/path") is None


@pytest.mark.parametrize(("variable", "value"), [("HF_HUB_ETAG_TIMEOUT", "soon"), ("HF_ENDPOINT", "http://host:99999")])
def test_every_command_says_what_its_imports_would_stumble_over(monkeypatch, capsys, variable, value):
    monkeypatch.setenv(variable, value)
    assert cli.main(["summary"]) == 1
    assert capsys.readouterr().err.startswith(f"scalebound summary: error: {variable}: ")


@pytest.mark.parametrize(("variable", "value"), [("HTTP_PROXY", "foo://127.0.0.1:3"), ("SSL_CERT_FILE", "/no/such.pem"), ("HF_TOKEN", "hf_secrét")])
def test_calls_of_the_hub_name_it_without_another_try(hub, waits, monkeypatch, variable, value):
    monkeypatch.setenv(variable, value)
    with pytest.raises(InputError, match=f"^{variable}"):
        commit_of("org/tiny", "main", waits.patience)
    assert waits == []


CALL = """
from scalebound.errors import InputError
from scalebound.hub.retrying import Patience
from scalebound.hub.revisions import commit_of
try:
    commit_of("org/tiny", "main", Patience(attempts=3, first_wait=60.0))
except InputError as error:
    print(error)
"""


def test_an_endpoint_without_a_scheme_is_not_tried_again(home):
    status, out, error = hub_client.run(CALL, None, home, HF_ENDPOINT="huggingface.co")
    assert (status, error) == (0, "")
    assert out.startswith("HF_ENDPOINT: 'huggingface.co' is no address")


class _Refusing(http.server.BaseHTTPRequestHandler):
    """A proxy that wants a password, for connections as for requests."""

    def do_CONNECT(self):
        self.send_error(407)

    do_GET = do_HEAD = do_CONNECT

    def log_message(self, *_):
        pass


@pytest.fixture
def refusing():
    """(server, its port) of the proxy; a test may wrap its socket."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Refusing)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield server, server.server_address[1]
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("call", ["commit_of", "ask"])
def test_a_proxy_that_wants_a_password(refusing, hub, waits, monkeypatch, scheme, call):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", f"{scheme}://hub.invalid")
    variable = f"{scheme}_proxy"
    monkeypatch.setenv(variable, f"http://127.0.0.1:{refusing[1]}")
    with pytest.raises(InputError, match=rf"^{variable}: the proxy answers .*407"):
        reach.ask() if call == "ask" else commit_of("org/tiny", "main", waits.patience)
    assert waits == []


def test_a_certificate_that_nobody_signed(refusing, hub, waits, monkeypatch, tmp_path):
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate")
    from huggingface_hub import constants

    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, "-days", "2", "-subj", "/CN=hub"]
    subprocess.run([*made, "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    server, port = refusing
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    monkeypatch.setattr(constants, "ENDPOINT", f"https://127.0.0.1:{port}")
    with pytest.raises(InputError, match=r"certificate of the answering machine is refused.*SSL_CERT_FILE"):
        commit_of("org/tiny", "main", waits.patience)
    with pytest.raises(InputError, match=r"is refused \(self-signed certificate\)"):
        reach.ask()
    assert waits == []


def test_a_hub_that_answers_is_asked_once(hub):
    hub.fault("HEAD", "503", times=None)
    reach.ask()
    assert [entry.line for entry in hub.log] == ["HEAD /"]


def test_a_hub_that_is_gone(hub, monkeypatch):
    hub.stop()
    with pytest.raises(InputError, match=rf"^{hub.endpoint}: the hub does not answer \(ConnectError"):
        reach.ask()
    monkeypatch.setenv("all_proxy", hub.endpoint)
    with pytest.raises(InputError, match=r"the hub does not answer, by way of all_proxy"):
        reach.ask()


def test_offline_mode_is_told_before_anything_is_asked(hub, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=r"HF_HUB_OFFLINE is set"):
        reach.ask()
    assert hub.count() == 0
