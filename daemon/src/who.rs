//! Finds out whom somebody means: a name, a PeerId, a card or an address.

use ahoy_base::PeerId;
use ahoy_net::{Multiaddr, Protocol, peer_of};
use ahoy_net_core::wire::card::Card;

use crate::web::protocol::UiError;

/// Somebody to call, with the addresses that came with the words.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Found {
    /// Which device.
    pub(crate) peer: PeerId,
    /// What they call themselves, if the words said so.
    pub(crate) name: Option<String>,
    /// Where they may be reached.
    pub(crate) addresses: Vec<Multiaddr>,
    /// The invitation of their card.
    pub(crate) invite: Option<[u8; 16]>,
}

/// Understands `words`. `known`: everybody with a name here, contacts before people nearby.
///
/// A name is matched without regard to case; the whole name before its beginning.
///
/// # Errors
/// When it is nobody, or more than one.
pub(crate) fn find<'a>(
    words: &str,
    known: impl Iterator<Item = (PeerId, &'a str)>,
) -> Result<Found, UiError> {
    let words = words.trim();
    let found = |peer| Found { peer, name: None, addresses: Vec::new(), invite: None };
    if let Ok(peer) = words.parse::<PeerId>() {
        return Ok(found(peer));
    }
    if let Ok(address) = words.parse::<Multiaddr>()
        && words.starts_with('/')
    {
        return from_address(address);
    }
    if words.starts_with("ahoy:") || words.contains("/c#") {
        return from_card(words);
    }
    by_name(words, known).map(found)
}

/// Reads a card; addresses that are none are left out.
///
/// # Errors
/// When it is no card, or was altered.
pub(crate) fn from_card(text: &str) -> Result<Found, UiError> {
    let card = Card::parse(text).map_err(|error| {
        UiError::new(
            format!("That is not a contact card ({error})."),
            "Nothing was changed.",
            "Ask for the card again and copy all of it; it starts with ahoy:c/.",
        )
    })?;
    let addresses = card.addresses.iter().filter_map(|a| a.parse().ok()).collect();
    let name = Some(card.name.clone()).filter(|n| !n.trim().is_empty());
    Ok(Found { peer: card.peer, name, addresses, invite: Some(card.invite) })
}

fn from_address(address: Multiaddr) -> Result<Found, UiError> {
    let Some(peer) = peer_of(&address) else {
        return Err(UiError::new(
            "That address does not say who is there.",
            "Nothing was changed.",
            "Add /p2p/ and the person's PeerId to its end, so that nobody else can answer.",
        ));
    };
    let mut bare = address;
    if matches!(bare.iter().last(), Some(Protocol::P2p(_))) {
        bare.pop();
    }
    Ok(Found { peer, name: None, addresses: vec![bare], invite: None })
}

fn by_name<'a>(words: &str, known: impl Iterator<Item = (PeerId, &'a str)>) -> Result<PeerId, UiError> {
    let wanted = words.to_lowercase();
    let (mut whole, mut begins) = (Vec::new(), Vec::new());
    for (peer, name) in known {
        let name = name.to_lowercase();
        if name == wanted && !whole.contains(&peer) {
            whole.push(peer);
        } else if !wanted.is_empty() && name.starts_with(&wanted) && !begins.contains(&peer) {
            begins.push(peer);
        }
    }
    let fits = if whole.is_empty() { begins } else { whole };
    match fits.as_slice() {
        [peer] => Ok(*peer),
        [] => Err(UiError::new(
            format!("Nobody here is called “{words}”."),
            "People in your contacts and on this network can be called.",
            "Look at the list with `ahoy contacts`, or give a PeerId, a card or an address.",
        )),
        [_, _, ..] => Err(UiError::new(
            format!("“{words}” fits {} people.", fits.len()),
            "Nobody was called.",
            "Write more of the name, or give the PeerId that `ahoy contacts` shows.",
        )),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const ANN: PeerId = PeerId::from_public_key([1; 32]);
    const ANNA: PeerId = PeerId::from_public_key([2; 32]);

    fn people() -> impl Iterator<Item = (PeerId, &'static str)> {
        [(ANN, "Ann"), (ANNA, "Anna Lee"), (ANN, "Ann")].into_iter()
    }

    #[test]
    fn a_whole_name_wins_over_the_beginning_of_another() {
        assert_eq!(find(" ann ", people()).unwrap().peer, ANN);
        assert_eq!(find("anna", people()).unwrap().peer, ANNA);
    }

    #[test]
    fn nobody_and_too_many_are_told_apart() {
        assert!(find("bob", people()).unwrap_err().what.contains("Nobody"));
        assert!(find("an", people()).unwrap_err().what.contains("2 people"));
        assert!(find("", people()).is_err());
    }

    #[test]
    fn an_address_must_say_who_is_there() {
        assert!(find("/ip4/127.0.0.1/tcp/1", people()).unwrap_err().mend.contains("/p2p/"));
        let found = find(&format!("/ip4/127.0.0.1/tcp/1/p2p/{ANNA}"), people()).unwrap();
        assert_eq!((found.peer, found.addresses.len()), (ANNA, 1));
        assert_eq!(found.addresses[0].to_string(), "/ip4/127.0.0.1/tcp/1");
    }

    #[test]
    fn a_broken_card_is_refused_with_words() {
        assert!(find("ahoy:c/AAAA", people()).unwrap_err().what.contains("card"));
    }
}
