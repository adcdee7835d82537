"""The certificate of a gang: made by each machine alone, the same everywhere, and good for nobody without the key."""

from __future__ import annotations

import socket
import ssl
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairway.train.beside.certificate import make_certificate, public_key, sign

# RFC 8032, section 7.1
VECTORS = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
]


@pytest.mark.parametrize(("seed", "public", "message", "signature"), VECTORS)
def test_signatures_are_those_of_the_standard(seed: str, public: str, message: str, signature: str) -> None:
    assert public_key(bytes.fromhex(seed)).hex() == public
    assert sign(bytes.fromhex(seed), bytes.fromhex(message)).hex() == signature


def context(folder: Path, key: str, purpose: ssl.Purpose) -> ssl.SSLContext:
    """As Dask makes it, but as strict as can be."""
    for name, text in zip(("crt", "key"), make_certificate(key), strict=True):
        (folder / f"{name}-{key}").write_text(text)
    made = ssl.create_default_context(purpose, cafile=str(folder / f"crt-{key}"))
    made.load_cert_chain(folder / f"crt-{key}", folder / f"key-{key}")
    made.verify_mode, made.check_hostname = ssl.CERT_REQUIRED, False
    made.verify_flags |= ssl.VERIFY_X509_STRICT
    return made


def talk(folder: Path, server_key: str, client_key: str) -> bytes:
    """What a client hears of a server, with the keys that each of them has. Raises OSError, of which SSLError is one."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            caller, _ = listener.accept()
            with caller:
                try:
                    with context(folder, server_key, ssl.Purpose.CLIENT_AUTH).wrap_socket(caller, server_side=True) as secured:
                        secured.sendall(b"welcome")
                except OSError:
                    pass  # the client hears it too

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            with socket.create_connection(listener.getsockname()) as plain:
                with context(folder, client_key, ssl.Purpose.SERVER_AUTH).wrap_socket(plain) as secured:
                    return secured.recv(100)
        finally:
            thread.join()


def test_who_knows_the_key_is_let_in_and_nobody_else(tmp_path: Path) -> None:
    assert talk(tmp_path, "ours", "ours") == b"welcome"
    with pytest.raises(ssl.SSLError, match="verify failed"):
        talk(tmp_path, "ours", "a guess")


@settings(max_examples=10)
@given(st.text())
def test_every_key_has_a_certificate_of_its_own_and_it_is_always_the_same(key: str) -> None:
    made = make_certificate.__wrapped__(key)
    assert made == make_certificate.__wrapped__(key)
    assert made != make_certificate.__wrapped__(f"{key}.")
    assert ssl.PEM_cert_to_DER_cert(made[0])
