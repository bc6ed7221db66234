//! An HTTP proxy on the way out: which one, and the CONNECT that opens a tunnel through it (RFC 9110, 9.3.6).

use std::fmt;
use std::io;
use std::str::FromStr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longest answer of a proxy that is read.
const MAX_ANSWER: usize = 8_192;
/// How long a proxy may take to open a tunnel; it dials somebody for it.
const TUNNEL_TIME: Duration = Duration::from_secs(8);

/// An HTTP proxy. `Debug` and `Display` leave out name and password.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    host: String,
    port: u16,
    /// What `Proxy-Authorization` says.
    authorization: Option<String>,
}

/// Why a text names no proxy that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    /// Not `http://…`.
    #[error("only http:// proxies can be used")]
    Scheme,
    /// No host, or a port that is none.
    #[error("it names no host and port")]
    Host,
}

/// What a proxy did instead of opening a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProxyTrouble {
    /// Nobody is there.
    #[error("the proxy can't be reached")]
    Unreachable,
    /// It wants a name and a password, or others (407).
    #[error("the proxy wants a name and password")]
    Authentication,
    /// It forbids the address or the port, with this HTTP status.
    #[error("the proxy refuses with status {0}")]
    Refused(u16),
    /// Its answer is no HTTP.
    #[error("the proxy answers something else than HTTP")]
    Garbled,
}

impl Proxy {
    /// The proxy that the environment names: `HTTPS_PROXY`, then `ALL_PROXY`, capital or not (curl's order).
    pub fn from_environment(variable: &dyn Fn(&str) -> Option<String>) -> Option<Proxy> {
        ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]
            .iter()
            .filter_map(|name| variable(name))
            .find_map(|text| text.trim().parse().ok())
    }

    /// Opens a tunnel to `host`.
    ///
    /// # Errors
    /// With a [`ProxyTrouble`] inside when it is the proxy's doing.
    pub(crate) async fn tunnel(&self, host: &str, port: u16) -> io::Result<TcpStream> {
        let open = async {
            let mut stream = TcpStream::connect((self.host.as_str(), self.port))
                .await
                .map_err(|_| trouble(ProxyTrouble::Unreachable))?;
            let target =
                if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
            stream.write_all(self.request(&target).as_bytes()).await?;
            match status_of(&read_head(&mut stream).await?) {
                Some(200..=299) => Ok(stream),
                Some(407) => Err(trouble(ProxyTrouble::Authentication)),
                Some(status) => Err(trouble(ProxyTrouble::Refused(status))),
                None => Err(trouble(ProxyTrouble::Garbled)),
            }
        };
        tokio::time::timeout(TUNNEL_TIME, open).await.map_err(|_| trouble(ProxyTrouble::Unreachable))?
    }

    fn request(&self, target: &str) -> String {
        let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
        if let Some(authorization) = &self.authorization {
            request.push_str(&format!("Proxy-Authorization: {authorization}\r\n"));
        }
        request.push_str("\r\n");
        request
    }
}

/// What a proxy did, if an error is about that.
pub(crate) fn trouble_of(error: &io::Error) -> Option<ProxyTrouble> {
    error.get_ref()?.downcast_ref::<ProxyTrouble>().copied()
}

fn trouble(trouble: ProxyTrouble) -> io::Error {
    io::Error::other(trouble)
}

/// The head of the answer. Nothing follows it before we have spoken, so one byte at a time loses nothing.
async fn read_head(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= MAX_ANSWER {
            return Err(trouble(ProxyTrouble::Garbled));
        }
        head.push(stream.read_u8().await.map_err(|_| trouble(ProxyTrouble::Garbled))?);
    }
    Ok(head)
}

fn status_of(head: &[u8]) -> Option<u16> {
    let line = head.split(|b| *b == b'\r').next()?;
    let line = std::str::from_utf8(line).ok()?;
    let mut words = line.split(' ');
    words.next().filter(|version| version.starts_with("HTTP/1."))?;
    words.next()?.parse().ok()
}

impl FromStr for Proxy {
    type Err = ProxyError;

