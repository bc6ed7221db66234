//! The headers that every answer carries, and why a page that holds a microphone needs each of them.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

/// Headers that are the same for every port.
///
/// COOP, COEP and CORP keep other pages out of this one's process and windows; the policy of permissions leaves the page
/// what calls need; `nosniff`, no referrer and no frames close old holes. There are no CORS headers: nobody else may read.
const FIXED: [(HeaderName, &str); 8] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-embedder-policy"), "require-corp"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("x-permitted-cross-domain-policies"), "none"),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(self), microphone=(self), display-capture=(self), autoplay=(self), fullscreen=(self), \
         picture-in-picture=(self), screen-wake-lock=(self), speaker-selection=(self), clipboard-write=(self), \
         geolocation=(), usb=(), serial=(), hid=(), bluetooth=(), payment=(), midi=()",
    ),
];

/// Adds what every answer carries. What a handler set itself (caching) stays.
pub(super) fn harden(headers: &mut HeaderMap, port: u16) {
    for (name, value) in FIXED {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Ok(policy) = HeaderValue::from_str(&content_policy(port)) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.remove(header::SERVER);
}

/// Scripts, styles and connections of this origin alone. `ws://localhost` is named because older Safari does not count
/// it as `'self'`. Trusted Types: text never becomes script, whatever a peer calls itself.
fn content_policy(port: u16) -> String {
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; \
         font-src 'self'; connect-src 'self' ws://localhost:{port}; worker-src 'self'; manifest-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
         trusted-types app"
    )
}
