"""A signature holds for one content by one key, and says no more than that."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from sldd.errors import InputError
from sldd.package import Package
from sldd.package.cli.commands import main
from sldd.package.format.container import Container, read, to_bytes
from sldd.package.format.signature import check, generate, read_private, read_public, sign, to_signed_bytes
from sldd.package.rebuild.verify import Check, verify


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("keys")
    for name in ("ours", "others"):
        generate(folder / name)
    return {name: folder / name for name in ("ours", "ours.pub", "others", "others.pub")}


@pytest.fixture
def signed(package: Package, tmp_path: Path, keys: dict[str, Path]) -> Path:
    path = tmp_path / "signed.safetensors"
    path.write_bytes(to_signed_bytes(package.to_container(), read_private(keys["ours"]), "Hospital A"))
    return path


def _signature(path: Path, key: Path | None = None) -> Check:
    return next(check for check in verify(path, key=key).checks if check.what == "signature")


def test_a_signed_package_is_its_makers(signed: Path, keys: dict[str, Path]) -> None:
    found = _signature(signed, keys["ours.pub"])
    assert found.passed
    assert "'Hospital A'" in found.words
    assert Package.load(signed).backbone == "lenet"


def test_a_name_without_a_key_to_compare_is_only_a_name(signed: Path) -> None:
    found = _signature(signed)
    assert found.passed is None
    assert "which calls itself 'Hospital A'; ask for its public key (--key)" in found.words


def test_another_key_is_told_apart(signed: Path, saved: Path, keys: dict[str, Path]) -> None:
    found = _signature(signed, keys["others.pub"])
    assert found.passed is False
    assert "by another key" in found.words
    assert _signature(saved, keys["ours.pub"]).passed is False, "unsigned is not signed by ours"


@pytest.mark.parametrize("part", ["facts", "signer", "signature", "key", "algorithm"])
def test_whatever_is_changed_afterwards_breaks_it(signed: Path, part: str) -> None:
    container = read(signed)
    said = json.loads(container.metadata["signature"])
    metadata = dict(container.metadata)
    if part == "facts":
        changed = Package.load(signed)
        object.__setattr__(changed, "delta", 0.99)
        metadata = changed.to_container().metadata | {"signature": metadata["signature"]}
    else:
        said[part] = {"signer": "Hospital B", "algorithm": "none"}.get(part, "00" * len(bytes.fromhex(said["key"])))
        metadata["signature"] = json.dumps(said)
    with pytest.raises(InputError, match=r"its signature (does not hold|is not one)"):
        check(Container(metadata, container.tensors))
    signed.write_bytes(to_bytes(Container(metadata, container.tensors)))
    assert _signature(signed).passed is False


def test_a_signature_that_is_none(package: Package) -> None:
    container = package.to_container()
    for text in ("[]", "{}", '"x"', '{"algorithm":1,"key":2,"signature":3,"signer":4}', "{nonsense"):
        with pytest.raises(InputError):
            check(Container(container.metadata | {"signature": text}, container.tensors))


def test_keys_are_private_and_never_overwritten(keys: dict[str, Path]) -> None:
    assert stat.S_IMODE(keys["ours"].stat().st_mode) == 0o600
    with pytest.raises(InputError, match="a key is never overwritten"):
        generate(keys["ours"])
    half = keys["ours"].with_name("half")
    half.with_name("half.pub").write_text("somebody's")
    with pytest.raises(InputError, match=r"half\.pub: exists already"):
        generate(half)
    assert half.with_name("half.pub").read_text() == "somebody's"
    assert not half.exists()


def test_files_that_are_no_keys(tmp_path: Path, keys: dict[str, Path], package: Package) -> None:
    (tmp_path / "key").write_text("no key")
    with pytest.raises(InputError, match="no private key"):
        read_private(tmp_path / "key")
    with pytest.raises(InputError, match="no public key"):
        read_public(keys["ours"])
    other = X25519PrivateKey.generate()
    pem, kind = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (tmp_path / "x").write_bytes(other.private_bytes(pem, kind, serialization.NoEncryption()))
    public = other.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "x.pub").write_bytes(public)
    for read_key, name in ((read_private, "x"), (read_public, "x.pub")):
        with pytest.raises(InputError, match="a key of another kind than Ed25519"):
            read_key(tmp_path / name)
    with pytest.raises(InputError, match="there is no such key file"):
        read_private(tmp_path / "missing")
    with pytest.raises(InputError, match="say who signs"):
        sign(package.to_container(), read_private(keys["ours"]), "two\nlines")


def test_a_file_that_was_changed_is_not_signed_nor_shown_as_whole(
    saved: Path, keys: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved.write_bytes(saved.read_bytes()[:-1] + bytes([saved.read_bytes()[-1] ^ 1]))
    out = tmp_path / "out.safetensors"
    assert main(["sign", str(saved), "--key", str(keys["ours"]), "--signer", "A", "--out", str(out)]) == 2
    assert "its content was changed after it was made; nobody should sign it" in capsys.readouterr().err
    assert not out.exists()
    assert main(["info", str(saved)]) == 0
    assert "DOES NOT HOLD" in capsys.readouterr().out
