"""Reads tests/vectors/frames.txt with nothing of ours: an SFrame receiver (RFC 9605) from the RFC and a crypto library.

Each line of the file: generation, secret, frame number, Opus packet, datagram; numbers in decimal, bytes in hexadecimal.
"""
import hmac
import os
import sys
from hashlib import sha512

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

SUITE = 0x0005  # AES_256_GCM_SHA512_128


def expand(secret, info, length):
    """HKDF-Expand (RFC 5869) with SHA-512."""
    out, block, n = b"", b"", 1
    while len(out) < length:
        block = hmac.new(secret, block + info + bytes([n]), sha512).digest()
        out, n = out + block, n + 1
    return out[:length]


def variable(config, extended, rest):
    """A key id or counter: three bits in the config byte, or that many bytes more (RFC 9605, 4.3)."""
    if not extended:
        return config, rest
    length = config + 1
    return int.from_bytes(rest[:length], "big"), rest[length:]


def open_datagram(datagram, secret):
    kind, slot, track = datagram[0] >> 4, datagram[3], datagram[4] >> 4
    assert kind == 0, "a media datagram"
    clear = datagram[3:7] + datagram[9:14]
    sealed = datagram[14:]
    config, rest = sealed[0], sealed[1:]
    key_id, rest = variable(config >> 4 & 7, config >> 7, rest)
    counter, rest = variable(config & 7, config >> 3 & 1, rest)
    header = sealed[: len(sealed) - len(rest)]
    assert (key_id >> 10, key_id >> 6 & 15) == (slot, track), "the key is the sender's"
    extracted = hmac.new(b"", secret, sha512).digest()
    label = key_id.to_bytes(8, "big") + SUITE.to_bytes(2, "big")
    key = expand(extracted, b"SFrame 1.0 Secret key " + label, 32)
    salt = expand(extracted, b"SFrame 1.0 Secret salt " + label, 12)
    nonce = bytes(a ^ b for a, b in zip(salt, counter.to_bytes(12, "big")))
    return key_id & 63, counter, AESGCM(key).decrypt(nonce, rest, header + clear)


here = os.path.dirname(os.path.abspath(__file__))
n = 0
for line in open(os.path.join(here, "..", "vectors", "frames.txt")):
    if line.startswith("#"):
        continue
    generation, secret, number, opus, datagram = line.split()
    secret, opus, datagram = (bytes.fromhex(text) for text in (secret, opus, datagram))
    assert open_datagram(datagram, secret) == (int(generation), int(number), opus), line
    for at in list(range(3, 7)) + list(range(9, len(datagram))):
        broken = datagram[:at] + bytes([datagram[at] ^ 1]) + datagram[at + 1 :]
        try:
            open_datagram(broken, secret)
        except (InvalidTag, AssertionError, IndexError):
            continue
        sys.exit(f"byte {at} can be changed unnoticed")
    n += 1
assert n >= 4, "there are vectors"
print(n, "frames opened by the second reader; each change of a byte was noticed")
