"""The package one hospital sends another: distilled images, soft labels, inner rates, ``theta_bn``; and its use.

One safetensors file (docs/package.md). The network itself is not in it, unless asked for: backbone, norm setting, start
and seed give its first weights bit for bit, and the inner steps do the rest.
"""

from sldd.package.format.header import FORMAT, Claims, Scores, Stored
from sldd.package.format.package import Package
from sldd.package.format.settings import PackageSettings

__all__ = ["FORMAT", "Claims", "Package", "PackageSettings", "Scores", "Stored"]
