"""Settings of the packages that a study writes."""

from __future__ import annotations

from dataclasses import dataclass

from sldd.package.format.header import Images


@dataclass(frozen=True)
class PackageSettings:
    """What is in the packages of a study. Scores are those of the images as they are stored."""

    images: Images = "float32"
    """How distilled images are stored; 8 bit (``uint8``) and float16 take less and cost what the package says."""
    weights: bool = False
    """Include the start: much larger files, for receivers who cannot make the start themselves."""
    key: str | None = None
    """File of a private key (``python -m sldd.package keygen``) with which packages are signed; the same path on every
    machine that runs trials, since it is sent nowhere."""
    signer: str = ""
    """Who signs, in words, where there is a key."""
