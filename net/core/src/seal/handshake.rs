//! The handshake of two devices: Noise XXpsk3 with ML-KEM-768 mixed in, each side's PeerId proven inside it.
//!
//! ```text
//! -> e                 payload: ML-KEM-768 encapsulation key
//! <- e, ee, s, es      payload: ML-KEM-768 ciphertext, proof of the responder, its announcement
//!    both: psk = HKDF-SHA256(salt "ahoy-pq/1", ikm shared secret || 32 zero bytes, info SHA-256(key || ciphertext))
//! -> s, se, psk        payload: proof of the initiator, its announcement
//! ```
//! Source: The Noise Protocol Framework, revision 34; FIPS 203. Why this pattern: docs/decisions/0002.

use ahoy_base::PeerId;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use hkdf::Hkdf;
use libcrux_ml_kem::mlkem768::{self, MlKem768Ciphertext, MlKem768PrivateKey, MlKem768PublicKey};
use sha2::{Digest, Sha256};
use snow::resolvers::{CryptoResolver, DefaultResolver, FallbackResolver};

use super::Random;
use super::control::ControlSeal;

/// The name of the pattern and its ciphers.
pub const PATTERN: &str = "Noise_XXpsk3_25519_ChaChaPoly_BLAKE2s";
/// What people are shown.
pub const SUITE: &str = "Noise_XXpsk3_25519_ChaChaPoly_BLAKE2s + ML-KEM-768, SFrame AES-256-GCM";
const PROLOGUE: &[u8] = b"ahoy-session/1";
const PROOF: &[u8] = b"ahoy-noise-static/1";
const PSK_SALT: &[u8] = b"ahoy-pq/1";
const KEY_BYTES: usize = 1_184;
const CIPHERTEXT_BYTES: usize = 1_088;
const PROOF_BYTES: usize = 32 + 64;
/// Longest announcement: 16 addresses and keys are under 500 bytes.
const MAX_ANNOUNCEMENT: usize = 2_048;
/// Noise overhead of the longest message: two keys and two tags.
const OVERHEAD: usize = 128;

/// The secrets that say who a device is. `Debug` shows the public half alone.
#[derive(Clone)]
pub struct LocalIdentity {
    /// The public half.
    pub peer: PeerId,
    /// Ed25519 seed of the device key.
    pub signing_key: [u8; 32],
    /// X25519 secret of the Noise handshake.
    pub noise_static: [u8; 32],
}

impl std::fmt::Debug for LocalIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalIdentity").field("peer", &self.peer).finish_non_exhaustive()
    }
}

/// Who begins.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Role {
    /// The caller.
    Initiator,
    /// The called.
    Responder,
}

/// Why a handshake failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HandshakeError {
    /// A message does not decrypt, or came out of order.
    #[error("a handshake message does not fit")]
    Noise,
    /// A message lacks a part.
    #[error("a handshake message is cut")]
    Cut,
    /// The proof names another device than the expected one.
    #[error("another device than the expected one answered")]
    OtherPeer,
    /// The proof is not signed by the device that it names.
    #[error("the proof of identity is wrong")]
    BadProof,
    /// The encapsulation key is no ML-KEM-768 key.
    #[error("the post-quantum key is invalid")]
    BadKey,
}

/// What binds a handshake to its place: a message of another call, pair, role or version does not decrypt.
pub struct Binding<'a> {
    /// The call.
    pub call: &'a [u8; 16],
    /// Who began.
    pub initiator: PeerId,
    /// Who answers.
    pub responder: PeerId,
    /// Counts the handshakes of a session; the hash of the one before, if there was one, ties them together.
    pub attempt: u8,
    /// See `attempt`; zeroes in the first.
    pub previous: &'a [u8; 32],
}

impl Binding<'_> {
    fn prologue(&self) -> Vec<u8> {
        let (i, r) = (self.initiator.to_multihash(), self.responder.to_multihash());
        [PROLOGUE, self.call, &i, &r, &[self.attempt], self.previous].concat()
    }
}

