"""Signatures of packages: Ed25519 (RFC 8032) over the digest, by the ``cryptography`` library.

A digest shows that a file is as it was made; anybody can make one anew. A signature shows who made it, to those who
have the maker's public key from the maker: a name in the file is only what the file says.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from sldd.errors import InputError
from sldd.io.atomic_file import write_file
from sldd.package.format.container import Container, load_json, to_bytes
from sldd.package.format.header import printable

ALGORITHM = "Ed25519"
_MOST_KEY_BYTES = 10_000
_LONGEST_NAME = 200


@dataclass(frozen=True)
class Signature:
    """A verified signature. ``signer`` is the signer's own word."""

    signer: str
    key: Ed25519PublicKey

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the public key, to be compared by telephone: 32 digits of the SHA-256 of its 32 bytes."""
        return fingerprint(self.key)


def generate(path: Path) -> Path:
    """Write a new private key, readable by its owner alone, and the public key beside it (``.pub``), both as PEM.

    Raises:
        InputError: there is a file already, or it cannot be written.
    """
    public = path.with_name(path.name + ".pub")
    for there in (path, public):
        if there.exists() or there.is_symlink():
            raise InputError(f"{there}: exists already; a key is never overwritten")
    key = Ed25519PrivateKey.generate()
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    write_file(path, key.private_bytes(*form), mode=0o600)
    pem, info = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    write_file(public, key.public_key().public_bytes(pem, info))
    return public


def read_private(path: Path) -> Ed25519PrivateKey:
    """A private key from its file.

    Raises:
        InputError: no Ed25519 key without a password.
    """
    content = _key_bytes(path)
    try:
        key = serialization.load_pem_private_key(content, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise InputError(
            f"{path}: no private key (PEM, without a password); see python -m sldd.package keygen"
        ) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise InputError(f"{path}: a key of another kind than {ALGORITHM}")
    return key


def read_public(path: Path) -> Ed25519PublicKey:
    """A public key from its file.

    Raises:
        InputError: no Ed25519 key.
    """
    content = _key_bytes(path)
    try:
        key = serialization.load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm):
        raise InputError(f"{path}: no public key (PEM); ask the maker of the package for it") from None
    if not isinstance(key, Ed25519PublicKey):
        raise InputError(f"{path}: a key of another kind than {ALGORITHM}")
    return key


def sign(container: Container, key: Ed25519PrivateKey, signer: str) -> Container:
    """The same file, signed; a signature that was there is replaced.

    Raises:
        InputError: the name cannot stand in one line.
    """
    check_signer(signer)
    said = {
        "algorithm": ALGORITHM,
        "key": _raw(key.public_key()).hex(),
        "signature": key.sign(_message(container, signer)).hex(),
        "signer": signer,
    }
    return Container(container.metadata | {"signature": json.dumps(said, sort_keys=True)}, container.tensors)


def check_signer(signer: str) -> None:
    """Raise an InputError where a name cannot stand in one line."""
    if not signer or len(signer) > _LONGEST_NAME or not signer.isprintable():
        raise InputError(f"signer: say who signs, in one line of up to {_LONGEST_NAME} characters")


def to_signed_bytes(container: Container, key: Ed25519PrivateKey, signer: str) -> bytes:
    """The content of the file, signed; see ``sign``."""
    return to_bytes(sign(container, key, signer))


def check(container: Container) -> Signature | None:
    """Verify a file's signature and return it; None where there is none.

    Raises:
        InputError: it carries a signature that is not one of this content by the key that it names.
    """
    text = container.metadata.get("signature")
    if text is None:
        return None
    said = load_json(text)
    if (
        not isinstance(said, dict)
        or said.keys() != {"algorithm", "key", "signature", "signer"}
        or not all(isinstance(value, str) and len(value) <= _LONGEST_NAME for value in said.values())
        or said["algorithm"] != ALGORITHM
        or not said["signer"].isprintable()
    ):
        raise InputError("its signature is not one that this version knows")
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(said["key"]))
        key.verify(bytes.fromhex(said["signature"]), _message(container, said["signer"]))
    except (ValueError, InvalidSignature):
        raise InputError(
            f"its signature does not hold: the content or the name {printable(said['signer'])!r} was changed afterwards"
        ) from None
    return Signature(said["signer"], key)


def same_key(one: Ed25519PublicKey, other: Ed25519PublicKey) -> bool:
    """Whether two public keys are the same."""
    return _raw(one) == _raw(other)


def fingerprint(key: Ed25519PublicKey) -> str:
    """Fingerprint of a public key, as ``Signature.fingerprint``."""
    return hashlib.sha256(_raw(key)).hexdigest()[:32]


def _message(container: Container, signer: str) -> bytes:
    return "\n".join([container.metadata["format"], container.metadata["digest"], signer]).encode()


def _raw(key: Ed25519PublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def _key_bytes(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise InputError(f"{path}: there is no such key file")
        with path.open("rb") as file:
            return file.read(_MOST_KEY_BYTES)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
