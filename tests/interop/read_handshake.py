"""Makes the initiator's side of tests/vectors/handshake.txt again, with nothing of ours: Noise XXpsk3 (revision 34) from its
text, ML-KEM-768 from another library. Every message must be the same, byte for byte.
"""
import hmac
import os
from hashlib import blake2s, sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from kyber_py.ml_kem import ML_KEM_768


def mac(key, data):
    return hmac.new(key, data, blake2s).digest()


class Noise:
    """The symmetric state of the Noise framework, section 5.2."""

    def __init__(self, name, prologue):
        self.h = self.ck = blake2s(name).digest()
        self.k, self.n = None, 0
        self.mix_hash(prologue)

    def mix_hash(self, data):
        self.h = blake2s(self.h + data).digest()

    def hkdf(self, data, count):
        temp, out = mac(self.ck, data), [b""]
        for n in range(1, count + 1):
            out.append(mac(temp, out[-1] + bytes([n])))
        return out[1:]

    def mix_key(self, data):
        self.ck, self.k = self.hkdf(data, 2)
        self.n = 0

    def mix_key_and_hash(self, data):
        self.ck, temp, self.k = self.hkdf(data, 3)
        self.mix_hash(temp)
        self.n = 0

    def nonce(self):
        self.n += 1
        return bytes(4) + (self.n - 1).to_bytes(8, "little")

    def seal(self, data):
        sealed = ChaCha20Poly1305(self.k).encrypt(self.nonce(), data, self.h)
        self.mix_hash(sealed)
        return sealed

    def open(self, sealed):
        data = ChaCha20Poly1305(self.k).decrypt(self.nonce(), sealed, self.h)
        self.mix_hash(sealed)
        return data


here = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(here, "..", "vectors", "handshake.txt")) as file:
    v = {name: bytes.fromhex(text) for name, text in (line.split() for line in file)}

public = lambda key: key.public_key().public_bytes_raw()
ours, ephemeral = (X25519PrivateKey.from_private_bytes(v[k]) for k in ("initiator_static", "initiator_ephemeral"))
device = Ed25519PrivateKey.from_private_bytes(v["initiator_signing"])
dh = lambda key, theirs: key.exchange(X25519PublicKey.from_public_bytes(theirs))
proof_of = lambda noise_static, h: b"ahoy-noise-static/1" + noise_static + h

# -> e, with an ML-KEM key as payload. In psk patterns `e` is mixed into the key too (9.2).
state = Noise(b"Noise_XXpsk3_25519_ChaChaPoly_BLAKE2s", v["prologue"])
encapsulation, decapsulation = ML_KEM_768.key_derive(v["initiator_ml_kem_seed"])
e = public(ephemeral)
state.mix_hash(e)
state.mix_key(e)
assert e + state.seal(encapsulation) == v["first"], "the first message"

# <- e, ee, s, es
second, before = v["second"], state.h
re = second[:32]
state.mix_hash(re)
state.mix_key(re)
state.mix_key(dh(ephemeral, re))
rs = state.open(second[32:80])
state.mix_key(dh(ephemeral, rs))
payload = state.open(second[80:])
ciphertext, proof, announcement = payload[:1088], payload[1088:1184], payload[1184:]
assert proof[:32] == v["responder_public"]
Ed25519PublicKey.from_public_bytes(proof[:32]).verify(proof[32:], proof_of(rs, before))
assert announcement == b"from the called"

# -> s, se, psk
shared = ML_KEM_768.decaps(decapsulation, ciphertext)
extracted = hmac.new(b"ahoy-pq/1", shared + bytes(32), sha256).digest()
psk = hmac.new(extracted, sha256(encapsulation + ciphertext).digest() + b"\x01", sha256).digest()
s, before = public(ours), state.h
third = state.seal(s)
state.mix_key(dh(ours, re))
state.mix_key_and_hash(psk)
third += state.seal(public(device) + device.sign(proof_of(s, before)) + b"from the caller")
assert third == v["third"], "the third message"
assert state.h == v["hash"], "the handshake hash"
print("the handshake made again by the second implementation, byte for byte")
