//! TLS and WebSocket around a stream of bytes, so that networks which let only the web through let it through.
//!
//! **Neither protects anything.** Any certificate is accepted, also that of a proxy which looks inside, because what runs
//! inside proves who is who by itself: TLS with the certificates of the devices, and inside that Noise and SFrame.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt, StreamExt, future};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::StatusCode;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as WebSocketError, Message};
use tokio_util::io::{CopyToBytes, SinkWriter, StreamReader};

/// Where the WebSocket is asked for; everything else is answered like an empty web server's.
pub(crate) const PATH: &str = "/ahoy/1";
/// Longest WebSocket message: more than any piece we write.
const MAX_MESSAGE: usize = 64 * 1024;
/// Bytes that may wait between us and TCP. What waits here is delay.
const WRITE_BUFFER: usize = 128 * 1024;
/// Bytes that TCP takes before it has sent what it holds: old pictures do not wait in the kernel.
const NOT_SENT: u32 = 16 * 1024;
/// How long TLS and WebSocket may take together.
const SETUP_TIME: Duration = Duration::from_secs(8);

/// A stream of bytes both ways.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> Duplex for T {}
/// A stream behind TLS and WebSocket.
pub(crate) type Stream = Pin<Box<dyn Duplex>>;

/// Both sides' TLS.
#[derive(Clone)]
pub(crate) struct Camouflage {
    client: TlsConnector,
    server: TlsAcceptor,
}

impl Camouflage {
    /// Makes a certificate that names nobody.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub(crate) fn new() -> Result<Camouflage, String> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let certified =
            rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).map_err(|e| e.to_string())?;
        let key = PrivatePkcs8KeyDer::from(certified.key_pair.serialize_der());
        let mut server = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|e| e.to_string())?
            .with_no_client_auth()
            .with_single_cert(vec![certified.cert.der().clone()], key.into())
            .map_err(|e| e.to_string())?;
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        let mut client = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|e| e.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
            .with_no_client_auth();
        client.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Camouflage { client: Arc::new(client).into(), server: Arc::new(server).into() })
    }

    /// Puts both around a connection that we opened to `host`.
    pub(crate) async fn dial(&self, tcp: TcpStream, host: &str) -> io::Result<Stream> {
        prepare(&tcp)?;
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let shown = match host.parse::<IpAddr>() {
            Ok(IpAddr::V6(ip)) => format!("[{ip}]"),
            _ => host.to_owned(),
        };
        let open = async {
            let tls = self.client.connect(name, tcp).await?;
            let request = format!("wss://{shown}{PATH}");
            let (socket, _) = tokio_tungstenite::client_async_with_config(request, tls, Some(config()))
                .await
                .map_err(broken)?;
            Ok(as_bytes(socket))
        };
        tokio::time::timeout(SETUP_TIME, open).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    /// Takes both off a connection that somebody opened.
    pub(crate) async fn accept(&self, tcp: TcpStream) -> io::Result<Stream> {
        prepare(&tcp)?;
        let open = async {
            let tls = self.server.accept(tcp).await?;
            let socket = tokio_tungstenite::accept_hdr_async_with_config(tls, OurPath, Some(config()))
                .await
                .map_err(broken)?;
            Ok(as_bytes(socket))
        };
        tokio::time::timeout(SETUP_TIME, open).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }
}

fn prepare(tcp: &TcpStream) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    #[cfg(any(target_os = "linux", target_os = "android", target_os = "macos", target_os = "ios"))]
    if let Err(error) = socket2::SockRef::from(tcp).set_tcp_notsent_lowat(NOT_SENT) {
        tracing::debug!(%error, "the system holds more bytes back than asked");
    }
    Ok(())
}

fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(16 * 1024)
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_BUFFER)
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE))
}

/// The binary messages as one stream of bytes.
fn as_bytes<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    socket: tokio_tungstenite::WebSocketStream<S>,
) -> Stream {
    let (sink, stream) = socket.split();
    let read = stream.filter_map(|message| {
        future::ready(match message {
            Ok(Message::Binary(bytes)) => Some(Ok(bytes)),
            Ok(
                Message::Text(_)
                | Message::Ping(_)
                | Message::Pong(_)
                | Message::Close(_)
                | Message::Frame(_),
            ) => None,
            Err(WebSocketError::ConnectionClosed | WebSocketError::AlreadyClosed) => None,
            Err(error) => Some(Err(broken(error))),
        })
    });
    let write =
        sink.sink_map_err(broken).with(|bytes: Bytes| future::ready(io::Result::Ok(Message::Binary(bytes))));
    Box::pin(tokio::io::join(StreamReader::new(read), SinkWriter::new(CopyToBytes::new(write))))
}

#[expect(clippy::wildcard_enum_match_arm, reason = "of its errors one is the system's")]
fn broken(error: WebSocketError) -> io::Error {
    match error {
        WebSocketError::Io(error) => error,
        other => io::Error::other(other),
    }
}

/// Lets in who asks for [`PATH`].
struct OurPath;

impl tokio_tungstenite::tungstenite::handshake::server::Callback for OurPath {
    fn on_request(self, request: &Request, response: Response) -> Result<Response, ErrorResponse> {
        if request.uri().path() == PATH {
            return Ok(response);
        }
        let mut refusal = ErrorResponse::new(None);
        *refusal.status_mut() = StatusCode::NOT_FOUND;
        Err(refusal)
    }
}

/// Accepts any certificate; see the module's first lines before you mend this.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
