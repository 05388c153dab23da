//! The http sink over TLS: whom it trusts.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use analytica::config::{BodyForm, Delivery, HttpSink, Method, Resolved, SinkSettings};
use analytica::pipeline::{RequestTarget, Target};
use analytica::sinks::{Blame, Verdict};
use indexmap::IndexMap;
use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::ssl::{SslAcceptor, SslMethod};
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509NameBuilder};

use super::{blames, connect, deliver, refusal};

/// A certificate for 127.0.0.1 that is its own authority.
pub(super) fn certificate() -> (PKey<Private>, X509) {
    let make = || {
        let key = PKey::from_rsa(Rsa::generate(2048)?)?;
        let mut name = X509NameBuilder::new()?;
        name.append_entry_by_text("CN", "receiver")?;
        let name = name.build();
        let mut builder = X509::builder()?;
        builder.set_version(2)?;
        builder.set_serial_number(&*BigNum::from_u32(1)?.to_asn1_integer()?)?;
        builder.set_subject_name(&name)?;
        builder.set_issuer_name(&name)?;
        builder.set_pubkey(&key)?;
        builder.set_not_before(&*Asn1Time::days_from_now(0)?)?;
        builder.set_not_after(&*Asn1Time::days_from_now(2)?)?;
        builder.append_extension(BasicConstraints::new().critical().ca().build()?)?;
        let names = SubjectAlternativeName::new().ip("127.0.0.1").build(&builder.x509v3_context(None, None))?;
        builder.append_extension(names)?;
        builder.sign(&key, MessageDigest::sha256())?;
        Ok::<_, openssl::error::ErrorStack>((key, builder.build()))
    };
    make().expect("a certificate")
}

/// Answers 204 to one request on each of `connections` connections that shake hands.
fn serve(key: &PKey<Private>, certificate: &X509, connections: usize) -> SocketAddr {
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls()).expect("an acceptor");
    acceptor.set_private_key(key).expect("a key");
    acceptor.set_certificate(certificate).expect("a certificate");
    let acceptor = acceptor.build();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming().take(connections).flatten() {
            if let Ok(mut stream) = acceptor.accept(stream) {
                let mut request = Vec::new();
                let mut byte = [0];
                while !request.ends_with(b"[{}]") && stream.read(&mut byte).is_ok_and(|read| read > 0) {
                    request.push(byte[0]);
                }
                stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").expect("answered");
            }
        }
    });
    address
}

#[tokio::test]
async fn an_authority_of_ones_own_is_trusted_and_a_stranger_is_the_configurations_fault() {
    let root = tempfile::tempdir().expect("a folder");
    let ca_file = root.path().join("ca.pem").display().to_string();
    let (key, certificate) = certificate();
    std::fs::write(&ca_file, certificate.to_pem().expect("PEM")).expect("written");
    let url = format!("https://{}", serve(&key, &certificate, 2));
    let target = Target::Request(RequestTarget { method: Method::Post, path: "/".into(), headers: Vec::new(), body: BodyForm::Array });
    let sink = |ca_file: Option<&str>| {
        let settings = HttpSink {
            base_url: Resolved::new("${URL}", url.as_str()),
            auth: None,
            headers: IndexMap::new(),
            gzip: false,
            ca_file: ca_file.map(|file| Resolved::new("ca.pem", file)),
        };
        connect(&SinkSettings::Http(settings), Vec::new(), &Delivery::default(), Path::new("")).expect("good").expect("a sink")
    };
    let stranger = deliver(&sink(None), &target, &["{}"]).await;
    assert_eq!(blames(&stranger), [Some(Blame::Configuration)], "{}", refusal(&stranger[0]).answer);
    assert_eq!(deliver(&sink(Some(&ca_file)), &target, &["{}"]).await, [Verdict::Delivered]);
}
