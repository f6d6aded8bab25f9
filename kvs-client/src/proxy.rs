//! Going through an HTTP proxy.

use std::{collections::HashMap, env, fmt, net::IpAddr};

use base64::{Engine, engine::general_purpose::STANDARD};
use kvs_auth::Secret;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout_at},
};
use url::{Host, Url};

use crate::{ClientError, ClientErrorKind};

/// The longest head a proxy may answer with.
const MAX_HEAD: usize = 16 * 1024;

/// Which connections go through an HTTP proxy.
///
/// The proxy opens a tunnel (`CONNECT`, RFC 9110 §9.3.6); TLS goes through it to the service, so the proxy
/// sees the host's name and nothing more. Loopback hosts are always reached directly.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProxySettings {
    proxy: Option<Proxy>,
    scope: Scope,
    bypass: Vec<String>,
}

/// Which endpoints the proxy is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Scope {
    /// Those with TLS: what the environment variables are about.
    #[default]
    Https,
    All,
}

#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Proxy {
    host: Host<String>,
    port: u16,
    /// `Basic …`
    authorization: Option<Secret>,
}

impl ProxySettings {
    /// No proxy, whatever the environment says.
    pub fn none() -> Self {
        Self::default()
    }

    /// What the usual environment variables say, as [`from_variables`](Self::from_variables).
    ///
    /// # Errors
    ///
    /// [`Configuration`](ClientErrorKind::Configuration), with the variable's name.
    pub fn from_environment() -> Result<Self, ClientError> {
        // Variables that are no text can't name a proxy.
        let variables = env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Self::from_variables(variables)
    }