/// A handshake under way.
pub struct Handshake {
    state: snow::HandshakeState,
    role: Role,
    local: LocalIdentity,
    remote: PeerId,
    random: Random,
    /// The initiator's ML-KEM keys.
    kem: Option<(MlKem768PrivateKey, [u8; KEY_BYTES])>,
}

/// What a finished handshake leaves.
pub struct Agreed {
    /// Seals control messages.
    pub control: ControlSeal,
    /// The same on both sides, and on no other handshake.
    pub hash: [u8; 32],
}

impl std::fmt::Debug for Handshake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handshake").field("role", &self.role).finish_non_exhaustive()
    }
}

/// Gives snow our randomness and nothing else.
struct Seeded(Random);

impl CryptoResolver for Seeded {
    fn resolve_rng(&self) -> Option<Box<dyn snow::types::Random>> {
        Some(Box::new(self.0.clone()))
    }

    fn resolve_dh(&self, _: &snow::params::DHChoice) -> Option<Box<dyn snow::types::Dh>> {
        None
    }

    fn resolve_hash(&self, _: &snow::params::HashChoice) -> Option<Box<dyn snow::types::Hash>> {
        None
    }

    fn resolve_cipher(&self, _: &snow::params::CipherChoice) -> Option<Box<dyn snow::types::Cipher>> {
        None
    }
}

impl Handshake {
    /// Begins one. `seed` must be fresh for each.
    ///
    /// # Errors
    /// Never for valid keys; snow's answer otherwise.
    pub fn new(
        role: Role,
        binding: &Binding<'_>,
        local: LocalIdentity,
        remote: PeerId,
        seed: [u8; 32],
    ) -> Result<Handshake, HandshakeError> {
        let mut random = Random::from_seed(seed);
        let for_noise = Seeded(Random::from_seed(random.bytes()));
        let resolver = FallbackResolver::new(Box::new(for_noise), Box::new(DefaultResolver));
        let params = PATTERN.parse().map_err(noise)?;
        let prologue = binding.prologue();
        let builder = snow::Builder::with_resolver(params, Box::new(resolver))
            .prologue(&prologue)
            .and_then(|b| b.local_private_key(&local.noise_static))
            .map_err(noise)?;
        let state = match role {
            Role::Initiator => builder.build_initiator(),
            Role::Responder => builder.build_responder(),
        }
        .map_err(noise)?;
        Ok(Handshake { state, role, local, remote, random, kem: None })
    }

    /// The initiator's first message, 1216 bytes.
    ///
    /// # Errors
    /// When it is not the initiator's turn.
    pub fn write_first(&mut self) -> Result<Vec<u8>, HandshakeError> {
        let pair = mlkem768::generate_key_pair(self.random.bytes());
        let (private, public) = pair.into_parts();
        let public: [u8; KEY_BYTES] = public.into();
        let message = self.write(&public)?;
        self.kem = Some((private, public));
        Ok(message)
    }

    /// The responder reads the first message and answers with the second, which carries `announcement`.
    ///
    /// # Errors
    /// When the message does not fit.
    pub fn answer_first(&mut self, message: &[u8], announcement: &[u8]) -> Result<Vec<u8>, HandshakeError> {
        let payload = self.read(message)?;
        let key: [u8; KEY_BYTES] = payload.try_into().map_err(|_| HandshakeError::Cut)?;
        let public = MlKem768PublicKey::from(key);
        if !mlkem768::validate_public_key(&public) {
            return Err(HandshakeError::BadKey);
        }
        let (ciphertext, shared) = mlkem768::encapsulate(&public, self.random.bytes());
        let ciphertext: [u8; CIPHERTEXT_BYTES] = ciphertext.into();
        let proof = self.prove()?;
        let answer = self.write(&[&ciphertext[..], &proof, announcement].concat())?;
        self.mix(&shared, &key, &ciphertext)?;
        Ok(answer)
    }

