//! Splices of relays: asking a relay for one, and lending them to others. How an end is held is `ahoy_net_core::path::splices`.

use std::net::SocketAddr;
use std::time::Duration;

use ahoy_base::PeerId;
use ahoy_net_core::path::relay::{Lent, Refusal};
use ahoy_net_core::wire::relay::{self as words, Answer};
use futures::AsyncWriteExt;
use libp2p::StreamProtocol;
use rustls::crypto::SecureRandom;
use tokio::sync::oneshot;

use crate::identity::to_libp2p;
use crate::quic_endpoint::Media;
use crate::signalling::{read_message, write_message};

/// The question for a splice. Only devices that serve announce it.
pub(crate) const PROTOCOL: StreamProtocol = StreamProtocol::new("/ahoy/relay/1");
/// How long a relay may take to answer; a dial may come before it.
const ASK_TIME: Duration = Duration::from_secs(5);

/// Why there is no splice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RelayError {
    /// The relay said no.
    #[error("the relay refused: {}", refused(*.0))]
    Refused(Refusal),
    /// It was not reached, or stopped answering.
    #[error("the relay does not answer")]
    Silent,
}

/// A refusal in words, for whoever asked.
const fn refused(why: Refusal) -> &'static str {
    match why {
        Refusal::NotForYou => "it serves other people",
        Refusal::TooMany => "this device has as many calls there as it may",
        Refusal::Full => "all its places are taken",
        Refusal::UsedUp => "it has passed on all it may this month",
    }
}

/// A device asks whether it may use us as a relay.
#[derive(Debug)]
pub struct RelayAsk {
    answer: oneshot::Sender<bool>,
}

impl RelayAsk {
    /// Lends it a splice, or not.
    pub fn answer(self, lend: bool) {
        // It may have gone meanwhile.
        let _ = self.answer.send(lend);
    }
}

/// Asks `relay` for a splice; also where the relay is.
pub(crate) async fn ask(
    mut control: libp2p_stream::Control,
    relay: PeerId,
) -> Result<(Lent, Vec<SocketAddr>), RelayError> {
    let answer = async {
        let target = to_libp2p(relay)?;
        let mut stream = control.open_stream(target, PROTOCOL).await.ok()?;
        write_message(&mut stream, &words::ask()).await.ok()?;
        let bytes = read_message(&mut stream).await.ok()??;
        // Best effort: it has said all it had to say.
        let _ = stream.close().await;
        Answer::decode(&bytes)
    };
    let answer = tokio::time::timeout(ASK_TIME, answer).await.ok().flatten();
    match answer {
        Some(Answer::Lent(lent, addresses)) => Ok((lent, addresses)),
        Some(Answer::Refused(why)) => Err(RelayError::Refused(why)),
        None => Err(RelayError::Silent),
    }
}

/// Answers one question for a splice, once the owner of this device has decided.
pub(crate) async fn serve(
    mut stream: libp2p::swarm::Stream,
    peer: PeerId,
    media: Media,
    ask: impl AsyncFnOnce(RelayAsk),
) {
    let answer = async {
        let question = read_message(&mut stream).await.ok().flatten()?;
        if !words::is_ask(&question) {
            return None;
        }
        let (answer, decided) = oneshot::channel();
        ask(RelayAsk { answer }).await;
        let answer = match decided.await {
            Ok(true) => lend(&media, peer),
            Ok(false) | Err(_) => Answer::Refused(Refusal::NotForYou),
        };
        write_message(&mut stream, &answer.encode()).await.ok()?;
        stream.close().await.ok()
    };
    if tokio::time::timeout(ASK_TIME, answer).await.is_err() {
        tracing::debug!(?peer, "a question for a relay was given up");
    }
}

fn lend(media: &Media, peer: PeerId) -> Answer {
    let mut seed = [0; 72];
    let random: &dyn SecureRandom = rustls::crypto::aws_lc_rs::default_provider().secure_random;
    if random.fill(&mut seed).is_err() {
        tracing::error!("the machine gives no random bytes; nothing is lent");
        return Answer::Refused(Refusal::Full);
    }
    let now = media.now();
    let lent = media.port().with_relay(|relay| match relay {
        Some(relay) => relay.lend(now, peer, &seed),
        None => Err(Refusal::NotForYou),
    });
    match lent {
        Ok(lent) => Answer::Lent(lent, media.candidates()),
        Err(why) => Answer::Refused(why),
    }
}
