# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Given certificates, looked at on the controller before any host is touched."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

try:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import serialization
    from cryptography.x509.oid import ExtensionOID
except ImportError:  # it comes with ansible-core; only ansible-test looks at plugins without it
    x509 = InvalidSignature = serialization = ExtensionOID = None

from ansible_collections.longshore.stack.plugins.module_utils._inventory import Certificate


def checked(read: Callable[[str], bytes], certificate: str, key: str, now: datetime) -> Certificate:
    """The certificate of a file, and all that is wrong with it, its chain or its key."""
    try:
        chain = x509.load_pem_x509_certificates(read(certificate))
    except (OSError, ValueError) as error:
        return Certificate(problems=(_unreadable(error, "has no PEM certificate"),))
    leaf, names = chain[0], names_of(chain[0])
    problems = [*_dates(chain, now), *_links(chain)]
    if not names:
        problems.append("the first certificate names no host")
    try:
        private = serialization.load_pem_private_key(read(key), None)
    except (OSError, ValueError, TypeError) as error:
        return Certificate(names, (*problems, f"{key}: {_unreadable(error, 'has no PEM key without a pass phrase')}"))
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if private.public_key().public_bytes(*form) != leaf.public_key().public_bytes(*form):
        problems.append(f"{key} is not the key of its first certificate")
    return Certificate(names, tuple(problems))


def names_in(pem: str) -> tuple[str, ...]:
    """The host names that the first certificate of a file is for."""
    return names_of(x509.load_pem_x509_certificates(pem.encode())[0])


def names_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """The host names that a certificate is for."""
    try:
        found = certificate.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(found.get_values_for_type(x509.DNSName))


def _dates(chain: list[x509.Certificate], now: datetime) -> list[str]:
    found = []
    for number, one in enumerate(chain, 1):
        if one.not_valid_after_utc <= now:
            found.append(f"certificate {number} of the file expired on {one.not_valid_after_utc:%Y-%m-%d}")
        if one.not_valid_before_utc > now:
            found.append(f"certificate {number} of the file is not in force until {one.not_valid_before_utc:%Y-%m-%d}")
    return found


def _links(chain: list[x509.Certificate]) -> list[str]:
    """Each certificate is signed by the next one of the file."""
    found = []
    for number, (one, issuer) in enumerate(zip(chain, chain[1:], strict=False), 1):
        try:
            one.verify_directly_issued_by(issuer)
        except (ValueError, TypeError, InvalidSignature):
            found.append(f"certificate {number} of the file is not signed by certificate {number + 1}: the chain is broken or in another order")
    return found


def _unreadable(error: Exception, says: str) -> str:
    return str(error) if isinstance(error, OSError) and error.args else says