    /// `http://[name:password@]host[:port]`; the port is 80 if it is left out (RFC 9110, 4.2.1).
    fn from_str(text: &str) -> Result<Proxy, ProxyError> {
        let rest = match text.split_once("://") {
            Some(("http" | "HTTP", rest)) => rest,
            Some(_) => return Err(ProxyError::Scheme),
            None => text,
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        let (host, port) = match host.strip_prefix('[').and_then(|h| h.split_once(']')) {
            Some((host, "")) => (host, "80"),
            Some((host, port)) => (host, port.strip_prefix(':').ok_or(ProxyError::Host)?),
            None => host.rsplit_once(':').unwrap_or((host, "80")),
        };
        let port = port.parse().map_err(|_| ProxyError::Host)?;
        if host.is_empty()
            || port == 0
            || !host.chars().all(|c| c.is_ascii_alphanumeric() || ".-:_".contains(c))
        {
            return Err(ProxyError::Host);
        }
        let authorization = user.map(|user| {
            let (name, password) = user.split_once(':').unwrap_or((user, ""));
            let plain = [plain(name), b":".to_vec(), plain(password)].concat();
            format!("Basic {}", STANDARD.encode(plain))
        });
        Ok(Proxy { host: host.to_owned(), port, authorization })
    }
}

/// Percent-decoded (RFC 3986, 2.1); what is no escape stays.
fn plain(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let escape = (*first == b'%').then(|| tail.get(..2)).flatten();
        let byte = escape.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        out.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { tail.get(2..).unwrap_or_default() } else { tail };
    }
    out
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}:{}", self.host, self.port)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn addresses_of_proxies_are_read_as_curl_reads_them() {
        for (text, shown, authorization) in [
            ("http://proxy.corp:3128", "http://proxy.corp:3128", None),
            ("proxy.corp:3128/", "http://proxy.corp:3128", None),
            ("http://10.0.0.1", "http://10.0.0.1:80", None),
            ("http://[fd00::1]:8080", "http://fd00::1:8080", None),
            ("http://ann:s%3Acret@p:1", "http://p:1", Some("Basic YW5uOnM6Y3JldA==")),
        ] {
            let proxy: Proxy = text.parse().unwrap();
            assert_eq!((proxy.to_string().as_str(), proxy.authorization.as_deref()), (shown, authorization));
            assert!(!format!("{proxy:?}").contains("cret"));
        }
        assert_eq!("socks5://p:1".parse::<Proxy>(), Err(ProxyError::Scheme));
        for bad in ["http://", "http://p:0", "http://p:x", "http://p q:1", "http://:1"] {
            assert_eq!(bad.parse::<Proxy>(), Err(ProxyError::Host), "{bad}");
        }
    }

    #[test]
    fn the_environment_is_asked_in_curls_order() {
        let of = |set: &'static [(&str, &str)]| {
            let variable =
                move |name: &str| set.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
            Proxy::from_environment(&variable).map(|p| p.to_string())
        };
        assert_eq!(
            of(&[("HTTPS_PROXY", "http://b:2"), ("https_proxy", "http://a:1")]).unwrap(),
            "http://a:1"
        );
        assert_eq!(of(&[("ALL_PROXY", "http://c:3")]).unwrap(), "http://c:3");
        assert_eq!(of(&[("HTTP_PROXY", "http://c:3")]), None);
    }

    #[test]
    fn a_request_carries_its_target_and_its_authorization() {
        let proxy: Proxy = "http://ann:pw@p:1".parse().unwrap();
        assert_eq!(
            proxy.request("203.0.113.9:443"),
            "CONNECT 203.0.113.9:443 HTTP/1.1\r\nHost: 203.0.113.9:443\r\n\
             Proxy-Authorization: Basic YW5uOnB3\r\n\r\n"
        );
        assert_eq!(status_of(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"), Some(407));
        assert_eq!(status_of(b"SSH-2.0-OpenSSH\r\n\r\n"), None);
    }

    async fn answered_with(answer: &'static str) -> Option<ProxyTrouble> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy: Proxy = listener.local_addr().unwrap().to_string().parse().unwrap();
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            read_head(&mut stream).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
        };
        let (tunnel, ()) = tokio::join!(proxy.tunnel("203.0.113.9", 443), serve);
        tunnel.err().and_then(|error| trouble_of(&error))
    }

    #[tokio::test]
    async fn what_a_proxy_answers_is_told_apart() {
        assert_eq!(answered_with("HTTP/1.1 200 Connection established\r\n\r\n").await, None);
        let cases = [
            ("HTTP/1.0 407 Who\r\n\r\n", ProxyTrouble::Authentication),
            ("HTTP/1.1 403 Forbidden\r\n\r\n", ProxyTrouble::Refused(403)),
            ("220 mail.example.org\r\n\r\n", ProxyTrouble::Garbled),
        ];
        for (answer, trouble) in cases {
            assert_eq!(answered_with(answer).await, Some(trouble));
        }
        let nobody: Proxy = "127.0.0.1:1".parse().unwrap();
        let error = nobody.tunnel("x", 1).await.unwrap_err();
        assert_eq!(trouble_of(&error), Some(ProxyTrouble::Unreachable));
    }
}