    /// The initiator reads the second message; gives the responder's announcement.
    ///
    /// # Errors
    /// When the message does not fit or another device made it.
    pub fn read_second(&mut self, message: &[u8]) -> Result<Vec<u8>, HandshakeError> {
        let before = self.hash()?;
        let payload = self.read(message)?;
        let (ciphertext, rest) =
            payload.split_first_chunk::<CIPHERTEXT_BYTES>().ok_or(HandshakeError::Cut)?;
        let (proof, announcement) = rest.split_first_chunk::<PROOF_BYTES>().ok_or(HandshakeError::Cut)?;
        self.check(proof, &before)?;
        let (private, key) = self.kem.take().ok_or(HandshakeError::Noise)?;
        let shared = mlkem768::decapsulate(&private, &MlKem768Ciphertext::from(*ciphertext));
        self.mix(&shared, &key, ciphertext)?;
        Ok(announcement.to_vec())
    }

    /// The initiator's last message; after it the handshake is [`Agreed`].
    ///
    /// # Errors
    /// When it is not the initiator's turn.
    pub fn write_third(mut self, announcement: &[u8]) -> Result<(Vec<u8>, Agreed), HandshakeError> {
        let proof = self.prove()?;
        let message = self.write(&[&proof[..], announcement].concat())?;
        Ok((message, self.finish()?))
    }

    /// The responder reads the last message; gives the initiator's announcement.
    ///
    /// # Errors
    /// When the message does not fit or another device made it.
    pub fn read_third(mut self, message: &[u8]) -> Result<(Vec<u8>, Agreed), HandshakeError> {
        let before = self.hash()?;
        let payload = self.read(message)?;
        let (proof, announcement) = payload.split_first_chunk::<PROOF_BYTES>().ok_or(HandshakeError::Cut)?;
        self.check(proof, &before)?;
        Ok((announcement.to_vec(), self.finish()?))
    }

    fn finish(self) -> Result<Agreed, HandshakeError> {
        let hash = self.hash()?;
        let transport = self.state.into_stateless_transport_mode().map_err(noise)?;
        Ok(Agreed { control: ControlSeal::new(transport), hash })
    }

    fn write(&mut self, payload: &[u8]) -> Result<Vec<u8>, HandshakeError> {
        let mut out = vec![0; payload.len() + OVERHEAD];
        let n = self.state.write_message(payload, &mut out).map_err(noise)?;
        out.truncate(n);
        Ok(out)
    }

    fn read(&mut self, message: &[u8]) -> Result<Vec<u8>, HandshakeError> {
        if message.len() > KEY_BYTES + CIPHERTEXT_BYTES + MAX_ANNOUNCEMENT {
            return Err(HandshakeError::Cut);
        }
        let mut out = vec![0; message.len()];
        let n = self.state.read_message(message, &mut out).map_err(noise)?;
        out.truncate(n);
        Ok(out)
    }

    /// Mixes what both know from ML-KEM in as the pre-shared key of the third message.
    fn mix(&mut self, shared: &[u8; 32], key: &[u8], ciphertext: &[u8]) -> Result<(), HandshakeError> {
        let info = Sha256::new().chain_update(key).chain_update(ciphertext).finalize();
        let ikm = [&shared[..], &[0u8; 32]].concat();
        let mut psk = [0u8; 32];
        Hkdf::<Sha256>::new(Some(PSK_SALT), &ikm)
            .expand(&info, &mut psk)
            .map_err(|_| HandshakeError::Noise)?;
        self.state.set_psk(3, &psk).map_err(noise)
    }

    /// Our PeerId and its signature over our Noise key and the handshake so far.
    fn prove(&self) -> Result<[u8; PROOF_BYTES], HandshakeError> {
        let public = x25519_dalek::x25519(self.local.noise_static, x25519_dalek::X25519_BASEPOINT_BYTES);
        let signed = [PROOF, &public[..], &self.hash()?].concat();
        let signature = SigningKey::from_bytes(&self.local.signing_key).sign(&signed).to_bytes();
        let mut out = [0; PROOF_BYTES];
        let bytes = self.local.peer.public_key().iter().chain(&signature);
        out.iter_mut().zip(bytes).for_each(|(o, b)| *o = *b);
        Ok(out)
    }

