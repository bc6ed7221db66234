//! Who is in a call. A call of two is a roster of two, so that more can join without another kind of call.

use ahoy_base::PeerId;

/// What is known of a member.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Presence {
    /// Asked to join.
    Invited,
    /// In the call.
    Here,
    /// Should be here and is not heard; the seat is kept.
    Absent,
    /// Not in the call any more.
    Left,
}

/// One seat.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Member {
    /// Whose.
    pub peer: PeerId,
    /// What is known of them.
    pub presence: Presence,
}

/// The members of one call in the order in which they were added: the caller first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Roster {
    members: Vec<Member>,
}

impl Roster {
    /// The roster of a fresh call: the caller is here, the called one is invited.
    pub fn of_two(caller: PeerId, called: PeerId) -> Roster {
        Roster {
            members: vec![
                Member { peer: caller, presence: Presence::Here },
                Member { peer: called, presence: Presence::Invited },
            ],
        }
    }

    /// The members, the caller first.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// What is known of `peer`; `None` if it has no seat.
    pub fn presence(&self, peer: PeerId) -> Option<Presence> {
        self.members.iter().find(|m| m.peer == peer).map(|m| m.presence)
    }

    /// Notes what is known of a member. Devices without a seat get none this way.
    pub(crate) fn note(&mut self, peer: PeerId, presence: Presence) {
        if let Some(member) = self.members.iter_mut().find(|m| m.peer == peer) {
            member.presence = presence;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_gets_a_seat_by_being_talked_about() {
        let (ann, bob, eve) = ([1; 32], [2; 32], [3; 32]);
        let id = PeerId::from_public_key;
        let mut roster = Roster::of_two(id(ann), id(bob));
        roster.note(id(eve), Presence::Here);
        roster.note(id(bob), Presence::Here);
        assert_eq!(roster.presence(id(eve)), None);
        assert_eq!(roster.presence(id(bob)), Some(Presence::Here));
        assert_eq!(roster.members().len(), 2);
    }
}
