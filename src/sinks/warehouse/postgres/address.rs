//! Where a PostgreSQL is and how its TLS is checked: the URL as libpq reads it, with the parts that tokio-postgres does not know.

use std::time::Duration;

use openssl::error::ErrorStack;
use openssl::ssl::{SslConnector, SslFiletype, SslMethod, SslVerifyMode};
use postgres_openssl::MakeTlsConnector;
use tokio_postgres::Config;
use tokio_postgres::config::SslMode;

/// A server that does not answer is tried again by the delivery; half a minute of silence would only look like work.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a host that acknowledges nothing is believed to be there.
const SILENCE: Duration = Duration::from_secs(30);

/// A URL taken apart.
pub(super) struct Address {
    pub config: Config,
    tls: Tls,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Tls {
    check: Check,
    root_cert: Option<String>,
    cert: Option<String>,
    key: Option<String>,
}

/// How much of a server's certificate is believed.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Check {
    /// Encryption only.
    #[default]
    Nothing,
    Authority,
    /// The authority and the host's name.
    Full,
}

impl Address {
    /// The reason of a failure never quotes the URL: what looks like a host may be half a password.
    pub fn parse(url: &str) -> Result<Address, String> {
        let (server, query) = url.split_once('?').unwrap_or((url, ""));
        let mut tls = Tls::default();
        let mut mode = SslMode::Prefer;
        let mut rest = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_encoding::percent_decode_str(value)
                .decode_utf8()
                .map_err(|_| format!("parameter {name} is not UTF-8"))?
                .into_owned();
            match name {
                "sslmode" => {
                    (mode, tls.check) =
                        ssl_mode(&value).ok_or("sslmode must be disable, allow, prefer, require, verify-ca or verify-full")?
                }
                "sslrootcert" => tls.root_cert = Some(value).filter(|file| file != "system"),
                "sslcert" => tls.cert = Some(value),
                "sslkey" => tls.key = Some(value),
                _ => rest.push(pair),
            }
        }
        // As libpq: with an authority's file at hand, `require` checks the certificate against it.
        if mode == SslMode::Require && tls.check == Check::Nothing && tls.root_cert.is_some() {
            tls.check = Check::Authority;
        }
        let plain = if rest.is_empty() { server.to_owned() } else { format!("{server}?{}", rest.join("&")) };
        let mut config: Config = plain.parse().map_err(|_| {
            "not a PostgreSQL URL, or with a parameter that is not known (special characters in user and password are percent-encoded)"
                .to_owned()
        })?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err("names no host".to_owned());
        }
        config.ssl_mode(mode);
        if config.get_application_name().is_none() {
            config.application_name("analytica");
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        if !query.contains("keepalives_idle") {
            // A firewall that forgets the connection, or a host that is gone, is noticed within a minute, not after two hours.
            config.keepalives_idle(SILENCE).tcp_user_timeout(SILENCE).keepalives_interval(Duration::from_secs(10)).keepalives_retries(3);
        }
        Ok(Address { config, tls })
    }

    /// Reads the certificates' files.
    pub fn tls(&self) -> Result<MakeTlsConnector, String> {
        let files = [("sslrootcert", &self.tls.root_cert), ("sslcert", &self.tls.cert), ("sslkey", &self.tls.key)];
        for (name, file) in files.iter().filter_map(|(name, file)| file.as_ref().map(|file| (name, file))) {
            // OpenSSL's own words for a missing file fill three lines.
            std::fs::File::open(file).map_err(|error| format!("{name} {file}: {error}"))?;
        }
        self.tls.connector().map_err(|error| format!("sslrootcert, sslcert or sslkey: {error}"))
    }
}

impl Tls {
    fn connector(&self) -> Result<MakeTlsConnector, ErrorStack> {
        let mut builder = SslConnector::builder(SslMethod::tls_client())?;
        match (&self.root_cert, self.check) {
            (Some(file), _) => builder.set_ca_file(file)?,
            (None, Check::Nothing) => {}
            (None, _) => {
                // The OpenSSL that is built in does not know where this system keeps its authorities.
                let system = openssl_probe::probe();
                if system.cert_file.is_some() || system.cert_dir.is_some() {
                    builder.load_verify_locations(system.cert_file.as_deref(), system.cert_dir.as_deref())?;
                }
            }
        }
        if let (Some(cert), Some(key)) = (&self.cert, &self.key) {
            builder.set_certificate_chain_file(cert)?;
            builder.set_private_key_file(key, SslFiletype::PEM)?;
        }
        builder.set_verify(match self.check {
            Check::Nothing => SslVerifyMode::NONE,
            Check::Authority | Check::Full => SslVerifyMode::PEER,
        });
        let mut connector = MakeTlsConnector::new(builder.build());
        let verify_name = self.check == Check::Full;
        connector.set_callback(move |connection, _| {
            connection.set_verify_hostname(verify_name);
            Ok(())
        });
        Ok(connector)
    }
}

fn ssl_mode(value: &str) -> Option<(SslMode, Check)> {
    Some(match value {
        "disable" => (SslMode::Disable, Check::Nothing),
        "allow" | "prefer" => (SslMode::Prefer, Check::Nothing),
        "require" => (SslMode::Require, Check::Nothing),
        "verify-ca" => (SslMode::Require, Check::Authority),
        "verify-full" => (SslMode::Require, Check::Full),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(query: &str) -> (SslMode, Check) {
        let address = Address::parse(&format!("postgres://u:p%40ss@h:5433/d?{query}")).unwrap_or_else(|reason| panic!("{query}: {reason}"));
        (address.config.get_ssl_mode(), address.tls.check)
    }

    #[test]
    fn tls_is_checked_as_libpq_would() {
        assert_eq!(parsed(""), (SslMode::Prefer, Check::Nothing));
        assert_eq!(parsed("sslmode=disable"), (SslMode::Disable, Check::Nothing));
        assert_eq!(parsed("sslmode=require"), (SslMode::Require, Check::Nothing));
        assert_eq!(parsed("sslmode=require&sslrootcert=%2Fca.pem"), (SslMode::Require, Check::Authority));
        assert_eq!(parsed("sslrootcert=system&sslmode=verify-full"), (SslMode::Require, Check::Full));
        assert_eq!(parsed("sslmode=verify-ca&connect_timeout=3"), (SslMode::Require, Check::Authority));
    }

    #[test]
    fn our_defaults_stand_back_for_the_urls() {
        let address = |query: &str| Address::parse(&format!("postgres://u@h1:1,h2:2/d?{query}")).map(|address| address.config);
        let ours = address("").expect("good");
        assert_eq!((ours.get_application_name(), ours.get_connect_timeout()), (Some("analytica"), Some(&CONNECT_TIMEOUT)));
        assert_eq!(ours.get_ports(), [1, 2]);
        let theirs = address("application_name=x&connect_timeout=9&options=-csearch_path%3Da").expect("good");
        assert_eq!((theirs.get_application_name(), theirs.get_connect_timeout()), (Some("x"), Some(&Duration::from_secs(9))));
        assert_eq!(theirs.get_options(), Some("-csearch_path=a"));
    }

    #[test]
    fn a_bad_url_is_not_quoted() {
        for url in ["postgres://u:hunter2@h:port/d", "postgres://u:p@h/d?hunter2=1", "postgres:///d?sslmode=hunter2"] {
            let reason = Address::parse(url).map(|_| ()).expect_err(url);
            assert!(!reason.contains("hunter2"), "{reason}");
        }
    }
}
