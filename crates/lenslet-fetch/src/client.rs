//! A connection to a source: TLS, proxies, time limits, and what its errors mean for what to do next.
//!
//! *Invariant:* no call waits without a limit. An address that begins with https is never left for one that does not.

use crate::Patience;
use crate::trouble::Trouble;
use std::io::{self, ErrorKind};
use std::time::Duration;
use ureq::config::Config;
use ureq::http::{Response, Uri};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Body, Error, Timeout};

/// Time until a name is resolved, and until a connection stands.
const CONNECT: Duration = Duration::from_secs(10);

/// Asks one source.
pub(crate) struct Client {
    /// Trusts whom the machine trusts, and so the authority of a company whose proxy opens every connection.
    machine: Agent,
    /// Trusts whom Mozilla trusts: for containers, which often have no certificates at all.
    built_in: Agent,
    /// Whether a proxy stands between.
    proxied: bool,
}

impl Client {
    /// A client for this address. Proxies are taken from the environment (ALL_PROXY, HTTPS_PROXY, HTTP_PROXY, NO_PROXY),
    /// but not for this machine itself, which no proxy could reach.
    pub(crate) fn new(address: &str, patience: &Patience) -> Self {
        let agent = |roots: RootCerts| {
            let config = Config::builder()
                .http_status_as_error(false)
                .https_only(address.starts_with("https:"))
                .user_agent(concat!("lenslet/", env!("CARGO_PKG_VERSION")))
                .tls_config(TlsConfig::builder().root_certs(roots).build())
                .timeout_resolve(Some(CONNECT))
                .timeout_connect(Some(CONNECT))
                .timeout_recv_response(Some(patience.window))
                .timeout_per_read(Some(patience.window));
            let config = if is_this_machine(address) { config.proxy(None) } else { config };
            Agent::new_with_config(config.build())
        };
        let machine = agent(RootCerts::PlatformVerifier);
        let proxied = machine.config().proxy().is_some();
        Self { machine, built_in: agent(RootCerts::WebPki), proxied }
    }

    /// The answer to a request with these headers.
    pub(crate) fn get(&self, address: &str, headers: &[(&str, String)]) -> Result<Response<Body>, Trouble> {
        let ask = |agent: &Agent| {
            let request = agent.get(address).header("accept-encoding", "identity");
            headers.iter().fold(request, |request, (name, value)| request.header(*name, value)).call()
        };
        let answer = match ask(&self.machine) {
            Err(error) if is_about_trust(&error) => ask(&self.built_in),
            answer => answer,
        };
        answer.map_err(|error| match trouble(error) {
            Trouble::Unreachable(why) if self.proxied => {
                Trouble::Unreachable(format!("through the proxy that the environment names: {why}"))
            }
            other => other,
        })
    }
}

/// Whether the address is one of the machine that we run on.
fn is_this_machine(address: &str) -> bool {
    let uri = address.parse::<Uri>().ok();
    let host = uri.as_ref().and_then(Uri::host).unwrap_or("");
    host == "localhost" || host.starts_with("127.") || host == "[::1]"
}

/// Whether a connection failed over certificates, which the other list of authorities may change.
fn is_about_trust(error: &Error) -> bool {
    match error {
        Error::Rustls(_) | Error::Tls(_) => true,
        Error::Io(error) => is_tls(error),
        _ => false,
    }
}

/// What a handshake that fails looks like.
fn is_tls(error: &io::Error) -> bool {
    error.kind() == ErrorKind::InvalidData
}

/// What an error before the first byte of an answer means.
fn trouble(error: Error) -> Trouble {
    match error {
        Error::HostNotFound => Trouble::Unreachable("its name cannot be resolved".into()),
        Error::Timeout(Timeout::Resolve) => Trouble::Unreachable("its name is not resolved in time".into()),
        Error::Timeout(Timeout::Connect) => Trouble::Unreachable("no connection in time".into()),
        Error::Timeout(_) => Trouble::Stalled("no answer in time".into()),
        Error::ConnectProxyFailed(why) => Trouble::Unreachable(format!("the proxy does not connect: {why}")),
        Error::ConnectionFailed => Trouble::Unreachable("no connection".into()),
        Error::Io(error) => io_trouble(&error),
        Error::Rustls(error) => distrusted(&error),
        Error::Protocol(_) => Trouble::Broken(format!("it does not speak HTTP as expected: {error}")),
        error => Trouble::Refused(error.to_string()),
    }
}

/// What an error of a connection means, before an answer or in the middle of it.
pub(crate) fn io_trouble(error: &io::Error) -> Trouble {
    if let Some(Error::Timeout(_)) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        return Trouble::Stalled("nothing more arrives".into());
    }
    match error.kind() {
        ErrorKind::ConnectionRefused => Trouble::Unreachable("the connection is refused".into()),
        ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable | ErrorKind::AddrNotAvailable => {
            Trouble::Unreachable("there is no way to it in the network".into())
        }
        // The standard library has no kind for names; these are its words.
        _ if error.to_string().contains("failed to lookup address") => {
            Trouble::Unreachable("its name cannot be resolved".into())
        }
        _ if is_tls(error) => distrusted(error),
        _ => Trouble::Broken(format!("the connection broke: {error}")),
    }
}

/// A connection that cannot be trusted.
fn distrusted(error: &dyn std::error::Error) -> Trouble {
    Trouble::Refused(format!(
        "no secure connection ({error}); where a proxy opens connections, SSL_CERT_FILE=FILE.pem names its authority"
    ))
}
