//! Every parser of bytes from outside: datagrams, signalling messages, contact cards.
#![no_main]

use ahoy_net_core::wire::card::Card;
use ahoy_net_core::wire::datagram::Datagram;
use ahoy_net_core::wire::signal::Envelope;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(datagram) = Datagram::parse(bytes) {
        assert_eq!(Datagram::parse(&datagram.encode()), Ok(datagram));
    }
    if let Ok(envelope) = Envelope::decode(bytes) {
        assert_eq!(Envelope::decode(&envelope.encode()), Ok(envelope));
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = Card::parse(text);
    }
});
