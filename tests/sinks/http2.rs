//! The http sink with a receiver that speaks HTTP/2, as most APIs behind TLS do. The receiver is written out in frames: no crate here has a server for it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc::{self, Receiver};

use analytica::config::{BodyForm, Delivery, HttpSink, Method, Resolved, SinkSettings};
use analytica::pipeline::{RequestTarget, Target};
use analytica::sinks::Verdict;
use indexmap::IndexMap;
use openssl::ssl::{AlpnError, SslAcceptor, SslMethod, SslStream, select_next_proto};

use super::tls::certificate;
use super::{connect, deliver};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// `:status: 204`, an entry of HPACK's static table.
const NO_CONTENT: u8 = 0x89;

struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

fn read(connection: &mut SslStream<TcpStream>) -> Option<Frame> {
    let mut head = [0; 9];
    connection.read_exact(&mut head).ok()?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut payload = vec![0; length as usize];
    connection.read_exact(&mut payload).ok()?;
    let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
    Some(Frame { kind: head[3], flags: head[4], stream, payload })
}

fn write(connection: &mut SslStream<TcpStream>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).expect("a small frame").to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    connection.write_all(&frame).expect("written");
}

/// Takes one connection, answers 204 to each of its requests; tells each body with its stream.
fn serve(mut acceptor: openssl::ssl::SslAcceptorBuilder) -> (SocketAddr, Receiver<(u32, Vec<u8>)>) {
    acceptor.set_alpn_select_callback(|_, offered| select_next_proto(b"\x02h2", offered).ok_or(AlpnError::ALERT_FATAL));
    let acceptor = acceptor.build();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let (tell, bodies) = mpsc::channel();
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().expect("a connection");
        let mut connection = acceptor.accept(stream).expect("it offers HTTP/2");
        let mut preface = [0; PREFACE.len()];
        connection.read_exact(&mut preface).expect("a preface");
        assert_eq!(preface, PREFACE);
        write(&mut connection, SETTINGS, 0, 0, &[]);
        let mut body = Vec::new();
        while let Some(frame) = read(&mut connection) {
            match frame.kind {
                SETTINGS if frame.flags & ACK == 0 => write(&mut connection, SETTINGS, ACK, 0, &[]),
                DATA => body.extend(frame.payload),
                _ => {}
            }
            if matches!(frame.kind, DATA | HEADERS) && frame.flags & END_STREAM != 0 {
                // Told before it is answered; whoever asked may have seen enough
                let _ = tell.send((frame.stream, std::mem::take(&mut body)));
                write(&mut connection, HEADERS, END_STREAM | END_HEADERS, frame.stream, &[NO_CONTENT]);
            }
        }
    });
    (address, bodies)
}

#[tokio::test]
async fn requests_go_over_one_http2_connection_where_the_receiver_speaks_it() {
    let root = tempfile::tempdir().expect("a folder");
    let ca_file = root.path().join("ca.pem").display().to_string();
    let (key, certificate) = certificate();
    std::fs::write(&ca_file, certificate.to_pem().expect("PEM")).expect("written");
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls()).expect("an acceptor");
    acceptor.set_private_key(&key).expect("a key");
    acceptor.set_certificate(&certificate).expect("a certificate");
    let (address, bodies) = serve(acceptor);
    let settings = HttpSink {
        base_url: Resolved::new("${URL}", format!("https://{address}")),
        auth: None,
        headers: IndexMap::new(),
        gzip: false,
        ca_file: Some(Resolved::new("ca.pem", ca_file.as_str())),
    };
    let sink = connect(&SinkSettings::Http(settings), Vec::new(), &Delivery::default(), Path::new("")).expect("good").expect("a sink");
    let target = Target::Request(RequestTarget { method: Method::Post, path: "/".into(), headers: Vec::new(), body: BodyForm::Array });
    for payload in [r#"{"n":1}"#, r#"{"n":2}"#] {
        assert_eq!(deliver(&sink, &target, &[payload]).await, [Verdict::Delivered]);
    }
    let taken: Vec<(u32, Vec<u8>)> = bodies.try_iter().collect();
    // Streams of a client are odd
    assert_eq!(taken, [(1, br#"[{"n":1}]"#.to_vec()), (3, br#"[{"n":2}]"#.to_vec())]);
}
