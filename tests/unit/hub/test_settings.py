"""Settings of the hub: environment, flags, and a sentence for each that cannot be used."""

import pytest

from waybill.errors import BadValue
from waybill.hub.settings import Settings


def test_defaults() -> None:
    settings = Settings.read({})
    assert settings == Settings()
    assert (settings.delivery, settings.presign_seconds) == ("redirect", 43_200)
    assert (settings.host, settings.port) == ("127.0.0.1", 8080)


def test_the_environment_and_stronger_the_flags() -> None:
    environ = {
        "WAYBILL_HUB_STORE": "s3://models/dev",
        "WAYBILL_HUB_PORT": "9000",
        "WAYBILL_HUB_DELIVERY": "proxy",
        "WAYBILL_HUB_PUBLIC_ENDPOINT": "",
        "OTHER": "x",
    }
    settings = Settings.read(environ, {"port": 0, "delivery": None, "run": print})
    assert settings == Settings(store="s3://models/dev", port=0, delivery="proxy")


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("DELIVERY", "copy", "delivery 'copy' is not usable: use redirect or proxy"),
        ("AUTH", "on", "auth 'on' is not usable: use off or required"),
        ("PORT", "tcp://10.0.0.1:80", "port .* it must be a whole number"),
        ("PORT", "65536", "port 65536 is not usable: it must be from 0 to 65535"),
        ("PRESIGN_SECONDS", "59", "presign seconds 59 .* from 60 to 604800"),
        ("PRESIGN_SECONDS", "604801", "presign seconds 604801 .* from 60 to 604800"),
        ("ENDPOINT", "minio:9000", "endpoint .* it must be http://host or https://host"),
        ("PUBLIC_ENDPOINT", "ftp://x", "public endpoint .* it must be http"),
        ("ENDPOINT", "http://[x", r"endpoint 'http://\[x' .* it must be http"),
        ("ENDPOINT", "http://x:port", "endpoint 'http://x:port' .* it must be http"),
    ],
)
def test_what_cannot_be_used(name: str, value: str, sentence: str) -> None:
    with pytest.raises(BadValue, match=sentence):
        Settings.read({f"WAYBILL_HUB_{name}": value})


@pytest.mark.parametrize("name", ["ENDPOINT", "PUBLIC_ENDPOINT"])
@pytest.mark.parametrize("url", ["http://me:secret@host", "me:secret@host", "http://me:sec/ret@h"])
def test_credentials_are_refused_and_not_repeated(name: str, url: str) -> None:
    with pytest.raises(BadValue, match="it must not hold credentials") as caught:
        Settings.read({f"WAYBILL_HUB_{name}": url})
    assert "sec" not in str(caught.value)