    fn check(&self, proof: &[u8; PROOF_BYTES], hash: &[u8; 32]) -> Result<(), HandshakeError> {
        let (key, signature) = proof.split_first_chunk::<32>().ok_or(HandshakeError::Cut)?;
        if key != self.remote.public_key() {
            return Err(HandshakeError::OtherPeer);
        }
        let noise_static = self.state.get_remote_static().ok_or(HandshakeError::Noise)?;
        let signed = [PROOF, noise_static, hash].concat();
        let signature = Signature::from_slice(signature).map_err(|_| HandshakeError::BadProof)?;
        VerifyingKey::from_bytes(key)
            .and_then(|key| key.verify_strict(&signed, &signature))
            .map_err(|_| HandshakeError::BadProof)
    }

    /// The handshake hash so far. A proof signs it as it was before the message that carries the proof.
    fn hash(&self) -> Result<[u8; 32], HandshakeError> {
        self.state.get_handshake_hash().try_into().map_err(|_| HandshakeError::Noise)
    }
}

fn noise(error: snow::Error) -> HandshakeError {
    tracing::debug!(%error, "handshake");
    HandshakeError::Noise
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn identity(n: u8) -> LocalIdentity {
        let signing_key = [n; 32];
        let public = SigningKey::from_bytes(&signing_key).verifying_key().to_bytes();
        LocalIdentity { peer: PeerId::from_public_key(public), signing_key, noise_static: [n + 1; 32] }
    }

    /// The transcript that `tests/interop/read_vectors.py` makes again from the initiator's secrets, byte for byte.
    #[test]
    fn a_handshake_is_the_published_transcript() {
        let (caller, called, call) = (identity(11), identity(21), [7; 16]);
        let binding = Binding {
            call: &call,
            initiator: caller.peer,
            responder: called.peer,
            attempt: 1,
            previous: &[0; 32],
        };
        let begin = |role, local: &LocalIdentity, remote, seed| {
            Handshake::new(role, &binding, local.clone(), remote, [seed; 32])
        };
        let mut initiator = begin(Role::Initiator, &caller, called.peer, 31).unwrap();
        let mut responder = begin(Role::Responder, &called, caller.peer, 41).unwrap();
        let first = initiator.write_first().unwrap();
        let second = responder.answer_first(&first, b"from the called").unwrap();
        assert_eq!(initiator.read_second(&second).unwrap(), b"from the called");
        let (third, agreed) = initiator.write_third(b"from the caller").unwrap();
        let (announcement, theirs) = responder.read_third(&third).unwrap();
        assert_eq!((announcement.as_slice(), theirs.hash), (b"from the caller".as_slice(), agreed.hash));

        // What the initiator drew, in the order it draws: the generator of Noise, then of ML-KEM.
        let mut random = Random::from_seed([31; 32]);
        let ephemeral: [u8; 32] = Random::from_seed(random.bytes()).bytes();
        let kem: [u8; 64] = random.bytes();
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        let lines = [
            ("prologue", hex(&binding.prologue())),
            ("initiator_signing", hex(&caller.signing_key)),
            ("initiator_static", hex(&caller.noise_static)),
            ("initiator_ephemeral", hex(&ephemeral)),
            ("initiator_ml_kem_seed", hex(&kem)),
            ("responder_public", hex(called.peer.public_key())),
            ("first", hex(&first)),
            ("second", hex(&second)),
            ("third", hex(&third)),
            ("hash", hex(&agreed.hash)),
        ];
        let text: String = lines.iter().map(|(name, value)| format!("{name} {value}\n")).collect();
        assert_eq!(text, include_str!("../../../../tests/vectors/handshake.txt"));
    }
}