    /// What the usual variables say: `https_proxy`, else `all_proxy`, for endpoints with TLS; `no_proxy`
    /// names hosts to reach directly. Each may be in capitals; small letters win.
    ///
    /// # Errors
    ///
    /// [`Configuration`](ClientErrorKind::Configuration), with the variable's name.
    pub fn from_variables(
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ClientError> {
        let variables: HashMap<String, String> = variables
            .into_iter()
            .filter(|(_, value)| !value.trim().is_empty())
            .collect();
        let find = |name: &str| {
            [name.to_owned(), name.to_ascii_uppercase()]
                .into_iter()
                .find_map(|name| {
                    let value = variables.get(&name)?.trim();
                    Some((name, value))
                })
        };
        let Some((name, value)) = find("https_proxy").or_else(|| find("all_proxy")) else {
            return Ok(Self::none());
        };
        // A proxy is often given without its scheme.
        let url = if value.contains("://") {
            value.to_owned()
        } else {
            format!("http://{value}")
        };
        let proxy = Url::parse(&url)
            .ok()
            .and_then(|url| Proxy::parse(&url))
            .ok_or_else(|| {
                // The value may hold a password.
                let text = format!("environment variable {name} is not the url of an http proxy");
                ClientError::new(ClientErrorKind::Configuration, text)
            })?;
        let bypass = find("no_proxy").map(|(_, hosts)| hosts.split(',').map(str::to_owned).collect());
        Ok(Self {
            proxy: Some(proxy),
            scope: Scope::Https,
            bypass: bypass.unwrap_or_default(),
        })
    }

    /// This proxy, for all endpoints. The URL has the form `http://[user:password@]host[:port]`; the port is
    /// 80 unless set.
    ///
    /// # Errors
    ///
    /// [`Configuration`](ClientErrorKind::Configuration) for a URL of another form.
    pub fn url(url: &Url) -> Result<Self, ClientError> {
        let proxy = Proxy::parse(url).ok_or_else(|| {
            let text = format!(
                "proxy {} is not of the form http://[user:password@]host[:port]",
                without_user(url)
            );
            ClientError::new(ClientErrorKind::Configuration, text)
        })?;
        Ok(Self {
            proxy: Some(proxy),
            scope: Scope::All,
            bypass: Vec::new(),
        })
    }

    /// Reaches a host directly, and the hosts below it: `example.com` stands for `s-1.example.com` as well,
    /// `*` for all.
    #[must_use]
    pub fn bypass(mut self, host: impl Into<String>) -> Self {
        self.bypass.push(host.into());
        self
    }

    /// The proxy for a connection, if it goes through one.
    pub(crate) fn for_host(&self, host: &Host<String>, scheme: &str) -> Option<&Proxy> {
        let in_scope = scheme == "https" || self.scope == Scope::All;
        let direct = is_loopback(host) || self.bypass.iter().any(|rule| matches(rule, host));
        self.proxy.as_ref().filter(|_| in_scope && !direct)
    }
}

fn is_loopback(host: &Host<String>) -> bool {
    match host {
        Host::Domain(name) => name.eq_ignore_ascii_case("localhost"),
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

/// `*`, `example.com`, `.example.com`, `10.0.0.1`, `[::1]`, each with or without a port, which is ignored.
fn matches(rule: &str, host: &Host<String>) -> bool {
    let rule = rule.trim();
    if rule == "*" {
        return true;
    }
    let as_address = |text: &str| text.trim_matches(['[', ']']).parse::<IpAddr>().ok();
    let without_port = rule.rsplit_once(':').map_or(rule, |(host, _)| host);
    let addresses = [as_address(rule), as_address(without_port)];
    match host {
        Host::Ipv4(address) => addresses.contains(&Some(IpAddr::from(*address))),
        Host::Ipv6(address) => addresses.contains(&Some(IpAddr::from(*address))),
        Host::Domain(name) => {
            let domain = without_port.trim_start_matches('.').to_ascii_lowercase();
            let name = name.to_ascii_lowercase();
            !domain.is_empty()
                && name
                    .strip_suffix(&domain)
                    .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        }
    }
}

fn without_user(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    format!("{}://{host}", url.scheme())
}

impl Proxy {
    fn parse(url: &Url) -> Option<Self> {
        let host = url.host().filter(|_| url.scheme() == "http")?.to_owned();
        let decode = |text: &str| percent_encoding::percent_decode_str(text).collect::<Vec<u8>>();
        let authorization = (!url.username().is_empty()).then(|| {
            let user = [
                &decode(url.username())[..],
                b":",
                &decode(url.password().unwrap_or_default()),
            ]
            .concat();
            Secret::new(format!("Basic {}", STANDARD.encode(user)))
        });
        Some(Self {
            host,
            port: url.port_or_known_default()?,
            authorization,
        })
    }

    pub(crate) fn host(&self) -> &Host<String> {
        &self.host
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Has the proxy connect `stream` to a host.
    pub(crate) async fn tunnel(
        &self,
        stream: &mut TcpStream,
        host: &Host<String>,
        port: u16,
        deadline: Instant,
    ) -> Result<(), ClientError> {
        let mut request = format!("CONNECT {host}:{port} HTTP/1.1\r\nhost: {host}:{port}\r\n");
        if let Some(authorization) = &self.authorization {
            request.push_str(&format!("proxy-authorization: {}\r\n", authorization.expose()));
        }
        request.push_str("\r\n");
        let exchange = async {
            stream
                .write_all(request.as_bytes())
                .await
                .map_err(ClientError::from_io)?;
            read_status(stream).await
        };
        let status = timeout_at(deadline, exchange).await.unwrap_or_else(|_| {
            Err(ClientError::new(
                ClientErrorKind::Timeout,
                format!("proxy {self}"),
            ))
        })?;
        if (200..300).contains(&status) {
            return Ok(());
        }
        let text = format!("proxy {self} answered http {status} to a tunnel to {host}:{port}");
        Err(ClientError::new(ClientErrorKind::Connect, text))
    }
}

/// Reads the proxy's answer and nothing behind it: that is the host's already.
async fn read_status(stream: &mut TcpStream) -> Result<u16, ClientError> {
    let protocol = |text: &str| ClientError::new(ClientErrorKind::Protocol, text);
    let mut head = Vec::with_capacity(256);
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= MAX_HEAD {
            return Err(protocol("the proxy's answer is too long"));
        }
        head.push(stream.read_u8().await.map_err(ClientError::from_io)?);
    }
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    response
        .parse(&head)
        .map_err(|source| protocol("the proxy's answer is not http/1.1").with_source(source))?;
    response
        .code
        .ok_or_else(|| protocol("the proxy's answer has no status"))
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> Host<String> {
        Host::parse(text).expect("is a host")
    }

    fn variables(pairs: &[(&str, &str)]) -> Result<ProxySettings, ClientError> {
        ProxySettings::from_variables(
            pairs
                .iter()
                .map(|(name, value)| ((*name).into(), (*value).into())),
        )
    }

    fn proxy_for(settings: &ProxySettings, name: &str, scheme: &str) -> Option<String> {
        settings.for_host(&host(name), scheme).map(ToString::to_string)
    }

    #[test]
    fn the_usual_variables_are_read_in_their_order() {
        let settings = variables(&[
            ("HTTPS_PROXY", "http://capital:1"),
            ("https_proxy", "http://small:2"),
            ("ALL_PROXY", "http://all:3"),
        ]);
        assert_eq!(
            proxy_for(&settings.expect("reads"), "example.com", "https").as_deref(),
            Some("small:2")
        );

        let settings = variables(&[("https_proxy", "http://plain")]).expect("reads");
        assert_eq!(
            proxy_for(&settings, "example.com", "https").as_deref(),
            Some("plain:80")
        );

        let settings = variables(&[("ALL_PROXY", "all:3"), ("HTTPS_PROXY", " ")]).expect("reads");
        assert_eq!(
            proxy_for(&settings, "example.com", "https").as_deref(),
            Some("all:3")
        );
        assert_eq!(proxy_for(&settings, "example.com", "http"), None);

        assert_eq!(variables(&[]).expect("reads"), ProxySettings::none());
    }

    #[test]
    fn hosts_named_in_no_proxy_and_loopback_are_reached_directly() {
        let settings = variables(&[
            ("https_proxy", "p:1"),
            (
                "no_proxy",
                "direct.com, .below.com,10.0.0.1,[fd00::1]:443,x.com:80",
            ),
        ])
        .expect("reads");
        for name in [
            "direct.com",
            "a.direct.com",
            "below.com",
            "a.b.BELOW.com",
            "10.0.0.1",
            "[fd00::1]",
            "x.com",
            "localhost",
            "127.0.0.1",
            "[::1]",
        ] {
            assert_eq!(proxy_for(&settings, name, "https"), None, "{name}");
        }
        for name in ["notdirect.com", "com", "10.0.0.2", "example.com"] {
            assert!(proxy_for(&settings, name, "https").is_some(), "{name}");
        }
        assert_eq!(proxy_for(&settings.bypass("*"), "example.com", "https"), None);
    }

    #[test]
    fn mistakes_name_the_variable_and_never_show_a_password() {
        for value in [
            "socks5://u:hunter2@p:1",
            "https://u:hunter2@p:1",
            "http://u:hunter2@:1",
            "u:hunter2@:x",
        ] {
            let error = variables(&[("https_proxy", value)])
                .expect_err("is refused")
                .to_string();

            assert!(
                error.contains("https_proxy") && !error.contains("hunter2"),
                "{error}"
            );
        }
        let url = Url::parse("socks5://u:hunter2@p:1").expect("is a url");
        assert!(
            !ProxySettings::url(&url)
                .expect_err("is refused")
                .to_string()
                .contains("hunter2")
        );
    }

    #[test]
    fn debug_output_never_shows_a_password() {
        let settings = variables(&[("https_proxy", "http://u:hunter2@p:1")]).expect("reads");

        assert!(!format!("{settings:?}").contains("hunter2"));
    }
}
