//! One question to a gateway, by each protocol, and taking a mapping back.

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::time::Duration;

use ahoy_net_core::mapping::{Grant, LIFETIME, Protocol, Question, Transport};
use crab_nat::{
    InternetProtocol, PortMapping, PortMappingOptions, PortMappingType, TimeoutConfig, natpmp, pcp,
};

use super::upnp::Control;

/// A question is said again 0.25, 0.75 and 1.75 s after the first (as RFC 6886, 3.1 begins) and given up 2 s later. The
/// gateway is one hop away, and other protocols wait.
const TIMES: TimeoutConfig = TimeoutConfig {
    initial_timeout: Duration::from_millis(250),
    max_retries: 3,
    max_retry_timeout: Some(Duration::from_secs(2)),
};

/// What renews a mapping, or takes it back.
#[derive(Clone, Debug)]
pub(super) enum Held {
    /// PCP and NAT-PMP.
    Nat(PortMapping),
    /// UPnP: where, and which external port.
    Upnp(Control, u16),
}

impl Held {
    /// Takes the mapping back, best effort.
    pub(super) async fn release(self, question: Question) {
        let done = match self {
            Held::Nat(mapping) => mapping.try_drop().await.map_err(|(error, _)| error.to_string()),
            Held::Upnp(control, external) => {
                control.unmap(question.port.transport, external).await.map_err(|error| error.to_string())
            }
        };
        if let Err(error) = done {
            tracing::debug!(%error, "a mapping stays at the gateway until its time is over");
        }
    }
}

/// Asks; `None`: refused, or nobody answers. `held`: what is to be renewed.
pub(super) async fn ask(
    question: Question,
    held: Option<Held>,
    upnp_port: Option<u16>,
) -> Option<(Grant, Held)> {
    let answer = match (question.protocol, held) {
        (Protocol::Upnp, held) => upnp(question, held, upnp_port).await,
        (_, Some(Held::Nat(mapping))) => renew(mapping).await,
        (Protocol::Pcp, _) => pcp(question).await,
        (Protocol::NatPmp, _) => nat_pmp(question).await,
    };
    answer
        .inspect_err(|error| tracing::debug!(protocol = question.protocol.name(), %error, "not mapped"))
        .ok()
}

async fn pcp(question: Question) -> Result<(Grant, Held), String> {
    let (protocol, port) = parts(question)?;
    let base =
        pcp::BaseMapRequest::new(question.gateway.ip.into(), question.gateway.own.into(), protocol, port);
    let mapping =
        pcp::port_mapping(base, None, None, options(port)).await.map_err(|error| error.to_string())?;
    granted(mapping).await
}

async fn nat_pmp(question: Question) -> Result<(Grant, Held), String> {
    let (protocol, port) = parts(question)?;
    let mapping = natpmp::port_mapping(question.gateway.ip.into(), protocol, port, options(port)).await;
    granted(mapping.map_err(|error| error.to_string())?).await
}

async fn renew(mut mapping: PortMapping) -> Result<(Grant, Held), String> {
    mapping.renew().await.map_err(|error| error.to_string())?;
    granted(mapping).await
}

async fn granted(mapping: PortMapping) -> Result<(Grant, Held), String> {
    let ip = match mapping.mapping_type() {
        PortMappingType::Pcp { external_ip, .. } => external_ip,
        PortMappingType::NatPmp => natpmp::external_address(mapping.gateway(), Some(TIMES))
            .await
            .map_err(|error| error.to_string())?
            .into(),
    };
    let grant = Grant {
        external: SocketAddr::new(ip.to_canonical(), mapping.external_port().get()),
        lifetime: Duration::from_secs(u64::from(mapping.lifetime())),
        epoch: Some(mapping.gateway_epoch()),
    };
    Ok((grant, Held::Nat(mapping)))
}

async fn upnp(
    question: Question,
    held: Option<Held>,
    upnp_port: Option<u16>,
) -> Result<(Grant, Held), String> {
    let (control, wanted) = match held {
        Some(Held::Upnp(control, external)) => (control, external),
        Some(Held::Nat(_)) | None => {
            let found = Control::find(question.gateway, upnp_port).await;
            (found.map_err(|error| error.to_string())?, question.port.number)
        }
    };
    let mapped = async {
        let external = control.map(question.gateway.own, question.port, wanted, LIFETIME.as_secs()).await?;
        Ok::<_, super::upnp::Trouble>((control.external_ip().await?, external))
    };
    let (ip, external) = mapped.await.map_err(|error| error.to_string())?;
    let grant =
        Grant { external: SocketAddr::new(ip.to_canonical(), external), lifetime: LIFETIME, epoch: None };
    Ok((grant, Held::Upnp(control, external)))
}

fn parts(question: Question) -> Result<(InternetProtocol, NonZeroU16), String> {
    let protocol = match question.port.transport {
        Transport::Udp => InternetProtocol::Udp,
        Transport::Tcp => InternetProtocol::Tcp,
    };
    let port = NonZeroU16::new(question.port.number).ok_or("port zero can't be mapped")?;
    Ok((protocol, port))
}

/// The same number outside, if it is free: easier to recognise in a router's list.
fn options(port: NonZeroU16) -> PortMappingOptions {
    PortMappingOptions {
        external_port: Some(port),
        lifetime_seconds: u32::try_from(LIFETIME.as_secs()).ok(),
        timeout_config: Some(TIMES),
    }
}
