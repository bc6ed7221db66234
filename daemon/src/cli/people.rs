//! This person and the others: `me`, `contacts`.

use std::io::{self, BufRead as _, IsTerminal as _};

use serde_json::json;

use super::args::Contacts;
use super::out::{Failure, Out};
use crate::control::Client;
use crate::qr;
use crate::view::{Contact, Presence, Verified, View, word};
use crate::web::protocol::{Command, UiError};
use crate::who;

/// `ahoy me`.
pub(super) async fn me(client: &Client, draw: bool, out: &mut Out) -> Result<(), Failure> {
    let me = client.get::<View>("/api/v1/view").await?.me;
    if out.is_json() {
        let peer_id = me.peer_id.to_string();
        return out.json(&json!({
            "name": me.name, "peer_id": peer_id, "card": me.card, "addresses": me.addresses
        }));
    }
    out.line(&format!("Name     {}", if me.name.is_empty() { "(none yet)" } else { &me.name }))?;
    out.line(&format!("PeerId   {}", me.peer_id))?;
    out.line(&format!("Card     {}", me.card))?;
    for address in &me.addresses {
        out.line(&format!("Address  {address}"))?;
    }
    match qr::for_terminal(&me.card) {
        Some(code) if draw => out.raw(&code),
        Some(_) | None => Ok(()),
    }
}

/// `ahoy contacts …`.
pub(super) async fn contacts(client: &Client, what: Option<Contacts>, out: &mut Out) -> Result<(), Failure> {
    match what {
        None => list(client, out).await,
        Some(Contacts::Add { card }) => {
            let added = client.command(&Command::AddContact { card }).await?;
            let name = added.get("name").and_then(|name| name.as_str()).unwrap_or("the contact").to_owned();
            out.either(&format!("Added {name}. Compare safety numbers: `ahoy contacts verify`."), &added)
        }
        Some(Contacts::Remove { who }) => {
            let contact = find(client, &who).await?;
            client.command(&Command::RemoveContact { peer_id: contact.peer_id }).await?;
            out.either(
                &format!("Removed {}.", contact.name),
                &json!({ "peer_id": contact.peer_id.to_string() }),
            )
        }
        Some(Contacts::Hide { who, off }) => hide(client, &who, !off, out).await,
        Some(Contacts::Verify { who, yes }) => verify(client, &who, yes, out).await,
    }
}

async fn list(client: &Client, out: &mut Out) -> Result<(), Failure> {
    let view: View = client.get("/api/v1/view").await?;
    if out.is_json() {
        return out.json(&json!({ "contacts": view.contacts, "nearby": view.nearby }));
    }
    for contact in &view.contacts {
        let presence = if contact.presence == Presence::Online { "online " } else { "offline" };
        let verified = match contact.verified {
            Verified::Unverified => "",
            Verified::Verified => "  verified",
            Verified::Changed => "  IDENTITY CHANGED",
        };
        let hidden = if contact.hide_address { "  address hidden" } else { "" };
        out.line(&format!("{presence}  {}  {}{verified}{hidden}", contact.name, contact.peer_id))?;
    }
    for near in view.nearby.iter().filter(|near| !near.known) {
        let name = if near.name.is_empty() { "(no name)" } else { &near.name };
        out.line(&format!("nearby   {name}  {}", near.peer_id))?;
    }
    Ok(())
}

async fn hide(client: &Client, who: &str, on: bool, out: &mut Out) -> Result<(), Failure> {
    let contact = find(client, who).await?;
    client.command(&Command::HideAddress { peer_id: contact.peer_id, on }).await?;
    let said = if on {
        format!(
            "{0} does not learn this computer's address from now on. Calls with {0} go through a relay: a little later, with less \
             room for pictures, and not at all if you both know none. What {0} knew before, from your card or earlier calls, \
             they may still know.",
            contact.name
        )
    } else {
        format!("{} may learn this computer's address; calls take the shortest way.", contact.name)
    };
    out.either(&said, &json!({ "peer_id": contact.peer_id.to_string(), "hide_address": on }))
}

async fn verify(client: &Client, who: &str, yes: bool, out: &mut Out) -> Result<(), Failure> {
    let contact = find(client, who).await?;
    if !yes {
        if out.is_json() {
            return out.json(&json!({
                "peer_id": contact.peer_id.to_string(), "name": contact.name,
                "safety_number": contact.safety_number, "verified": word(&contact.verified)
            }));
        }
        out.line(&format!("Safety number of you and {}:", contact.name))?;
        out.line(&contact.safety_number)?;
        if !io::stdin().is_terminal() {
            return out.line("Compare it with theirs, then run this again with --yes.");
        }
        out.raw("Does their screen show the same number? [y/N] ")?;
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer)?;
        if !matches!(answer.trim(), "y" | "Y" | "yes") {
            return Err(Failure::Refused(UiError::new(
                "Not verified.",
                "You can still call each other; somebody could be listening in.",
                "If the numbers differ, remove the contact and ask for a new card another way.",
            )));
        }
    }
    client.command(&Command::VerifyContact { peer_id: contact.peer_id, verified: true }).await?;
    out.either(&format!("{} is verified.", contact.name), &json!({ "verified": true }))
}

async fn find(client: &Client, words: &str) -> Result<Contact, Failure> {
    let view: View = client.get("/api/v1/view").await?;
    let found = who::find(words, view.contacts.iter().map(|c| (c.peer_id, c.name.as_str())))?;
    view.contacts.into_iter().find(|contact| contact.peer_id == found.peer).ok_or_else(|| {
        Failure::Refused(UiError::new(
            "That person is not in your contacts.",
            "Nothing was changed.",
            "Look at the list with `ahoy contacts`.",
        ))
    })
}
