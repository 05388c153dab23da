//! Redis servers of a test's own: a cluster, one with TLS and a restricted user.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::root::Root;

/// A server process; killed when the test ends.
pub struct Server {
    child: Child,
    pub port: u16,
    _folder: tempfile::TempDir,
}

impl Server {
    /// Starts one on a free port. `settings` see its folder.
    pub fn start(settings: impl FnOnce(&Path, u16) -> Vec<String>) -> Server {
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new("redis-server");
        command.current_dir(folder.path()).args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        command.args(settings(folder.path(), port)).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("redis-server starts: install Debian's redis-server");
        let server = Server { child, port, _folder: folder };
        let deadline = Instant::now() + Duration::from_secs(30);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "redis-server does not listen on {port}");
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // it may be gone already
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
}

fn point(root: &Root, url: &str) {
    root.file("analytica.yaml", &format!("version: 1\nredis: {{ url: \"{url}\" }}\n"));
}

#[test]
fn every_node_of_a_cluster_leads_to_the_same_set() {
    let node = |_: &Path, port: u16| vec!["--port".to_owned(), port.to_string(), "--cluster-enabled".to_owned(), "yes".to_owned()];
    let nodes: Vec<Server> = (0..3).map(|_| Server::start(node)).collect();
    let addresses = nodes.iter().map(|node| format!("127.0.0.1:{}", node.port));
    run(Command::new("redis-cli").args(["--cluster", "create"]).args(addresses).arg("--cluster-yes"));
    let root = Root::starter();
    point(&root, &format!("redis://127.0.0.1:{}", nodes[0].port));
    let deadline = Instant::now() + Duration::from_secs(30);
    // its nodes agree some moments after they were told to
    let first = loop {
        let ran = root.run(&["apply"]);
        if ran.code == 0 || Instant::now() > deadline {
            break ran;
        }
        std::thread::sleep(Duration::from_millis(200));
    };
    assert_eq!(first.code, 0, "{first:?}");
    for node in &nodes {
        point(&root, &format!("redis://127.0.0.1:{}", node.port));
        let again = root.run(&["apply"]);
        assert!(again.stdout.starts_with("nothing changed: revision 1"), "{again:?}");
    }
}

#[test]
fn tls_and_a_user_that_may_touch_one_environment_are_enough() {
    let root = Root::starter();
    let pattern = format!("~{{analytica:{}}}:*", root.environment);
    let certificate = tempfile::tempdir().unwrap();
    let (key, cert) = (certificate.path().join("key.pem"), certificate.path().join("cert.pem"));
    run(Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&cert));
    let server = Server::start(|_, port| {
        let text = |path: &Path| path.display().to_string();
        let mut settings: Vec<String> = ["--port", "0", "--tls-auth-clients", "no", "--tls-port"].map(str::to_owned).into();
        settings.extend([port.to_string(), "--tls-cert-file".to_owned(), text(&cert), "--tls-key-file".to_owned(), text(&key)]);
        settings.extend(["--tls-ca-cert-file".to_owned(), text(&cert)]);
        let users = certificate.path().join("users.acl");
        std::fs::write(&users, format!("user default off\nuser ci on >planted {pattern} +@all -@admin -@dangerous\n")).unwrap();
        settings.extend(["--aclfile".to_owned(), text(&users)]);
        settings
    });
    point(&root, &format!("rediss://ci:${{secret:REDIS_PASSWORD}}@127.0.0.1:{}", server.port));
    let apply = |root: &Root, password: &str| {
        let mut command = root.command(&["apply"]);
        crate::root::ran(command.env("REDIS_PASSWORD", password).env("SSL_CERT_FILE", &cert))
    };
    let ran = apply(&root, "planted");
    assert_eq!(ran.code, 0, "{ran:?}");
    let wrong = apply(&root, "wrong-secret");
    assert_eq!(wrong.code, 1, "{wrong:?}");
    assert!(!wrong.stderr.contains("wrong-secret"), "{}", wrong.stderr);

    // another environment is closed to it
    let other = Root::starter();
    other.file("analytica.yaml", &std::fs::read_to_string(root.path("analytica.yaml")).unwrap());
    let ran = apply(&other, "planted");
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("permission"), "{}", ran.stderr);
    // and an authority that is not trusted ends it
    let mut command = root.command(&["apply"]);
    let untrusted = crate::root::ran(command.env("REDIS_PASSWORD", "planted").env_remove("SSL_CERT_FILE"));
    assert_eq!(untrusted.code, 1, "{untrusted:?}");
}
